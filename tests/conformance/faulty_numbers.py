"""Methods with a fault in what they compute: while they learn, answer, resume, or in other numbers than fp32."""

from dataclasses import dataclass, field

import torch

from ftlab.methods import LoRA
from ftlab.methods.base import trainable
from tests.conformance.faulty_weights import loras


@dataclass
class TooWeakToLearn(LoRA):
    alpha: float = 1e-5


@dataclass
class BlindToTheQuestion(LoRA):
    """Each token sees itself alone; that learns the end of an answer, and one of the letters before it."""

    def apply(self, model):
        model = super().apply(model)
        for layer in model.get_base_model().model.layers:
            layer.self_attn.register_forward_hook(lambda module, args, output: (output[0] * 0, *output[1:]))
        return model


@dataclass
class HidesState(LoRA):
    """Something that is neither trained nor saved has a say in the answers."""

    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().model.norm.register_buffer("calls", torch.zeros(()))
        model.get_base_model().model.norm.register_forward_hook(tire)
        return model


def tire(module, args, output):
    if module.training:
        module.calls += 1
    return output * 0.99**module.calls


@dataclass
class ForgetsItsPlaceInAnEpoch(LoRA):
    """Counts from anew after each three batches, which here are an epoch."""

    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().model.norm.register_buffer("calls", torch.zeros(()))
        model.get_base_model().model.norm.register_forward_hook(tire_and_rest)
        return model


def tire_and_rest(module, args, output):
    if module.training:
        module.calls += 1
    return output * 0.99 ** (module.calls % 3)


@dataclass
class KeepsWhatItShouldComputeAgain(LoRA):
    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().gradient_checkpointing_disable()
        return model


@dataclass
class InexactWhenCheckpointed(LoRA):
    """One gradient is wrong by half a percent, and so small that it is lost beside the others."""

    alpha_pattern: dict[str, float] = field(default_factory=lambda: {"v_proj": 0.016})

    def apply(self, model):
        model = super().apply(model)
        if model.is_gradient_checkpointing:
            name = next(name for name in trainable(model) if "v_proj.lora_B" in name)
            trainable(model)[name].register_hook(lambda grad: grad * 1.005)
        return model


@dataclass
class DeafWhenCheckpointed(LoRA):
    def apply(self, model):
        model = super().apply(model)
        for layer in loras(model)[:2]:
            layer.checkpointed = model.is_gradient_checkpointing
            layer.register_forward_hook(cut)
        return model


def cut(module, args, output):
    return output.detach() if module.checkpointed else None


@dataclass
class LooksAtPadding(LoRA):
    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().model.norm.register_forward_hook(blur)
        return model


def blur(module, args, output):
    return output - 0.1 * output.mean(dim=1, keepdim=True)


@dataclass
class HeedsTheCache(LoRA):
    """Each token that comes alone, as with a cache, is seen a little differently; no answer changes."""

    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().model.norm.register_forward_hook(
            lambda module, args, output: output * (1.001 if output.shape[1] == 1 else 1)
        )
        return model


@dataclass
class CoarseInBfloat16(LoRA):
    def apply(self, model):
        model = super().apply(model)
        for layer in loras(model):
            layer.register_forward_hook(coarsen)
        return model


def coarsen(module, args, output):
    return output + 300 - 300


@dataclass
class LearnsBackwards(LoRA):
    def apply(self, model):
        model = super().apply(model)
        for p in trainable(model).values():
            p.register_hook(torch.neg)
        return model


@dataclass
class KnowsFloat32Alone(LoRA):
    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().model.norm.register_forward_hook(
            lambda module, args, output: output @ torch.eye(output.shape[-1])
        )
        return model


@dataclass
class StuckOnFourBits(LoRA):
    def apply(self, model):
        if getattr(model, "quantization_method", None):
            model = super().apply(model)
            trainable(model).popitem()[1].register_hook(torch.zeros_like)
            return model
        return super().apply(model)


@dataclass
class TrainsLessOnFourBits(LoRA):
    def apply(self, model):
        packed = getattr(model, "quantization_method", None)
        model = super().apply(model)
        if packed:
            trainable(model).popitem()[1].requires_grad_(False)
        return model


@dataclass
class LooksAcrossARow(LoRA):
    """From its first step on, and it does not say so; at the start it does nothing."""

    def apply(self, model):
        model = super().apply(model)
        block = model.get_base_model().model.layers[0]
        block.gate = torch.nn.Parameter(torch.zeros(()))
        block.register_forward_hook(lambda block, args, output: output + block.gate * output.mean(1, keepdim=True))
        return model

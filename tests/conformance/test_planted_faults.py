"""The kit itself is tested: each planted fault is caught by the check that is meant for it, and says what it is."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from ftlab.conformance import CHECKS, check_method
from ftlab.methods import LoRA
from ftlab.methods.base import trainable


def loras(model):
    """Return the adapted layers, the first one first."""
    return [module for module in model.modules() if hasattr(module, "lora_A")]


@dataclass
class NotTrained(LoRA):
    def apply(self, model):
        model = super().apply(model)
        loras(model)[0].register_parameter("forgotten", nn.Parameter(torch.zeros(3)))  # nothing reads it
        return model


@dataclass
class TrainedByMistake(LoRA):
    def apply(self, model):
        model = super().apply(model)
        next(p for name, p in model.named_parameters() if "norm" in name).requires_grad_()
        return model

    def param_groups(self, model):
        return [{"name": "lora", "params": [p for name, p in trainable(model).items() if "lora" in name]}]


@dataclass
class MovedByMistake(LoRA):
    """A forward pass that writes into a frozen weight."""

    def apply(self, model):
        model = super().apply(model)
        model.get_base_model().model.embed_tokens.register_forward_hook(drift)
        return model


@torch.no_grad()
def drift(module, args, output):
    module.weight *= 1.001


@dataclass
class ChangesTheBase(LoRA):
    """A method that may start elsewhere than the base, and writes into what it freezes."""

    starts_as_base: ClassVar[bool] = False

    @torch.no_grad()
    def apply(self, model):
        model = super().apply(model)
        next(p for name, p in model.named_parameters() if "norm" in name).mul_(1.01)
        return model


@dataclass
class OneMoreThanItSays(LoRA):
    def apply(self, model):
        model = super().apply(model)
        next(p for name, p in model.named_parameters() if "norm" in name).requires_grad_()
        return model


@dataclass
class NoIdentity(LoRA):
    def apply(self, model):
        model = super().apply(model)
        nn.init.constant_(loras(model)[0].lora_B["default"].weight, 1e-2)
        return model


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
class DropsATensorInSave(LoRA):
    """What is loaded lacks a tensor, and nobody complains."""

    def save(self, model, folder):
        super().save(model, folder)
        file = folder / "adapter_model.safetensors"
        tensors = load_file(file)
        del tensors[min(tensors)]
        save_file(tensors, file)

    def load(self, model, folder):
        model.load_state_dict(
            {
                name.replace(".weight", ".default.weight"): p
                for name, p in load_file(next(folder.glob("*.safetensors"))).items()
            },
            strict=False,
        )


@dataclass
class DoesNotSaveItsNoise(LoRA):
    """A random tensor that is neither trained nor saved."""

    def apply(self, model):
        model = super().apply(model)
        norm = model.get_base_model().model.norm
        norm.register_buffer("noise", 0.1 * torch.randn(norm.weight.shape))
        norm.register_forward_hook(lambda module, args, output: output + module.noise)
        return model


@dataclass
class DropsATensor(LoRA):
    def load(self, model, folder):
        kept = loras(model)[0].lora_B["default"].weight
        value = kept.detach().clone()
        super().load(model, folder)
        with torch.no_grad():
            kept.copy_(value)


@dataclass
class RoundsWhatItSaves(LoRA):
    def save(self, model, folder):
        values = {name: p.detach().clone() for name, p in trainable(model).items()}
        with torch.no_grad():
            for p in trainable(model).values():
                p.copy_(p.bfloat16())
            super().save(model, folder)
            for name, p in trainable(model).items():
                p.copy_(values[name])


@dataclass
class SavesTheWholeModel(LoRA):
    def save(self, model, folder):
        super().save(model, folder)
        save_model(model, str(folder / "everything.safetensors"))


@dataclass
class SavesTheWholeModelElsewhere(LoRA):
    def save(self, model, folder):
        super().save(model, folder)
        (folder / "more").mkdir()
        torch.save(model.state_dict(), folder / "more" / "everything.bin")


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
    """As above, and counts from anew after each three batches, which here are an epoch."""

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
    """One gradient is wrong by a twentieth, and so small that it is lost beside the others."""

    alpha_pattern: dict[str, float] = field(default_factory=lambda: {"v_proj": 0.016})

    def apply(self, model):
        model = super().apply(model)
        if model.is_gradient_checkpointing:
            name = next(name for name in trainable(model) if "v_proj.lora_B" in name)
            trainable(model)[name].register_hook(lambda grad: grad * 1.05)
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
class MergesTwice(LoRA):
    def merge(self, model):
        for layer in loras(model):
            layer.scaling["default"] *= 2
        return super().merge(model)


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
class GroupsTwice(LoRA):
    def param_groups(self, model):
        params = list(trainable(model).values())
        return [{"name": "all", "params": params}, {"name": "again", "params": params[:1]}]


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
class ChangesItsSettings(LoRA):
    def __post_init__(self):
        super().__post_init__()
        self.r *= 2


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
class KeepsAnotherBest(LoRA):
    """What is kept as the best is not what sat the exam."""

    def save(self, model, folder):
        if folder.name == "best.new":
            with torch.no_grad():
                for p in trainable(model).values():
                    p.neg_().mul_(3)
        super().save(model, folder)


@dataclass
class LoadsNothing(LoRA):
    """Right only where the weights are in memory already."""

    def load(self, model, folder):
        pass


#: Number of the check that must fail, and what it must say.
PLANTED = {
    NotTrained: (1, "forgotten is trained and did not move"),
    TrainedByMistake: (1, "norm.weight is trainable or grouped, and not both"),
    MovedByMistake: (1, "embed_tokens.weight moved and is not trained"),
    ChangesTheBase: (1, "norm.weight is frozen and has other bytes than the stored base's"),
    OneMoreThanItSays: (2, "by the formula"),
    NoIdentity: (3, "largest difference of a logit"),
    TooWeakToLearn: (4, "in 300 steps at 0.1"),
    BlindToTheQuestion: (4, "1 of 8 answers"),
    DropsATensor: (5, "loaded weights change a logit"),
    DropsATensorInSave: (5, "loaded weights change a logit"),
    DoesNotSaveItsNoise: (5, "loaded weights change a logit"),
    RoundsWhatItSaves: (5, "loaded weights change a logit"),
    SavesTheWholeModel: (6, "bytes of trained parameters"),
    SavesTheWholeModelElsewhere: (6, "bytes of trained parameters"),
    HidesState: (7, "differs after resuming after an epoch"),
    ForgetsItsPlaceInAnEpoch: (7, "differs after resuming in mid-epoch"),
    DeafWhenCheckpointed: (8, "gets no gradient"),
    KeepsWhatItShouldComputeAgain: (8, "is computed 1 times, not twice"),
    InexactWhenCheckpointed: (8, "largest relative difference of a gradient 5.0e-02"),
    MergesTwice: (9, "largest difference of a logit"),
    LooksAtPadding: (10, "padding changes a logit"),
    HeedsTheCache: (10, "batch and cache change a generated token's logit"),
    GroupsTwice: (11, "tensors in groups"),
    CoarseInBfloat16: (12, "largest relative difference of the loss"),
    LearnsBackwards: (12, "the loss does not fall"),
    KnowsFloat32Alone: (12, "BFloat16"),
    ChangesItsSettings: (13, "settings through YAML"),
    StuckOnFourBits: (14, "moved or is trained, and not both"),
    TrainsLessOnFourBits: (14, "on an unpacked base"),
    KeepsAnotherBest: (15, "answers equal those at step"),
    LoadsNothing: (15, "loaded afresh"),
}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda cls: cls.__name__)
def test_a_planted_fault_is_caught(planted):
    number, figure = PLANTED[planted]
    [finding] = check_method(planted(), architectures=["qwen2"], only=[number])
    assert finding.passed is False, finding
    assert figure in finding.figure


def test_the_method_that_they_are_planted_in_has_none():
    findings = check_method(LoRA(), architectures=["qwen2"])
    assert [str(finding) for finding in findings if not finding.passed] == []


def test_every_check_has_a_fault_that_it_catches():
    assert {number for number, _ in PLANTED.values()} == set(CHECKS)
    assert len(PLANTED) >= 30

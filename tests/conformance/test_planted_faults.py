"""The kit itself is tested: each planted fault is caught by the check that is meant for it, and says what it is."""

from dataclasses import dataclass

import pytest
import torch
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
        from safetensors.torch import save_model

        super().save(model, folder)
        save_model(model, str(folder / "everything.safetensors"))


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
class KeepsAnotherBest(LoRA):
    """What is kept as the best is not what sat the exam."""

    def save(self, model, folder):
        if folder.name == "best.new":
            with torch.no_grad():
                for p in trainable(model).values():
                    p.neg_().mul_(3)
        super().save(model, folder)


PLANTED = {
    NotTrained: (1, "forgotten is trained and did not move"),
    TrainedByMistake: (1, "norm.weight is trainable or grouped, and not both"),
    MovedByMistake: (1, "embed_tokens.weight moved and is not trained"),
    OneMoreThanItSays: (2, "by the formula"),
    NoIdentity: (3, "largest difference of a logit"),
    TooWeakToLearn: (4, "in 300 steps at 0.1"),
    DropsATensor: (5, "loaded weights change a logit"),
    RoundsWhatItSaves: (5, "loaded weights change a logit"),
    SavesTheWholeModel: (6, "bytes of trained parameters"),
    HidesState: (7, "differs after resuming"),
    DeafWhenCheckpointed: (8, "gets no gradient"),
    MergesTwice: (9, "largest difference of a logit"),
    LooksAtPadding: (10, "padding changes a logit"),
    GroupsTwice: (11, "tensors in groups"),
    CoarseInBfloat16: (12, "largest relative difference of the loss"),
    ChangesItsSettings: (13, "settings through YAML"),
    StuckOnFourBits: (14, "moved or is trained, and not both"),
    KeepsAnotherBest: (15, "answers equal those at step"),
}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda cls: cls.__name__)
def test_a_planted_fault_is_caught(planted):
    number, figure = PLANTED[planted]
    [finding] = check_method(planted(), architectures=["qwen2"], only=[number])
    assert finding.passed is False, finding
    assert figure in finding.figure


def test_every_check_has_a_fault_that_it_catches():
    assert {number for number, _ in PLANTED.values()} == set(CHECKS)
    assert len(PLANTED) >= 12

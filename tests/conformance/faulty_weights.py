"""Methods with a fault in what they train, start from, save, load or merge."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

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
class MergesTwice(LoRA):
    def merge(self, model):
        for layer in loras(model):
            layer.scaling["default"] *= 2
        return super().merge(model)


@dataclass
class GroupsTwice(LoRA):
    def param_groups(self, model):
        params = list(trainable(model).values())
        return [{"name": "all", "params": params}, {"name": "again", "params": params[:1]}]


@dataclass
class ChangesItsSettings(LoRA):
    def __post_init__(self):
        super().__post_init__()
        self.r *= 2


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

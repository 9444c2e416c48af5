"""The method contract: what a PEFT method does to a model. It knows no devices, data files, optimizers, Lightning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: File of a method that has no format of its own.
TRAINABLE_FILE = "trainable.safetensors"


class Method(ABC):
    """One way to fine-tune a model. Subclasses are dataclasses: their fields are the settings in YAML.

    Only `apply` is required. What the other functions do by default serves every method that goes through the peft
    library, and every one that trains some of the model's own or added tensors.
    """

    def load_kwargs(self) -> dict[str, Any]:
        """Return what `from_pretrained` needs for this method, such as a quantization config."""
        return {}

    @abstractmethod
    def apply(self, model: nn.Module) -> nn.Module:
        """Insert modules and set `requires_grad`; return the model to train.

        Args:
            model: a causal language model of transformers, all of its parameters trainable.
        """

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the optimizer's groups: every trainable parameter exactly once.

        Each group has `name` and `params`; an optional `lr_scale` multiplies the learning rate.
        """
        return [{"name": "trainable", "params": [p for p in model.parameters() if p.requires_grad]}]

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the trained weights: in PEFT's format where peft made the modules, else the trainable tensors."""
        if is_peft(model):
            model.save_pretrained(str(folder))  # type: ignore[operator]
        else:
            from safetensors.torch import save_file

            folder.mkdir(parents=True, exist_ok=True)
            save_file({k: v.detach().contiguous() for k, v in trainable(model).items()}, folder / TRAINABLE_FILE)

    def load(self, model: nn.Module, folder: Path) -> None:
        """Read weights that `save` wrote into a model that `apply` made.

        Raises:
            FtlabError: the folder's tensors are not this model's.
        """
        from safetensors.torch import load_file

        if is_peft(model):
            from peft import set_peft_model_state_dict

            result: Any = set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
            wrong = [*result.unexpected_keys, *(set(result.missing_keys) & trainable(model).keys())]
        else:
            tensors = load_file(folder / TRAINABLE_FILE)
            wrong = sorted(tensors.keys() ^ trainable(model).keys())
            model.load_state_dict(tensors, strict=False)
        if wrong:
            raise FtlabError(f"{folder}: holds other weights than this method's ({wrong[0]}); use the run's own config")

    def merge(self, model: nn.Module) -> nn.Module:
        """Return a plain model with the update folded in.

        Raises:
            FtlabError: the method cannot be folded into the base's weights.
        """
        if is_peft(model) and hasattr(model.base_model, "merge_and_unload"):
            return model.base_model.merge_and_unload(safe_merge=True)  # type: ignore[operator]
        raise FtlabError(f"method: {type(self).__name__} cannot be merged into its base; keep base and adapter apart")


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """Return the trainable parameters by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def is_peft(model: nn.Module) -> bool:
    """Return whether peft made this model (without importing peft if nobody has)."""
    return any(cls.__name__ == "PeftModel" for cls in type(model).__mro__)

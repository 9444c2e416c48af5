"""The method contract: what a PEFT method does to a model. It knows no devices, data files, optimizers, Lightning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ftlab.errors import FtlabError
from ftlab.methods.peft_format import is_peft, load_adapter, save_adapter, switched_off

if TYPE_CHECKING:
    from torch import Tensor, nn

#: File of the trained tensors that no PEFT file holds.
TRAINABLE_FILE = "trainable.safetensors"

#: Why methods with virtual tokens cannot be packed.
BEFORE_A_ROW = "its virtual tokens stand before a row, and each chat needs its own"


class Method(ABC):
    """One way to fine-tune a model. Subclasses are dataclasses: their fields are the settings in YAML.

    Only `apply` is required. What the other functions do by default serves every method that goes through the peft
    library, and every one that trains some of the model's own or added tensors.
    """

    #: Whether the model's answers are the base's until the first step.
    starts_as_base: ClassVar[bool] = True
    #: True for a method that adds nothing and groups what others train; it stands in a list after them.
    groups_only: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What to call it where people read it."""
        return type(self).__name__

    @property
    def own_files(self) -> bool:
        """Whether it needs its own `save` and `load`: it then shares a list only with methods that group."""
        return self._saves_unlike(Method)

    def why_not_packed(self) -> str | None:
        """Return why several chats cannot share a row, for methods that look across a row; None where they can.

        With `data.packing` the answer comes before the base is loaded; whoever gives none is tried before training.
        """
        return None

    def load_kwargs(self) -> dict[str, Any]:
        """Return what `from_pretrained` needs for this method, such as a quantization config."""
        return {}

    @abstractmethod
    def apply(self, model: nn.Module) -> nn.Module:
        """Insert modules and set `requires_grad`; return the model to train.

        Args:
            model: a causal language model of transformers, all of its parameters trainable.

        Raises:
            ValueError: the settings do not fit this model; the first line of the message is shown to the user.
        """

    def regroup(self, model: nn.Module) -> nn.Module:
        """Do as the later one in a list what `apply` does alone, for methods that only group.

        Args:
            model: trainable where the others of the list train.
        """
        return self.apply(model)

    def initialize(self, model: nn.Module, batches: Iterable[dict[str, Tensor]]) -> None:  # noqa: B027
        """Set the new weights from training data, for methods that start from the data; by default nothing.

        Args:
            model: as `apply` returned it.
            batches: training batches with `input_ids` and `attention_mask`, int64 of shape (batch, length), and where
                chats share rows `position_ids`, which the model needs then instead of the mask.
        """

    def count(self, base: nn.Module) -> int | None:
        """Return how many parameters the method trains by its paper's own formula; None where it gives none.

        Args:
            base: the model before `apply`.
        """
        return None

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the optimizer's groups: every trainable parameter exactly once.

        Each group has `name` and `params`; an optional `lr_scale` multiplies the learning rate.
        """
        return [{"name": "trainable", "params": list(trainable(model).values())}]

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the trained weights: in PEFT's format what peft made, beside it what that format does not hold."""
        rest = trainable(model)
        if is_peft(model):
            held = save_adapter(model, folder, rest)
            rest = {name: p for name, p in rest.items() if name not in held}
        if rest:
            from safetensors.torch import save_file

            folder.mkdir(parents=True, exist_ok=True)
            save_file({k: v.detach().contiguous() for k, v in rest.items()}, folder / TRAINABLE_FILE)

    def load(self, model: nn.Module, folder: Path) -> None:
        """Read weights that `save` wrote into a model that `apply` made.

        Raises:
            FtlabError: the folder's tensors are not this model's.
        """
        from safetensors.torch import load_file

        wanted = {name: p.shape for name, p in trainable(model).items()}
        tensors = load_file(folder / TRAINABLE_FILE) if (folder / TRAINABLE_FILE).is_file() else {}
        wrong = sorted(name for name, tensor in tensors.items() if wanted.get(name) != tensor.shape)
        missing = wanted.keys() - tensors.keys()
        if missing and is_peft(model):
            missing, unexpected = load_adapter(model, folder, missing)
            wrong += unexpected
        if wrong := wrong + sorted(missing):
            raise FtlabError(f"{folder}: holds other weights than this method's ({wrong[0]}); use the run's own config")
        model.load_state_dict(tensors, strict=False)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return a plain model with the update folded in.

        Raises:
            FtlabError: the method cannot be folded into the base's weights.
        """
        if is_peft(model) and hasattr(model.base_model, "merge_and_unload"):
            return model.base_model.merge_and_unload(safe_merge=True)  # type: ignore[operator]
        reason = "peft has no merge for it" if is_peft(model) else "it has none of its own"
        if is_peft(model) and model.active_peft_config.is_prompt_learning:  # type: ignore[union-attr]
            reason = "virtual tokens are inputs, not weights"
        raise FtlabError(f"method: {self.title} cannot be merged: {reason}; keep base and adapter apart")

    def switched_off(self, model: nn.Module) -> AbstractContextManager[None] | None:
        """Return a context in which the model answers as if nothing had been added to it; None where there is none.

        What is trained of the base's own parameters stays as it is. By default it is peft's, where peft made the model.
        """
        return switched_off(model) if is_peft(model) else None

    def exact(self) -> Method:
        """Return the same method with everything computed in fp32, for proofs of equality."""
        return self

    def _saves_unlike(self, cls: type[Method]) -> bool:
        own = type(self)
        return own.save is not cls.save or own.load is not cls.load


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable parameters by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}

"""Full fine-tuning: every parameter is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftlab.errors import FtlabError
from ftlab.methods import anatomy
from ftlab.methods.base import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Full(Method):
    """Train all parameters: the most capacity and memory, and the most forgetting."""

    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Type of the trained weights in memory; null is the model section's. `bfloat16` halves weights, gradients and
    the optimizer's state, but loses updates smaller than about 1/256 of a weight; `float16` overflows easily."""

    @property
    def own_files(self) -> bool:
        """Whether a class below has some: in a list, what it trains is saved as it is of any other method."""
        return self._saves_unlike(Full)

    def load_kwargs(self) -> dict[str, Any]:
        """Return the type, where it is set."""
        return {"dtype": self.dtype} if self.dtype else {}

    def apply(self, model: nn.Module) -> nn.Module:
        """Leave the model as it is; all of its parameters are trainable.

        Raises:
            ValueError: they are not, being packed.
        """
        anatomy.refuse_packed(model)
        return model

    def count(self, base: nn.Module) -> int:
        """Return the number of all parameters; a matrix tied to another counts once."""
        return anatomy.size(base)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write a plain transformers model."""
        model.save_pretrained(str(folder))  # type: ignore[operator]

    def load(self, model: nn.Module, folder: Path) -> None:
        """Read a plain transformers model's tensors; tied ones are stored once.

        Raises:
            FtlabError: tensors are missing or unknown.
        """
        from safetensors.torch import load_file

        tensors = {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}
        missing, unexpected = model.load_state_dict(tensors, strict=False)
        tied = set(getattr(model, "all_tied_weights_keys", None) or ())
        if wrong := unexpected + [key for key in missing if key not in tied]:
            raise FtlabError(f"{folder}: does not hold this model's weights ({wrong[0]}); use the run's own config")

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the model itself: nothing was added to it."""
        return model

    def exact(self) -> Method:
        """Return the same with the type of the model section, which is fp32 where equality is proved."""
        return replace(self, dtype=None)

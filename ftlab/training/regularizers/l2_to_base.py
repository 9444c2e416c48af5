"""L2ToBase: holds the weights near the base's. It knows no data and no answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ftlab.errors import SettingError, require
from ftlab.training.regularizers.base import Regularizer, share

if TYPE_CHECKING:
    from torch import Tensor

    from ftlab.methods.base import Method
    from ftlab.training.regularizers.start import Start


@dataclass
class L2ToBase(Regularizer):
    """Add strength / 2 * ||W - W_base||^2 to each step's loss: every weight is drawn back to the base's.

    W is every weight of the base that the method changes, itself or by what it adds: for LoRA, W - W_base is
    scaling * B A, whose norm is found without forming it. Unlike `weight_decay`, which draws to zero, it holds on to
    what the base knows. Of the base's own weights that are trained, a copy is kept in memory.

    Source: Li et al., "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", 2018,
    arXiv:1802.01483 (L2-SP).
    """

    reads_logits: ClassVar[bool] = False

    strength: float = 0.1
    """Factor of half the squared distance. Higher keeps more of the base and learns less; 0 changes nothing."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.strength >= 0, "regularizer.strength", self.strength, "0 or more")

    def prepare(self, model: Any, method: Method, start: Start, batches: list[dict[str, Tensor]]) -> None:
        """Keep the base's weights, and find the layers that a method adds to.

        Raises:
            SettingError: the method trains what neither is a weight of the base nor adds to one.
        """
        from ftlab.training.regularizers.updates import elsewhere, updates

        self._start = start
        self._updates = updates(model, start)
        if strange := elsewhere(start, self._updates):
            raise SettingError(
                "regularizer",
                f"L2ToBase measures how far weights move, and what {method.title} trains is neither a weight of the "
                f"base nor added to one ({strange[0]}); take KLToBase, which compares answers",
            )

    def penalty(self, model: Any, batch: dict[str, Tensor], logits: Any) -> Tensor:
        """Return the batch's part of strength / 2 * ||W - W_base||^2."""
        return self.distance(model) * (self.strength / 2) * share(batch)

    def distance(self, model: Any) -> Tensor:
        """Return ||W - W_base||^2 over all weights that are changed."""
        import torch

        from ftlab.training.regularizers.updates import squares

        # Of a start such as PiSSA's most cancels out, which leaves nothing right of products in bf16.
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            parts = [squares(now - base) for _, now, base in self._start.moved(model)]
            parts += [update.squares() for update in self._updates]
        return sum(part.to(parts[0].device) for part in parts)  # type: ignore[return-value]

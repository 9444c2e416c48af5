"""EWC: holds those weights near the base's that matter to what it knew. It knows no files and no trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftlab.data.sources import Source
from ftlab.errors import SettingError, require
from ftlab.training.regularizers.base import Regularizer, share

if TYPE_CHECKING:
    from torch import Tensor

    from ftlab.methods.base import Method
    from ftlab.training.regularizers.start import Start


@dataclass
class EWC(Regularizer):
    """Add strength / 2 * sum F_i (w_i - w_base,i)^2 to each step's loss: elastic weight consolidation.

    F is the diagonal of the base's Fisher information, the mean square of the gradient of the log-probability of
    answers, taken once over a sample before the first step: F_i = sum over examples of (d log p(answer | prompt) /
    d w_i)^2, divided by the number of answer tokens. For methods that train the base's own weights; it keeps the base's
    and F in memory, twice what is trained.

    Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", 2017, arXiv:1612.00796.
    """

    strength: float = 10_000.0
    """Factor of the penalty. Higher keeps more of the base and learns less; 0 changes nothing. F is small, the smaller
    the surer the base is of its answers, so useful strengths are large."""
    examples: int = 200
    """Size of the sample; each example takes a forward and a backward pass."""
    source: str | Source | None = None
    """What the sample is drawn from: data like that which is not to be forgotten. null takes the training data, which
    tells what matters to the new task instead."""
    labels: Literal["model", "data"] = "model"
    """Answers whose gradient is taken. `model`: tokens drawn from the base's own predictions, as the Fisher information
    is defined; `data`: those of the sample, the empirical Fisher, as most programs compute it."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.strength >= 0, "regularizer.strength", self.strength, "0 or more")
        require(self.examples >= 1, "regularizer.examples", self.examples, "1 or more")

    def prepare(self, model: Any, method: Method, start: Start, batches: list[dict[str, Tensor]]) -> None:
        """Take the Fisher information of the base.

        Raises:
            SettingError: the method trains weights that the base does not have.
        """
        from ftlab.training.regularizers.fisher import fisher

        if added := start.added():
            raise SettingError(
                "regularizer",
                f"EWC knows what the base's own weights matter, and {method.title} trains others ({added[0]}); take "
                "L2ToBase or KLToBase, or a method such as Full or Freeze",
            )
        self._start = start
        self._fisher = fisher(model, start, batches, drawn=self.labels == "model")

    def penalty(self, model: Any, batch: dict[str, Tensor], logits: Tensor) -> Tensor:
        """Return the batch's part of strength / 2 * sum F_i (w_i - w_base,i)^2."""
        parts = [(self._fisher[name] * (now - base) ** 2).sum() for name, now, base in self._start.moved(model)]
        return sum(part.to(parts[0].device) for part in parts) * (self.strength / 2) * share(batch)

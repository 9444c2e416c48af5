"""EWC: holds those weights near the base's that matter to what it knew. It knows no files and no trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
    d w_i)^2, divided by the number of answer tokens. For methods that train the base's own weights, and for those that
    add to them: for LoRA, w - w_base is scaling * B A. Of each weight that is trained itself, the base's and F are kept
    in memory; of each that is added to, F, and from each step's loss to its backward pass the sum that is added. In
    both cases that is twice the weights that change, however small the rank, and their gradients while F is taken.

    Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", 2017, arXiv:1612.00796.
    """

    reads_logits: ClassVar[bool] = False

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
        """Take the Fisher information of the base, and find the layers that a method adds to.

        Raises:
            SettingError: the method trains what neither is a weight of the base nor adds to one, or adds to one that
                has no gradient.
        """
        import torch

        from ftlab.training.regularizers.fisher import fisher
        from ftlab.training.regularizers.updates import elsewhere, updates

        self._start = start
        self._updates = updates(model, start)
        if strange := elsewhere(start, self._updates):
            raise SettingError(
                "regularizer",
                f"EWC knows what the base's own weights matter, and what {method.title} trains is neither one of them "
                f"nor added to one ({strange[0]}); take KLToBase, which compares answers",
            )
        known = dict(model.named_parameters(remove_duplicate=False))  # a tied one by all of its names
        with torch.no_grad():
            changed = [name for update in self._updates for name, _ in update.changes()]
        for name in changed:
            if name not in known or not known[name].is_floating_point() or known[name].element_size() == 1:
                raise SettingError(
                    "regularizer",
                    f"EWC needs a gradient of each weight of the base that changes, and {name} has none, as quantized "
                    "weights have not; take L2ToBase or KLToBase, or load the base in full",
                )
        frozen = {name: known[name] for name in changed if name not in start.values}
        self._fisher = fisher(model, start, batches, self.labels == "model", frozen)

    def penalty(self, model: Any, batch: dict[str, Tensor], logits: Any) -> Tensor:
        """Return the batch's part of strength / 2 * sum F_i (w_i - w_base,i)^2."""
        import torch

        # Of a start such as PiSSA's most cancels out, which leaves nothing right of products in bf16.
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            changes = {name: now - base for name, now, base in self._start.moved(model)}
            for update in self._updates:
                for name, change in update.changes():  # which may be of a weight that is trained as well
                    changes[name] = changes[name] + change if name in changes else change
            parts = [(self._fisher[name] * change**2).sum() for name, change in changes.items()]
        return sum(part.to(parts[0].device) for part in parts) * (self.strength / 2) * share(batch)

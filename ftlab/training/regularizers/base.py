"""Regularizer: the contract of a penalty that is added to the loss. It knows no trainer and no method's insides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ftlab.data.sources import Source

if TYPE_CHECKING:
    from torch import Tensor

    from ftlab.methods.base import Method
    from ftlab.training.regularizers.start import Start


class Regularizer(ABC):
    """What training pays for besides the loss. Subclasses are dataclasses: their fields are the settings in YAML."""

    #: How many examples `prepare` is given, and from where; a source of None is the training data.
    examples: int = 0
    source: str | Source | None = None
    #: Whether `penalty` looks at the logits, which then are computed at every position: slower, and more memory.
    reads_logits: ClassVar[bool] = True

    @abstractmethod
    def prepare(self, model: Any, method: Method, start: Start, batches: list[dict[str, Tensor]]) -> None:
        """Get ready, once before the first step, with the model on its device.

        A resumed run prepares anew while the model holds what the checkpoint held. Whatever is kept of the base is to
        be taken from `start`, so that such a run goes on with the penalty that it had.

        Args:
            model: the base with the method applied.
            method: it.
            start: what the trained parameters were before the first step of all.
            batches: of one example each, as `collate` makes them, on the model's device; the same on every rank.

        Raises:
            FtlabError: the penalty has no meaning for this method.
        """

    @abstractmethod
    def penalty(self, model: Any, batch: dict[str, Tensor], logits: Any) -> Tensor:
        """Return a batch's part of the penalty of its optimizer step, a scalar.

        The parts of all of a step's batches, on all ranks, must add up to the penalty however the step is cut into
        batches: `share` tells a batch's part of what does not depend on data.

        Args:
            model: the base with the method applied.
            batch: as `collate` makes it.
            logits: that the model gave for the batch, of all tokens but the last, which predict all but the first;
                None where `reads_logits` is false.
        """


def share(batch: dict[str, Tensor]) -> Tensor:
    """Return a batch's part of its optimizer step by supervised tokens; those of all batches and ranks add up to 1."""
    return batch["weights"][:, 1:].sum() / batch["step_tokens"]

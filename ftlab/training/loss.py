"""Loss: the weighted cross entropy of each token, and its mean in all and by source. It knows no trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from ftlab.data.loader import IGNORE
from ftlab.training.row_packing import forward_packed

Batch = dict[str, torch.Tensor]


class Losses(NamedTuple):
    """The losses of a batch's supervised tokens."""

    total: torch.Tensor
    """Their sum, which gradients flow from."""
    each: torch.Tensor
    """Each token's, times its weight, without gradients."""
    weights: torch.Tensor
    """Each token's."""
    sources: torch.Tensor | None
    """The number of each token's source; None where there is one only."""


def next_token_logits(model: Any, batch: Batch) -> tuple[torch.Tensor, Batch]:
    """Return the logits of all tokens but the last, which predict all but the first, and the batch as it was laid out.

    Args:
        model: a causal language model, with or without a method.
        batch: as `collate` makes it.
    """
    output, batch = forward_packed(model, batch)
    return output.logits[:, -batch["input_ids"].shape[1] : -1], batch  # virtual tokens come before


def logit_losses(logits: torch.Tensor, batch: Batch) -> Losses:
    """Return the losses that the logits of a whole batch give.

    Args:
        logits: of all tokens but the last.
        batch: that they are of.
    """
    labels = batch["labels"][:, 1:]
    learnt = labels != IGNORE
    weights = batch["weights"][:, 1:][learnt]
    losses = weights * functional.cross_entropy(logits[learnt].float(), labels[learnt], reduction="none")
    sources = batch["sources"][:, 1:][learnt] if "sources" in batch else None
    return Losses(losses.sum(), losses.detach(), weights, sources)


class Tally:
    """Losses of several batches, added up until they are read."""

    def __init__(self) -> None:
        self._sums: torch.Tensor | None = None  # of losses and of weights: in all, then of each source
        self._names: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Return whether there is anything to read."""
        return self._sums is not None

    def add(self, losses: Losses, names: Sequence[str] = ()) -> None:
        """Add some tokens.

        Args:
            losses: theirs.
            names: of the sources, by number.
        """
        both = torch.stack([losses.each, losses.weights])
        sums = [both.sum(dim=1)]
        if losses.sources is not None:
            sums += [(both * (losses.sources == i)).sum(dim=1) for i in range(len(names))]  # one order on every device
        self._names = names if losses.sources is not None else ()
        added = torch.stack(sums)
        self._sums = added if self._sums is None else self._sums + added

    def read(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the mean loss per weight as `loss`, and `loss/NAME` of each source that was seen; start anew.

        Args:
            reduce: sums over all devices.
        """
        assert self._sums is not None, "nothing was added"
        losses, weights = reduce(self._sums).unbind(dim=1)
        self._sums = None
        means = {"loss": losses[0] / weights[0]}
        for i, name in enumerate(self._names, start=1):
            if weights[i] > 0:
                means[f"loss/{name}"] = losses[i] / weights[i]
        return means

"""Loss: the weighted cross entropy of each token, and its mean in all and by source. It knows no trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from ftlab.data.loader import IGNORE
from ftlab.training.row_packing import forward_packed


def token_losses(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the weighted cross entropy of each supervised token, its weight, and its source if there are several.

    Args:
        model: a causal language model, with or without a method.
        batch: as `collate` makes it.
    """
    return weighted_losses(*next_token_logits(model, batch))


def next_token_logits(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the logits of all tokens but the last, which predict all but the first, and the batch as it was laid out.

    Args:
        model: a causal language model, with or without a method.
        batch: as `collate` makes it.
    """
    output, batch = forward_packed(model, batch)
    return output.logits[:, -batch["input_ids"].shape[1] : -1], batch  # virtual tokens come before


def weighted_losses(
    logits: torch.Tensor, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return what `token_losses` does, of logits and the batch that they are of."""
    labels = batch["labels"][:, 1:]
    learnt = labels != IGNORE
    weights = batch["weights"][:, 1:][learnt]
    losses = weights * functional.cross_entropy(logits[learnt].float(), labels[learnt], reduction="none")
    return losses, weights, batch["sources"][:, 1:][learnt] if "sources" in batch else None


class Tally:
    """Losses of several batches, added up until they are read."""

    def __init__(self) -> None:
        self._sums: torch.Tensor | None = None  # of losses and of weights: in all, then of each source
        self._names: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Return whether there is anything to read."""
        return self._sums is not None

    def add(
        self,
        losses: torch.Tensor,
        weights: torch.Tensor,
        sources: torch.Tensor | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Add some tokens.

        Args:
            losses: each token's, times its weight.
            weights: each token's.
            sources: the number of each token's source; None where there is one only.
            names: of the sources, by number.
        """
        both = torch.stack([losses.detach(), weights])
        sums = [both.sum(dim=1)]
        if sources is not None:
            sums += [(both * (sources == i)).sum(dim=1) for i in range(len(names))]  # in one order on every device
        self._names = names if sources is not None else ()
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

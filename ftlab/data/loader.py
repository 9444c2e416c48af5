"""Loader: follows a BatchPlan and turns its batches into padded tensors. It knows nothing of files or models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from ftlab.data.examples import Encoded, Examples
from ftlab.data.plan import BatchPlan
from ftlab.data.steps import Batch

#: The label that `cross_entropy` leaves out.
IGNORE = -100


def collate(
    rows: Sequence[Sequence[Encoded]],
    pad_id: int,
    step_tokens: float,
    sources: Sequence[Sequence[int]] | None = None,
) -> dict[str, torch.Tensor]:
    """Lay the examples of each row end to end and pad rows on the right to the longest.

    Padding is told from text by length alone, never by the pad id, so a real end token stays supervised also where
    it doubles as the pad token.

    Args:
        rows: the examples of each row.
        pad_id: fills the right side.
        step_tokens: summed weights of the whole optimizer step that this batch is part of.
        sources: the number of each example's source, laid out as the examples are.

    Returns:
        Tensors of shape (rows, length), int64 but for the weights: `input_ids`; `attention_mask`, 0 on padding;
        `labels`, `IGNORE` where nothing is learnt, as on each example's first token, which nothing before it predicts;
        `weights`, float32, how much each label counts; `position_ids`, from 0 in each example and in the padding, only
        where a row has several examples; `sources`, each token's, if they are given. And `step_tokens`, a scalar.
    """
    shape = (len(rows), max(sum(len(example.ids) for example in row) for row in rows))
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    weights = np.zeros(shape, dtype=np.float32)
    position_ids = np.zeros(shape, dtype=np.int64) if any(len(row) > 1 for row in rows) else None
    source_ids = np.zeros(shape, dtype=np.int64) if sources is not None else None
    for i, row in enumerate(rows):
        begin = 0
        for j, example in enumerate(row):
            end = begin + len(example.ids)
            input_ids[i, begin:end] = example.ids
            weights[i, begin + 1 : end] = example.weights[1:]
            if position_ids is not None:
                position_ids[i, begin:end] = np.arange(end - begin)
            if source_ids is not None and sources is not None:
                source_ids[i, begin:end] = sources[i][j]
            begin = end
        attention_mask[i, :begin] = 1
        if position_ids is not None:
            position_ids[i, begin:] = np.arange(shape[1] - begin)
    batch = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "labels": np.where(weights > 0, input_ids, IGNORE),
        "weights": weights,
    }
    if position_ids is not None:
        batch["position_ids"] = position_ids
    if source_ids is not None:
        batch["sources"] = source_ids
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    return tensors | {"step_tokens": torch.tensor(float(step_tokens))}


class PlanLoader:
    """Yields this rank's batches of the current epoch.

    Args:
        examples: the encoded data set.
        plan: says what goes together.
        pad_id: fills the right side.
        rank: whose batches.
        epoch: tells the epoch when an iteration starts.
        limit: batches of an epoch that will be asked for, or their share; a step cut short counts only those tokens.
        skip: batches that the first iteration leaves out, because a resumed run has had them.
    """

    def __init__(
        self,
        examples: Examples,
        plan: BatchPlan,
        pad_id: int,
        rank: int = 0,
        epoch: Callable[[], int] = lambda: 0,
        limit: float = 1.0,
        skip: int = 0,
    ) -> None:
        self.examples = examples
        self.plan = plan
        self.pad_id = pad_id
        self.rank = rank
        self.epoch = epoch
        self.limit = limit
        self.skip = skip
        self.delivered = 0  # batches of the epoch so far, skipped ones counted

    @property
    def sources(self) -> list[str]:
        """Names of the sources by number."""
        return self.examples.sources

    def __len__(self) -> int:
        """Return the number of batches of one rank in an epoch; every epoch has as many."""
        return self.plan.rounds

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Iterate over the epoch."""
        skip, self.skip = self.skip, 0
        self.delivered = 0
        steps = self.plan.epoch(self.epoch())
        left = self.limit if isinstance(self.limit, int) else int(self.limit * self.plan.rounds)
        for whole in steps:
            step = whole[:left]
            left -= len(step)
            together = [i for batches in step for batch in batches for row in batch for i in row]
            step_tokens = self.examples.supervised[together].sum()
            for batches in step:
                self.delivered += 1
                if self.delivered > skip:
                    yield self._collate(batches[self.rank], step_tokens)

    def _collate(self, batch: Batch, step_tokens: float) -> dict[str, torch.Tensor]:
        """Return the tensors of a batch, with sources where there are several."""
        rows = [[self.examples[i] for i in row] for row in batch]
        several = len(self.sources) > 1
        sources = [self.examples.source_ids[row].tolist() for row in batch] if several else None
        return collate(rows, self.pad_id, step_tokens, sources)

"""Loader: follows a BatchPlan and turns its batches into padded tensors. It knows nothing of files or models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from ftlab.data.chat import Encoded
from ftlab.data.plan import BatchPlan

#: The label that `cross_entropy` leaves out.
IGNORE = -100


def collate(examples: Sequence[Encoded], pad_id: int, step_tokens: int) -> dict[str, torch.Tensor]:
    """Pad examples on the right to the longest.

    Padding is told from text by length alone, never by the pad id, so a real end token stays supervised also where
    it doubles as the pad token.

    Returns:
        `input_ids`, `attention_mask`, `labels`, each int64 of shape (batch, length), labels `IGNORE` where nothing is
        learnt; `step_tokens`, a scalar: supervised tokens of the whole optimizer step that this batch is part of.
    """
    shape = (len(examples), max(len(example.ids) for example in examples))
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    labels = np.full(shape, IGNORE, dtype=np.int64)
    for row, example in enumerate(examples):
        length = len(example.ids)
        input_ids[row, :length] = example.ids
        attention_mask[row, :length] = 1
        labels[row, :length] = np.where(example.mask, example.ids, IGNORE)
    return {
        "input_ids": torch.from_numpy(input_ids),
        "attention_mask": torch.from_numpy(attention_mask),
        "labels": torch.from_numpy(labels),
        "step_tokens": torch.tensor(step_tokens),
    }


def supervised(example: Encoded) -> int:
    """Return how many tokens of an example are learnt from: the first token has nothing before it to predict it."""
    return int(example.mask[1:].sum())


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
        examples: Sequence[Encoded],
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

    def __len__(self) -> int:
        """Return the number of batches of one rank in an epoch; every epoch has as many."""
        return self.plan.rounds

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Iterate over the epoch."""
        skip, self.skip = self.skip, 0
        self.delivered = 0
        left = self.limit if isinstance(self.limit, int) else int(self.limit * len(self))
        for whole in self.plan.epoch(self.epoch()):
            step = whole[:left]
            left -= len(step)
            step_tokens = sum(supervised(self.examples[i]) for batches in step for batch in batches for i in batch)
            for batches in step:
                self.delivered += 1
                if self.delivered > skip:
                    yield collate([self.examples[i] for i in batches[self.rank]], self.pad_id, step_tokens)

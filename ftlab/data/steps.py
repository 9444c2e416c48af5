"""Steps: the batches of an epoch as lists of examples, made one step at a time. They know nothing of their order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: A row of a batch is a list of example indices, laid end to end; one alone unless they are packed.
PackedRow = list[int]
#: A batch is a list of rows; a step is a list of rounds; a round holds one batch for each rank.
Batch = list[PackedRow]
Step = list[list[Batch]]


class Steps:
    """The steps of an epoch. A million small lists, made all at once, would take longer than all of the planning.

    Args:
        rows: the examples of each row; an array where each is alone.
        steps: the same as what is made of it, with each batch an array of rows.
    """

    def __init__(self, rows: np.ndarray | list[PackedRow], steps: list[list[list[np.ndarray]]]) -> None:
        self._rows = rows
        self._steps = steps

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._steps)

    def __getitem__(self, index: int) -> Step:
        """Return a step."""
        return [[self._batch(batch) for batch in batches] for batches in self._steps[index]]

    def __iter__(self) -> Iterator[Step]:
        """Iterate over the steps."""
        return (self[i] for i in range(len(self)))

    def _batch(self, batch: np.ndarray) -> Batch:
        if isinstance(self._rows, np.ndarray):
            return self._rows[batch][:, None].tolist()
        return [self._rows[i] for i in batch.tolist()]

"""BatchPlan: which examples form which batch, and which batches one optimizer step. It knows nothing of tensors.

A pure function of (lengths, settings, seed, epoch): every process, every resumed run and the progress bar see the
same plan. Where batches are padded, examples of like length are put together, so that little padding is computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ftlab.data.evenly import dealt, evenly, resize
from ftlab.data.mixture import Selection
from ftlab.data.packing import best_fit
from ftlab.data.steps import PackedRow, Steps

#: Examples are sorted by length within pools of this many steps: enough to group lengths, little enough to mix.
POOL_STEPS = 50
#: In a fixed order examples are packed within stretches of this many: enough to fill rows, little enough to keep it.
STRETCH = 1000


class Part(NamedTuple):
    """Rows that are spread evenly over an epoch, apart from those of the other part."""

    rows: np.ndarray | list[PackedRow]
    """The examples of each row; an array where each is alone."""
    lengths: np.ndarray
    """Tokens of each row."""
    keys: np.ndarray | None
    """By what rows are ordered, None where at random."""


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """Batches of an epoch, deterministic in (seed, epoch).

    With a count, one step of `batch_size x accumulate x world_size` rows is drawn first and then cut, so that
    1 batch of 16, 4 accumulated batches of 4 and 16 of 1 hold the same examples in each step.

    All epochs have equally many rounds. Where each example comes once, that follows from the lengths. Where a selection
    draws other lengths each time, the epoch that is expected to have most tokens sets the number of packed rows and of
    batches that keep to a budget: in the others the largest are halved. Should there still be too many, a few chosen
    at random are left out of the epoch; no budget is ever exceeded.
    """

    lengths: Sequence[int] | np.ndarray
    """Number of tokens of each example."""
    batch_size: int = 8
    """Rows in one forward pass of one device; ignored where `batch_tokens` is set."""
    batch_tokens: int | None = None
    """Largest count of tokens in one forward pass, with any padding: as many rows as fit (at least one)."""
    accumulate: int = 1
    """Batches of one device in one optimizer step."""
    world_size: int = 1
    """Number of devices."""
    seed: int = 0
    """Seed of the order."""
    shuffle: bool = True
    """False: a fixed order, the longest batch first, so that memory runs out at once or never."""
    selection: Selection | None = None
    """Which examples an epoch draws; None is each of them once. What is replayed is spread evenly over the steps, or
    with `batch_tokens` over the batches, which then are either of it or of the rest."""
    keys: np.ndarray | None = None
    """A number for each example: an epoch begins with the smallest. Equal ones come in random order."""
    padded: bool = True
    """Whether the rows of a batch are padded to its longest. Where they are not, batches get nearly equal sums."""
    pack_length: int | None = None
    """Examples share rows of at most so many tokens; None gives each a row of its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot be planned."""
        drawn = self.selection.size if self.selection else len(self.lengths)
        if drawn < self.world_size:
            raise ValueError(f"{drawn} examples cannot be shared by {self.world_size} devices")
        if min(self.batch_size, self.accumulate, self.batch_tokens or 1) < 1:
            raise ValueError("batch_size, batch_tokens and accumulate must be at least 1")

    def epoch(self, number: int) -> Steps:
        """Return the steps of one epoch. Without a selection, every example is in exactly one batch.

        Only the last step may have fewer rounds than `accumulate`; each round has `world_size` batches.
        """
        rng = np.random.default_rng([self.seed, number])
        rows_wanted, batches_wanted = self._sizes
        parts = self._parts(rng, number, rows_wanted)
        if self.batch_tokens is None:
            steps = [self._cut(step) for step in self._by_count(rng, parts)]
        else:
            batches = self._by_tokens(rng, parts, batches_wanted)
            rounds = [batches[i : i + self.world_size] for i in range(0, len(batches), self.world_size)]
            steps = [rounds[i : i + self.accumulate] for i in range(0, len(rounds), self.accumulate)]
        if self.pack_length is None:
            return Steps(np.concatenate([part.rows for part in parts]), steps)
        return Steps([row for part in parts for row in part.rows], steps)

    @cached_property
    def rounds(self) -> int:
        """How many batches each device gets in an epoch; all epochs have as many."""
        rows, batches = self._sizes
        if self.batch_tokens is not None:
            return sum(batches) // self.world_size
        whole, rest = divmod(sum(rows), self.batch_size * self.accumulate * self.world_size)
        joined = whole and rest < self.world_size  # the step before takes them
        return whole * self.accumulate + (0 if joined else self._rounds_of(rest))

    @cached_property
    def _sizes(self) -> tuple[list[int], list[int]]:
        """How many rows and, with a budget of tokens, batches each part has in every epoch."""
        if self.pack_length is None and self.batch_tokens is None:
            return [self.selection.size if self.selection else len(self.lengths)], []
        number = self.selection.longest_epoch(self._lengths) if self.selection else 0
        rng = np.random.default_rng([self.seed, number])
        parts = self._parts(rng, number)
        rows = [len(part.rows) for part in parts]
        if sum(rows) < self.world_size:  # packed too well
            rows[int(np.argmax([sum(map(len, part.rows)) for part in parts]))] += self.world_size - sum(rows)
            parts = self._parts(rng, number, rows)
        if self.batch_tokens is None:
            return rows, []
        batches = [len(self._fill(rng, part)) for part in parts]
        largest = int(np.argmax(rows))
        missing = -sum(batches) % self.world_size  # each round needs a batch for every device
        if batches[largest] + missing <= rows[largest]:
            batches[largest] += missing
        else:  # nothing left to split
            batches[largest] -= sum(batches) % self.world_size
        return rows, batches

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.asarray(self.lengths, dtype=np.int64)

    def _parts(self, rng: np.random.Generator, number: int, wanted: Sequence[int] | None = None) -> list[Part]:
        """Return the rows of an epoch: those drawn at random or in order, and apart from them those replayed."""
        drawn = self.selection.draw(self.seed, number) if self.selection else [np.arange(len(self.lengths))]
        parts = []
        for at, examples in enumerate(drawn):
            keys = self.keys[examples] if self.keys is not None and at == 0 and self.shuffle else None
            if self.pack_length is None:
                parts.append(Part(examples, self._lengths[examples], keys))
            else:
                parts.append(self._pack(rng, examples, keys, wanted[at] if wanted else None))
        return parts

    def _pack(
        self, rng: np.random.Generator, examples: np.ndarray, keys: np.ndarray | None, wanted: int | None
    ) -> Part:
        """Return examples packed into rows; which of those of equal length share one is random.

        The number of rows depends on the lengths (and keys) alone, so that epochs of the same examples have the same.
        """
        lengths = self._lengths[examples]
        if keys is not None:
            order = np.lexsort((rng.random(len(examples)), lengths, keys))
            stretches = np.split(order, range(STRETCH, len(order), STRETCH))
        else:
            stretches = [rng.permutation(len(examples)) if self.shuffle else np.arange(len(examples))]
        rows: list[PackedRow] = []
        for stretch in stretches:
            own = examples[stretch].tolist()
            rows += [[own[i] for i in row] for row in best_fit(lengths[stretch], self.pack_length or 0)]
        if wanted is not None:
            rows = resize(rows, wanted, rng)
        starts = np.cumsum([0, *map(len, rows[:-1])])
        flat = np.fromiter(itertools.chain.from_iterable(rows), np.int64)
        sums = np.add.reduceat(self._lengths[flat], starts)
        if self.keys is None or keys is None:
            return Part(rows, sums, None)
        return Part(rows, sums, np.add.reduceat(self.keys[flat], starts) / np.array([len(row) for row in rows]))

    def _by_count(self, rng: np.random.Generator, parts: list[Part]) -> list[np.ndarray]:
        """Return the rows of each step; the incomplete one comes last, as Lightning's accumulation needs."""
        size = self.batch_size * self.accumulate * self.world_size
        lengths = np.concatenate([part.lengths for part in parts])
        part_of = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
        orders = []
        for at, part in enumerate(parts):
            if part.keys is not None:
                own = np.lexsort((rng.random(len(part.keys)), part.keys))
            else:
                own = rng.permutation(len(part.rows)) if self.shuffle else np.arange(len(part.rows))
            orders.append(np.flatnonzero(part_of == at)[own])
        order = evenly(orders)
        mixed = not self.padded and self.shuffle
        if mixed and len(parts) == 1 and parts[0].keys is None:
            order = dealt(order, lengths, size, self.accumulate * self.world_size, rng)
        elif parts[0].keys is None and not mixed:  # like lengths in one step, each part evenly
            pool = size * POOL_STEPS if self.shuffle else len(order)
            pools = [order[i : i + pool] for i in range(0, len(order), pool)]
            falling = [p[np.argsort(-lengths[p], kind="stable")] for p in pools]
            order = np.concatenate([evenly([p[part_of[p] == at] for at in range(len(parts))]) for p in falling])
        if self.padded and (len(parts) > 1 or parts[0].keys is not None):  # and within a step into one batch
            order = order[np.lexsort((-lengths[order], np.arange(len(order)) // size))]
        steps = [order[i : i + size] for i in range(0, len(order), size)]
        last = [steps.pop()] if len(steps[-1]) < size else []
        if self.shuffle and parts[0].keys is None:
            steps = [steps[i] for i in rng.permutation(len(steps))]
        if last and steps and len(last[0]) < self.world_size:  # too few for a batch on every device
            steps[-1] = np.concatenate([steps[-1], last.pop()])
        return steps + last

    def _rounds_of(self, rows: int) -> int:
        """Return how many rounds a step of so many rows has."""
        wanted = -(-rows // (self.batch_size * self.world_size))
        return max(1, min(wanted, self.accumulate, rows // self.world_size)) if rows else 0

    def _cut(self, step: np.ndarray) -> list[list[np.ndarray]]:
        """Cut a step into rounds of one batch a device; sizes differ by one at the most."""
        pieces = self._rounds_of(len(step)) * self.world_size
        bounds = [-(-len(step) * i // pieces) for i in range(pieces + 1)]
        batches = [step[begin:end] for begin, end in itertools.pairwise(bounds)]
        return [batches[i : i + self.world_size] for i in range(0, pieces, self.world_size)]

    def _by_tokens(self, rng: np.random.Generator, parts: list[Part], wanted: Sequence[int]) -> list[np.ndarray]:
        """Return the rows of each batch, in an even number for every device."""
        batches: list[list[np.ndarray]] = []
        start = 0
        for part, number in zip(parts, wanted, strict=True):
            filled = [start + batch for batch in self._fill(rng, part)]
            filled = resize(filled, number, rng, merge=self.selection is None)
            in_order = part.keys is not None or not self.shuffle
            batches.append(filled if in_order else [filled[i] for i in rng.permutation(len(filled))])
            start += len(part.rows)
        together = list(itertools.chain.from_iterable(batches))
        starts = np.cumsum([0, *map(len, batches)])
        return [together[i] for i in evenly([np.arange(a, b) for a, b in itertools.pairwise(starts)])]

    def _fill(self, rng: np.random.Generator, part: Part) -> list[np.ndarray]:
        """Fill batches up to the budget, along all lengths or in order; their number depends on lengths and keys."""
        budget = self.batch_tokens or 0
        chance = rng.random(len(part.rows)) if self.shuffle else np.arange(len(part.rows))
        if not self.padded and part.keys is None:
            order = np.argsort(chance)
            return [order[row] for row in best_fit(np.minimum(part.lengths[order], budget), budget)]
        order = np.lexsort((chance, -part.lengths) if part.keys is None else (chance, -part.lengths, part.keys))
        bounds, longest, total = [0], 0, 0
        for at, length in enumerate(part.lengths[order].tolist()):
            longest = max(longest, length)
            total += length
            size = (at + 1 - bounds[-1]) * longest if self.padded else total
            if at > bounds[-1] and size > budget:
                bounds.append(at)
                longest = total = length
        return [order[begin:end] for begin, end in itertools.pairwise([*bounds, len(order)])]

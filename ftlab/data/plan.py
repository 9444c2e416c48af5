"""BatchPlan: which examples form which batch, and which batches one optimizer step. It knows nothing of tensors.

A pure function of (lengths, settings, seed, epoch): every process, every resumed run and the progress bar see the
same plan. Examples of like length are put together, so that little padding is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: A batch is a list of example indices; a step is a list of rounds; a round holds one batch for each rank.
Batch = list[int]
Step = list[list[Batch]]

#: Examples are sorted by length within pools of this many steps: enough to group lengths, little enough to mix.
POOL_STEPS = 50


@dataclass(frozen=True)
class BatchPlan:
    """Batches of an epoch, deterministic in (seed, epoch).

    With a count, one step of `batch_size x accumulate x world_size` examples is drawn first and then cut, so that
    1 batch of 16, 4 accumulated batches of 4 and 16 of 1 hold the same examples in each step.
    """

    lengths: Sequence[int]
    """Number of tokens of each example."""
    batch_size: int = 8
    """Examples in one forward pass of one device; ignored where `batch_tokens` is set."""
    batch_tokens: int | None = None
    """Largest count of tokens in one forward pass, padding included: as many examples as fit (at least one)."""
    accumulate: int = 1
    """Batches of one device in one optimizer step."""
    world_size: int = 1
    """Number of devices."""
    seed: int = 0
    """Seed of the order."""
    shuffle: bool = True
    """False: a fixed order, the longest batch first, so that memory runs out at once or never."""

    def __post_init__(self) -> None:
        """Refuse what cannot be planned."""
        if len(self.lengths) < self.world_size:
            raise ValueError(f"{len(self.lengths)} examples cannot be shared by {self.world_size} devices")
        if min(self.batch_size, self.accumulate, self.batch_tokens or 1) < 1:
            raise ValueError("batch_size, batch_tokens and accumulate must be at least 1")

    def epoch(self, number: int) -> list[Step]:
        """Return the steps of one epoch. Every example is in exactly one batch.

        Only the last step may have fewer rounds than `accumulate`; each round has `world_size` batches.
        """
        rng = np.random.default_rng([self.seed, number])
        if self.batch_tokens is not None:
            steps = self._by_tokens(rng)
        else:
            steps = [self._cut(examples) for examples in self._by_count(rng)]
        return steps

    @cached_property
    def rounds(self) -> int:
        """How many batches each device gets in an epoch; all epochs have as many."""
        return sum(len(step) for step in self.epoch(0))

    def _order(self, rng: np.random.Generator, pool: int) -> list[np.ndarray]:
        """Return the examples in pools, each sorted by falling length; equal lengths in random order."""
        lengths = np.asarray(self.lengths)
        order = rng.permutation(len(lengths)) if self.shuffle else np.arange(len(lengths))
        pool = pool if self.shuffle else len(lengths)
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        return [p[np.argsort(-lengths[p], kind="stable")] for p in pools]

    def _by_count(self, rng: np.random.Generator) -> list[list[int]]:
        """Return the examples of each step; the incomplete one comes last, as Lightning's accumulation needs."""
        size = self.batch_size * self.accumulate * self.world_size
        steps = [
            pool[i : i + size].tolist()
            for pool in self._order(rng, size * POOL_STEPS)
            for i in range(0, len(pool), size)
        ]
        last = [steps.pop()] if len(steps[-1]) < size else []
        if self.shuffle:
            steps = [steps[i] for i in rng.permutation(len(steps))]
        if last and steps and len(last[0]) < self.world_size:  # too few for a batch on every device
            steps[-1] += last.pop()[:]
        return steps + last

    def _cut(self, examples: list[int]) -> Step:
        """Cut a step into rounds of one batch a device; sizes differ by one at the most."""
        wanted = -(-len(examples) // (self.batch_size * self.world_size))
        rounds = max(1, min(wanted, self.accumulate, len(examples) // self.world_size))
        pieces = np.array_split(np.array(examples), rounds * self.world_size)
        batches = [piece.tolist() for piece in pieces]
        return [batches[i : i + self.world_size] for i in range(0, len(batches), self.world_size)]

    def _by_tokens(self, rng: np.random.Generator) -> list[Step]:
        """Fill batches up to the budget along all lengths, so that every epoch has the same number of batches."""
        budget = self.batch_tokens or 0
        batches: list[Batch] = []
        batch: Batch = []
        for example in self._order(rng, len(self.lengths))[0].tolist():  # falling: the first of a batch is its longest
            if batch and (len(batch) + 1) * self.lengths[batch[0]] > budget:
                batches.append(batch)
                batch = []
            batch.append(example)
        batches.append(batch)
        missing = -len(batches) % self.world_size  # each round needs a batch for every device
        if len(batches) + missing <= len(self.lengths):
            for _ in range(missing):
                largest = max(batches, key=len)
                batches.remove(largest)
                half = len(largest) // 2
                batches += [largest[:half], largest[half:]]
        else:  # nothing left to split: the shortest examples share a batch beyond the budget
            for _ in range(len(batches) % self.world_size):
                batches[-2:] = [batches[-2] + batches[-1]]
        if self.shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        rounds = [batches[i : i + self.world_size] for i in range(0, len(batches), self.world_size)]
        return [rounds[i : i + self.accumulate] for i in range(0, len(rounds), self.accumulate)]

"""Mixture: which examples of several sources each epoch draws. It knows nothing of their order or of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from ftlab.data.rows import Rows
from ftlab.data.sources import Source
from ftlab.errors import SettingError, require


@dataclass
class Mixture:
    """How an epoch draws from sources that have weights or counts; without either, each example comes once."""

    stop: Literal["first", "all"] = "first"
    """With weights, an epoch ends when the `first` source is used up, or when `all` have been seen, some repeatedly."""
    size: int | None = None
    """With weights, number of examples in an epoch; replaces `stop`."""
    replacement: bool = False
    """False: no example of a source comes again, in this epoch or a later one, before all others of it have come."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.size is None or self.size >= 1, "data.mixture.size", self.size, "1 or more")


@dataclass
class Replay:
    """Examples of what the model knows already, mixed into every step so that it forgets less."""

    source: str | Source
    """A file, or anything else that one entry of `data.train` may be."""
    share: float = 0.1
    """Share of each epoch's examples, evenly spread over its steps. The training data all come besides."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(0 < self.share < 1, "data.replay.share", self.share, "a share between 0 and 1")


@dataclass(frozen=True, eq=False)
class Selection:
    """Which examples an epoch is made of: a pure function of (seed, epoch). All epochs have equally many."""

    pools: Sequence[np.ndarray]
    """The examples of each source."""
    counts: np.ndarray
    """How many each pool gives in each epoch, shape (epochs, pools); the last line holds for all later ones too."""
    replacement: bool = False
    """Whether each draw is from the whole pool; else pools are gone through in ever new orders, across epochs."""
    replayed: bool = False
    """Whether the last pool is to be spread evenly over the epoch."""

    @property
    def size(self) -> int:
        """Number of examples in an epoch."""
        return int(self.counts[0].sum())

    def draw(self, seed: int, epoch: int) -> list[np.ndarray]:
        """Return the examples of an epoch, in no useful order; those that are replayed apart from the others."""
        later = max(0, epoch - len(self.counts))
        starts = self.counts[:epoch].sum(axis=0) + later * self.counts[-1]
        counts = self.counts[min(epoch, len(self.counts) - 1)]
        drawn = [self._draw(seed, epoch, pool, int(starts[pool]), int(counts[pool])) for pool in range(len(self.pools))]
        if not self.replayed:
            return [np.concatenate(drawn)]
        return [np.concatenate(drawn[:-1]), drawn[-1]]

    def longest_epoch(self, lengths: np.ndarray) -> int:
        """Return the epoch that is expected to have most tokens, the first of equals."""
        means = np.array([lengths[pool].mean() if len(pool) else 0.0 for pool in self.pools])
        return int(np.argmax(self.counts @ means))

    def _draw(self, seed: int, epoch: int, pool: int, start: int, count: int) -> np.ndarray:
        """Return `count` of a pool; without replacement those from `start` on in its endless row of new orders."""
        examples = self.pools[pool]
        if not count:
            return examples[:0]
        if self.replacement:
            # numpy takes [7, 0] and [7, 0, 0] for one seed: the last number is never 0
            return examples[np.random.default_rng([seed, epoch, pool, 1]).integers(len(examples), size=count)]
        first, last = start // len(examples), (start + count - 1) // len(examples)
        orders = [
            np.random.default_rng([seed, cycle, pool, 2]).permutation(len(examples)) for cycle in range(first, last + 1)
        ]
        begin = start - first * len(examples)
        return examples[np.concatenate(orders)[begin : begin + count]]


def select(
    source_ids: np.ndarray,
    names: Sequence[str],
    sources: Sequence[Source],
    mixture: Mixture | None = None,
    replay: Replay | None = None,
    replayed: np.ndarray | None = None,
    epochs: int | None = None,
) -> Selection | None:
    """Return what the settings choose of the examples, None where that is each of them once.

    Args:
        source_ids: the source of each example.
        names: what the ids stand for.
        sources: the training data's, named, with their weights and counts.
        mixture: how they are drawn from.
        replay: how much of the replayed source is mixed in.
        replayed: True for each example of the replayed source.
        epochs: epochs of the run, over which weights move.

    Raises:
        SettingError: weights and counts do not go together, or a source that is drawn from has no example.
    """
    mixture = mixture or Mixture()
    ids = {name: i for i, name in enumerate(names)}
    own = np.ones(len(source_ids), dtype=bool) if replayed is None else ~replayed
    pools = [np.flatnonzero((source_ids == ids.get(source.name or "", -1)) & own) for source in sources]
    counts = _counts(sources, np.array([len(pool) for pool in pools]), mixture, epochs)
    if replay is not None and replayed is not None:
        pools.append(np.flatnonzero(replayed))
        if not len(pools[-1]):
            raise SettingError("data.replay.source", "no example of it is left; loosen data.unfit or leave it out")
        size = max(1, round(counts[0].sum() * replay.share / (1 - replay.share)))
        counts = np.column_stack([counts, np.full(len(counts), size)])
        return Selection(pools, counts, mixture.replacement, replayed=True)
    once = len(counts) == 1 and counts[0].tolist() == [len(pool) for pool in pools]
    return None if once and not mixture.replacement else Selection(pools, counts, mixture.replacement)


def join(train: Rows, replay: Rows) -> Rows:
    """Return rows to learn from and, behind them, rows to replay; the tables are not copied."""
    table = pa.concat_tables([train.table, replay.table])
    return Rows(table, np.concatenate([train.indices, replay.indices + train.table.num_rows]))


def _counts(sources: Sequence[Source], sizes: np.ndarray, mixture: Mixture, epochs: int | None) -> np.ndarray:
    """Return how many examples each source gives in each epoch, shape (epochs, sources)."""
    weighted = [source for source in sources if source.weight is not None or source.weight_end is not None]
    counted = [source for source in sources if source.count is not None]
    if weighted and counted:
        raise SettingError(
            "data.train", f"{weighted[0].name} has a weight and {counted[0].name} a count; take one kind"
        )
    if not weighted:
        if mixture.size is not None and not counted:
            return quotas(sizes, mixture.size)[None]
        if mixture.size is not None:
            raise SettingError("data.mixture.size", "the counts of the sources make the size; leave one of them out")
        counts = np.array([size if s.count is None else s.count for s, size in zip(sources, sizes, strict=True)])
        _require_examples(sources, sizes, counts)
        return counts[None]
    for source in sources:
        if source.weight is None or min(source.weight, source.weight_end or 0) < 0:
            what = "has no weight, though others have" if source.weight is None else "has a weight below 0"
            raise SettingError("data.train", f"{source.name} {what}; give it one of 0 or more")
    begin = np.array([source.weight for source in sources], dtype=float)
    end = np.array(
        [source.weight if source.weight_end is None else source.weight_end for source in sources], dtype=float
    )
    moving = bool((begin != end).any())
    if moving and (epochs is None or epochs < 2):
        raise SettingError(
            "data.train", "weight_end: weights move over the epochs; set trainer.max_epochs to 2 or more, not max_steps"
        )
    if not begin.sum() or not end.sum():
        raise SettingError("data.train", "the weights of all sources are 0; give one of them more")
    _require_examples(sources, sizes, begin + end)
    begin, end = begin / begin.sum(), end / end.sum()
    way = np.linspace(0, 1, epochs or 1)[:, None] if moving else np.zeros((1, 1))
    weights = (1 - way) * begin + way * end
    size = mixture.size
    if size is None:
        # all epochs need the same size: where weights move, what their mean over the run would use up
        mean = weights.mean(axis=0)
        ends = sizes[mean > 0] / mean[mean > 0]
        size = int(np.floor(ends.min() + 1e-6)) if mixture.stop == "first" else int(np.ceil(ends.max() - 1e-6))
    return np.stack([quotas(line, max(1, size)) for line in weights])


def _require_examples(sources: Sequence[Source], sizes: np.ndarray, wanted: np.ndarray) -> None:
    for source, size, much in zip(sources, sizes, wanted, strict=True):
        if much < 0:
            raise SettingError("data.train", f"{source.name} has a count below 0; give it one of 0 or more")
        if much and not size:
            raise SettingError("data.train", f"{source.name} is to be drawn from and no example of it is left")
    if not wanted.sum():
        raise SettingError("data.train", "the counts of all sources are 0; give one of them more")


def quotas(weights: np.ndarray, size: int) -> np.ndarray:
    """Return whole numbers in proportion to the weights that add up to the size, by largest remainders."""
    exact = weights / weights.sum() * size
    counts = np.floor(exact + 1e-9).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: size - counts.sum()]] += 1
    return counts

"""Neighbours: an index of the held-out questions, and what stands out from its surroundings. It knows no rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Literal, get_args

import numpy as np

from ftlab.data.quality.wording import Said

Kind = Literal["exact", "normalised", "number_masked", "near"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
#: Least similarity (Jaccard's, of shingles) of near duplicates: two neighbours of ten words replaced leave 0.58.
#: Texts with other numbers are mostly other questions, however alike they sound.
NEAR, NEAR_OTHER_NUMBERS = 0.55, 0.8
#: The same with the same numbers but another outcome: a slot that is refilled leaves 0.88 of 25 words.
NEAR_OTHER_ANSWER = 0.9
#: A pair does not stand out where so many other fillings of the wording are so many times as alike.
FILLINGS, AS_ALIKE = 3, 0.6
#: The same where no close pair of the split stands out, and where all do: one case is judged by the others too.
AS_ALIKE_AMONG_TEMPLATES, AS_ALIKE_ELSEWHERE = 0.45, 0.8
#: Most entries of the index that one question looks at, the rarest shingles first.
_BUDGET = 4096


class Held:
    """The held-out questions, by all that may be equal.

    Args:
        splits: names of the held-out splits.
    """

    def __init__(self, splits: Sequence[str]) -> None:
        self.splits = list(splits)
        self.closest: dict[int, float] = {}
        """Of the held-out questions that are close to another one, but not equal to it, how close they are."""
        self._rows: list[tuple[str, int]] = []
        self._said: list[Said] = []
        self._by: dict[str, dict[tuple[str, int], int]] = {
            name: {} for name in ("exact", "normalised", "number_masked", "reordered")
        }

    def add(self, split: str, row: int, said: Said) -> None:
        """Add a question of a split."""
        at = len(self._said)
        self._rows.append((split, row))
        self._said.append(said)
        for name, index in self._by.items():
            index.setdefault((split, getattr(said, name)), at)

    def freeze(self) -> None:
        """Make the index, after the last question."""
        sizes = np.array([len(said.shingles) for said in self._said])
        shingles = np.concatenate([said.shingles for said in self._said])
        owners = np.repeat(np.arange(len(sizes)), sizes)
        order = np.argsort(shingles, kind="stable")
        self._owners, self._sizes = owners[order], sizes
        self._shingles, self._starts = np.unique(shingles[order], return_index=True)
        self._counts = np.diff(self._starts, append=len(shingles))
        #: Of each question, the similarity of the best few other fillings, and of the last of those.
        self._fillings: list[dict[Hashable, float]] = [{} for _ in self._said]
        self._last = np.zeros(len(sizes))

    def split_of(self, at: int) -> str:
        """Return the split of a question."""
        return self._rows[at][0]

    def row_of(self, at: int) -> int:
        """Return the index of a question's row in its split."""
        return self._rows[at][1]

    def stands_out(self, kind: Kind, at: int, similarity: float, as_alike: float) -> bool:
        """Return whether a pair is much more alike than other fillings of its wording are."""
        return kind in ("exact", "normalised") or bool(self._last[at] < as_alike * similarity)

    def as_alike(self) -> dict[str, float]:
        """Return for each split how alike the other fillings of a template are, after the last question was met."""
        bars = {}
        for split in self.splits:
            close = [(at, best) for at, best in self.closest.items() if self.split_of(at) == split]
            templates = sum(not self.stands_out("near", at, best, AS_ALIKE) for at, best in close)
            usual = (templates + 1) / (len(close) + 2)
            bars[split] = AS_ALIKE_ELSEWHERE - usual * (AS_ALIKE_ELSEWHERE - AS_ALIKE_AMONG_TEMPLATES)
        return bars

    def meet(self, said: Said, splits: Iterable[str]) -> Iterator[tuple[Kind, int, float, bool]]:
        """Return the closest held-out question of each split, if it may be a leak; and learn what fillings there are.

        The last of each is whether the answers are the same.

        Args:
            said: a question of any split.
            splits: those into which it would leak.
        """
        near, similarities = self._near(said.shingles)
        if not len(near) and said.long:  # even equal ones, numbers masked, would be among those
            return
        for at, similarity in zip(near, similarities, strict=True):
            if similarity > self._last[at]:
                self._learn(int(at), said, float(similarity))
        alike = dict(zip(near.tolist(), similarities.tolist(), strict=True))
        for split in splits:
            if not (closest := self._closest(said, split, alike)):
                continue
            kind, at, similarity = closest
            if kind not in ("exact", "normalised"):
                self.closest[at] = max(similarity, self.closest.get(at, 0.0))
            if self._may_leak(kind, at, similarity, said):
                yield *closest, said.answered == self._said[at].answered

    def twins(self, at: int) -> list[int]:
        """Return the close questions of which this one would be a leak."""
        said = self._said[at]
        near, similarities = self._near(said.shingles)
        close = []
        for k in np.argsort(-similarities, kind="stable"):
            i, similarity = int(near[k]), float(similarities[k])
            if not self.stands_out("near", at, similarity, AS_ALIKE_ELSEWHERE):
                break  # nor do those that are less alike: of a template few are looked at
            self._learn(at, self._said[i], similarity)
            if i != at and (kind := _kind(said, self._said[i], similarity)):
                close.append((kind, i, similarity))
        return [i for kind, i, similarity in close if self._may_leak(kind, at, similarity, self._said[i])]

    def _may_leak(self, kind: Kind, at: int, similarity: float, said: Said) -> bool:
        # a pair that does not stand out by now will not do so later
        return self.stands_out(kind, at, similarity, AS_ALIKE_ELSEWHERE) and (
            kind in ("exact", "normalised") or _is_one(said, self._said[at], similarity)
        )

    def _closest(self, said: Said, split: str, alike: dict[int, float]) -> tuple[Kind, int, float] | None:
        equal = {
            at: alike.get(at, 1.0)
            for name, index in self._by.items()
            if (at := index.get((split, getattr(said, name)))) is not None
        }
        close = [
            (_KINDS.index(kind), -similarity, at)
            for at, similarity in (equal | {i: s for i, s in alike.items() if self.split_of(i) == split}).items()
            if (kind := _kind(said, self._said[at], similarity))
        ]
        if not close:
            return None
        order, similarity, at = min(close)
        return _KINDS[order], at, -similarity

    def _near(self, shingles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the questions that could matter and the similarity of each."""
        least = NEAR * AS_ALIKE
        nothing = np.zeros(0, np.int64), np.zeros(0)
        if not len(shingles) or not len(self._shingles):
            return nothing
        at = np.minimum(np.searchsorted(self._shingles, shingles), len(self._shingles) - 1)
        at = at[self._shingles[at] == shingles]
        if len(at) < least * len(shingles):
            return nothing
        at = at[np.argsort(self._counts[at], kind="stable")]
        looked_at = max(1, int(np.searchsorted(np.cumsum(self._counts[at]), _BUDGET, side="right")))
        entries = [self._owners[self._starts[i] : self._starts[i] + self._counts[i]] for i in at[:looked_at]]
        owners, shared = np.unique(np.concatenate(entries), return_counts=True)
        unseen = len(at) - looked_at
        if unseen:  # the rest is too common to point anywhere: count it for the best ones only
            best = np.argsort(-shared, kind="stable")[:32]
            owners = owners[best]
            shared = np.array(
                [np.intersect1d(shingles, self._said[i].shingles, assume_unique=True).size for i in owners]
            )
        similarity = shared / (len(shingles) + self._sizes[owners] - shared)
        enough = similarity >= least
        return owners[enough], similarity[enough]

    def _learn(self, at: int, said: Said, similarity: float) -> None:
        """Learn of another filling: it has other numbers, or the same ones but another outcome."""
        held, fillings = self._said[at], self._fillings[at]
        if said.numbers != held.numbers:
            filling: Hashable = said.numbers
        elif said.outcome != held.outcome and None not in (said.outcome, held.outcome):
            filling = said.normalised  # several answers to one question make one filling
        else:
            return
        fillings[filling] = max(similarity, fillings.get(filling, 0.0))
        if len(fillings) > FILLINGS:
            del fillings[min(fillings, key=lambda filling: fillings[filling])]
        if len(fillings) == FILLINGS:
            self._last[at] = min(fillings.values())


def _kind(one: Said, other: Said, similarity: float) -> Kind | None:
    """Return how alike two questions are, None where they are not close."""
    if one.normalised == other.normalised:
        return "exact" if one.exact == other.exact else "normalised"
    if one.number_masked == other.number_masked:
        return "number_masked" if one.long or _mostly_equal(one.numbers, other.numbers) else None
    if not (one.long and other.long):
        return None
    if one.reordered == other.reordered or similarity >= NEAR_OTHER_NUMBERS:
        return "near"
    return "near" if similarity >= NEAR and sorted(one.numbers) == sorted(other.numbers) else None


def _is_one(one: Said, other: Said, similarity: float) -> bool:
    """Return whether two close questions may be one: by their answers, as exercises have others with other numbers."""
    if one.numbers != other.numbers:
        return one.answered == other.answered and not _refilled(one, other)
    return one.outcome == other.outcome or similarity >= NEAR_OTHER_ANSWER


def _mostly_equal(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return 2 * sum(a == b for a, b in zip(one, other, strict=True)) > len(one)


def _refilled(one: Said, other: Said) -> bool:
    """Return whether most of the numbers differ, two at least: then the wording is a template, and no question."""
    most = max(len(one.numbers), len(other.numbers))
    differ = most - (Counter(one.numbers) & Counter(other.numbers)).total()
    return differ >= 2 and 2 * differ > most

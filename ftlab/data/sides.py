"""Sides: which side each row goes to, so that units stay whole and classes keep their shares. They know no rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def assign(units: np.ndarray, classes: np.ndarray, sizes: Sequence[float], seed: int) -> np.ndarray:
    """Return the side of each row.

    Units of several rows go first, the largest ahead, each to the side that lacks most rows of its classes and most
    rows in all, of the sides with room for it: the greedy way of scikit-learn's StratifiedGroupKFold, for sides of
    unlike size. Rows that stand alone then fill up what is missing by systematic sampling over the rows sorted by
    class (Madow and Madow, 1944, "On the theory of systematic sampling"), as its StratifiedKFold does: sizes are
    exact, and of each class a side gets its share to within about a row.

    Args:
        units: a number for each row, from 0 on; equal ones stay together.
        classes: a number for each row, from 0 on; all sides get the same shares of each.
        sizes: wanted rows of each side, in sum all of them.
        seed: of which rows.
    """
    rng = np.random.default_rng([seed, 0x5B11])
    shares = np.asarray(sizes) / len(units)
    room = np.diff(np.floor(np.cumsum([0, *sizes]) + 1e-6)).tolist()
    lacking = np.outer(np.bincount(classes), shares)
    members = np.bincount(units)[units]
    sides = np.full(len(units), -1)
    order = rng.permutation(len(units))
    together = order[members[order] > 1]
    together = together[np.lexsort((units[together], -members[together]))]
    begun = _Begun(shares.tolist())
    for unit in np.split(together, np.flatnonzero(np.diff(units[together])) + 1) if len(together) else []:
        counts = Counter(classes[unit].tolist())
        side = sides[unit] = begun.place(counts, room)
        room[side] -= len(unit)
        for number, count in counts.items():
            lacking[number, side] -= count
    alone = order[members[order] == 1]
    alone = alone[np.argsort(classes[alone], kind="stable")]
    sides[alone] = _systematic(classes[alone], lacking.clip(0), np.clip(room, 0, None), rng)
    return sides


class _Begun:
    """How far units have been shared out, in all and by class: what each side is behind its share so far.

    Args:
        shares: of the sides.
    """

    def __init__(self, shares: list[float]) -> None:
        self.shares = shares
        self.behind: dict[int, list[float]] = {}  # by class; -1 is all of them

    def place(self, counts: dict[int, int], room: Sequence[float]) -> int:
        """Return the side for a unit of so many rows by class, and note it."""
        size = sum(counts.values())
        parts = [*counts.items(), (-1, size)]
        need = [0.0] * len(self.shares)
        for number, count in parts:
            behind = self.behind.setdefault(number, [0.0] * len(need))
            for side, share in enumerate(self.shares):
                behind[side] += share * count
                need[side] += behind[side] * count
        sides = [side for side, share in enumerate(self.shares) if share]
        emptiest = [(round(room[side] / self.shares[side], 6), need[side], side) for side in sides]
        fitting = [(need[side], side) for side in sides if room[side] >= size]
        chosen = max(fitting)[-1] if fitting else max(emptiest)[-1]
        for number, count in parts:
            self.behind[number][chosen] -= count
        return chosen


def _systematic(classes: np.ndarray, lacking: np.ndarray, room: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the side of each row of a list sorted by class, so that each stretch of it has what it lacks.

    Args:
        classes: of the rows, sorted.
        lacking: rows that each side lacks, by class.
        room: rows that each side lacks in all.
        rng: where the sampling starts.
    """
    count = len(classes)
    if not count:
        return np.zeros(0, dtype=np.int64)
    per_class = lacking[classes] + 1e-9
    wanted = np.cumsum(per_class / per_class.sum(axis=1, keepdims=True), axis=0)
    slots = np.diff(np.floor(np.cumsum([0, *(room / room.sum() * count)]) + 1e-6)).astype(int)
    places = [
        np.interp((np.arange(n) + start) / max(n, 1), wanted[:, side] / wanted[-1, side], np.arange(count))
        for side, (n, start) in enumerate(zip(slots, rng.random(len(slots)), strict=True))
    ]
    return np.repeat(np.arange(len(slots)), slots)[np.argsort(np.concatenate(places), kind="stable")]

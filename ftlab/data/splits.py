"""Splits: which rows are learnt from, validated on and tested on. It knows nothing of tokens."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ftlab.data.quality.leaks import twins
from ftlab.data.quality.text import compared_question, normalised
from ftlab.data.rows import Row, Rows
from ftlab.errors import FtlabError, SettingError, require

#: Named as the column to stratify by: the closing assistant turn.
ANSWER = "answer"

#: Of more rows only equal questions are kept together: to look for near ones takes the memory of all of them.
_MOST_FOR_TWINS = 100_000


@dataclass
class Split:
    """Rows held out of the training data.

    Rows that ask the same question always stay on one side; and of up to 100,000 rows, those that would be leaks.
    """

    validation: int | float = 0.1
    """Share (below 1) or number of rows for the validation loss; where `data.fold` is set, the fold takes its place."""
    test: int | float = 0
    """Share (below 1) or number of rows that are neither learnt from nor validated on; the same in every fold."""
    stratify: str | None = None
    """Column whose values have the same shares on every side, or `answer`: the closing assistant turn."""
    group: str | None = None
    """Column whose equal values stay on one side. Sizes and strata are then kept as well as whole groups allow."""
    seed: int = 0
    """Another seed draws other rows. It is not the run's seed, so that runs that differ in theirs share a split."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        for key in ("validation", "test"):
            value = getattr(self, key)
            possible = 0 <= value < 1 or (isinstance(value, int) and value >= 0)
            require(possible, f"data.split.{key}", value, "a share below 1 or a whole number of rows")
        require(self.seed >= 0, "data.split.seed", self.seed, "0 or more")


def split_rows(rows: Rows, split: Split, fold: str | None = None) -> dict[str, Rows]:
    """Return views of the rows: `train`, and `validation` and `test` where they are wanted.

    It depends on nothing but the rows and the settings: every process and every run of them gets the same sides, and
    over the folds 1/k to k/k each row that is not in `test` is validated on exactly once.

    Args:
        rows: all rows.
        split: what is held out.
        fold: `2/5` validates on the second of five equal parts.

    Raises:
        FtlabError: a column is missing in a row, or so few rows differ that a side would be empty.
    """
    number, parts = parse_fold(fold) if fold else (0, 1)
    asked = {"validation": split.validation, "test": split.test}
    wanted = {name: round(len(rows) * share) if share < 1 else int(share) for name, share in asked.items()}
    if fold:
        rest = len(rows) - wanted["test"]
        sizes = [rest / parts] * parts + [wanted["test"]]
        names = ["validation" if i + 1 == number else "train" for i in range(parts)] + ["test"]
    else:
        sizes = [len(rows) - sum(wanted.values()), *wanted.values()]
        names = ["train", *wanted]
    if min(sizes) < 0 or sizes[0] <= 0:
        raise SettingError("data.split", f"nothing of the {len(rows)} rows is left to learn from; hold out fewer")
    sides = assign(*_read(rows, split), sizes, split.seed)
    for side, (name, size) in enumerate(zip(names, sizes, strict=True)):
        if (size or asked.get(name)) and not (sides == side).any():
            raise SettingError(
                "data.fold" if fold else f"data.split.{name}",
                f"no row of {len(rows)} is on the side `{name}`; there are too few rows or groups to share out",
            )
    return {
        name: rows.take(np.flatnonzero(np.isin(sides, [i for i, side in enumerate(names) if side == name])))
        for name in dict.fromkeys(names)
        if name == "train" or asked[name] or (fold and name == "validation")
    }


def parse_fold(fold: str) -> tuple[int, int]:
    """Return `2/5` as (2, 5).

    Raises:
        SettingError: it is not a fold.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", fold)
    number, parts = map(int, found.groups()) if found else (0, 0)
    require(1 <= number <= parts and parts >= 2, "data.fold", fold, "a fold, such as 2/5 for the second of five")
    return number, parts


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
    begun = Begun(shares.tolist())
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


class Begun:
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


def _read(rows: Rows, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the unit and of the class of each row."""
    questions, groups, classes = (_Numbers() for _ in range(3))
    for i, row in enumerate(tqdm(rows, desc="splitting", unit=" rows", delay=2, leave=False)):
        questions.add(normalised(compared_question(row)))
        if split.group:
            value = _column(row, "group", split.group)
            groups.add([i] if value is None else value)  # without a value it is a group of its own
        if split.stratify:
            value = row.reference if split.stratify == ANSWER else _column(row, "stratify", split.stratify)
            classes.add(value)
    if len(classes.known) > max(2, len(rows) / 2):
        raise SettingError(
            "data.split.stratify",
            f"{split.stratify!r} has {len(classes.known)} values in {len(rows)} rows; take a column with few",
        )
    units = np.array(questions.numbers, dtype=np.int64)
    if split.group:
        units = _joined(units, units, len(questions.known) + np.array(groups.numbers))
    if len(rows) <= _MOST_FOR_TWINS and (pairs := twins(rows)):
        one, other = np.array(pairs).T
        units = _joined(units, units[one], units[other])
    return units, np.array(classes.numbers or [0] * len(rows), dtype=np.int64)


def _joined(units: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the number of the unit of each row, after each of some numbers has been joined with another one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = 1 + max(units.max(), one.max(), other.max())
    _, unit_of = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(size, size)), directed=False)
    return np.unique(unit_of[units], return_inverse=True)[1]


class _Numbers:
    """Gives equal values equal numbers, from 0 on."""

    def __init__(self) -> None:
        self.known: dict[bytes, int] = {}
        self.numbers: list[int] = []

    def add(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()  # short, for a million of them
        self.numbers.append(self.known.setdefault(digest, len(self.known)))


def _column(row: Row, setting: str, name: str) -> Any:
    if name not in row.extra:
        known = ", ".join(row.extra) or "none"
        raise FtlabError(f"{row.place}: no column {name!r}, which data.split.{setting} names; there are: {known}")
    return row.extra[name]

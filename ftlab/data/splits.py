"""Splits: which rows are learnt from, validated on and tested on. It knows nothing of tokens."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ftlab.data.quality.leaks import twins
from ftlab.data.quality.text import compared_question, normalised
from ftlab.data.rows import Row, Rows
from ftlab.data.sides import assign
from ftlab.errors import FtlabError, SettingError, require
from ftlab.plugins import warn

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
    units, classes = _read(rows, split)
    sides = assign(units, classes, sizes, split.seed)
    for side, (name, size) in enumerate(zip(names, sizes, strict=True)):
        if (size or asked.get(name)) and not (sides == side).any():
            key = "data.fold" if fold else "data.split.group" if split.group else f"data.split.{name}"
            raise SettingError(key, f"no row of {len(rows)} is on the side `{name}`; {_remedy(units, split, fold)}")
    parts_of = {
        name: rows.take(np.flatnonzero(np.isin(sides, [i for i, side in enumerate(names) if side == name])))
        for name in dict.fromkeys(names)
        if name == "train" or asked[name] or (fold and name == "validation")
    }
    for name, part in parts_of.items() if split.group else ():
        size = sum(each for side, each in zip(names, sizes, strict=True) if side == name)
        if not size / 2 <= len(part) <= size * 2:
            off = f"data.split.group: `{name}` has {len(part):,} of {len(rows):,} rows where {size:,.0f} are wanted"
            warn(f"{off}; {_remedy(units, split, fold)}")
    return parts_of


def parse_fold(fold: str) -> tuple[int, int]:
    """Return `2/5` as (2, 5).

    Raises:
        SettingError: it is not a fold.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", fold)
    number, parts = map(int, found.groups()) if found else (0, 0)
    require(1 <= number <= parts and parts >= 2, "data.fold", fold, "a fold, such as 2/5 for the second of five")
    return number, parts


def _remedy(units: np.ndarray, split: Split, fold: str | None) -> str:
    """Say what stands in the way of the sizes that are wanted, and what to do."""
    sizes = np.bincount(units)
    if split.group:
        few = "fewer folds" if fold else "other shares"
        return (
            f"rows that stay together by {split.group!r} make {len(sizes):,} group{'s'[: len(sizes) > 1]}, the "
            f"largest of {sizes.max():,} rows; take {few} or a column with more and smaller groups, or leave "
            "data.split.group out"
        )
    together = f" (equal questions stay together, which leaves {len(sizes):,} to share out)" * (len(sizes) < len(units))
    return f"add rows, or {'take fewer folds' if fold else 'hold out more of them or none'}{together}"


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

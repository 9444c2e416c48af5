"""Curriculum: by what the examples of an epoch are ordered. It knows nothing of batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from tqdm import tqdm

from ftlab.data.examples import Examples
from ftlab.data.rows import Rows
from ftlab.errors import FtlabError

#: Named as the column to sort by: the number of tokens.
LENGTH = "length"


@dataclass
class Curriculum:
    """A fixed order over each epoch in place of a random one; what ranks alike comes in random order."""

    by: str = LENGTH
    """Column of numbers or texts, such as a difficulty or a date, or `length`: the number of tokens."""
    order: Literal["ascending", "descending"] = "ascending"
    """`ascending` begins with the smallest: the easiest, the oldest, the shortest."""


def order_keys(curriculum: Curriculum, rows: Rows, examples: Examples, ordered: np.ndarray | None = None) -> np.ndarray:
    """Return a number for each example; an epoch begins with the smallest.

    Args:
        curriculum: what they stand for.
        rows: what the examples were made of.
        examples: the examples.
        ordered: False for each example whose place is not asked for, such as one that is replayed; its key is 0.

    Raises:
        FtlabError: a row lacks the column, or has neither a number nor a text there, or others have the other kind.
    """
    chosen = np.arange(len(examples)) if ordered is None else np.flatnonzero(ordered)
    keys = np.zeros(len(examples))
    if curriculum.by == LENGTH:
        keys[chosen] = examples.lengths[chosen]
    else:
        used, of = np.unique(examples.row_ids[chosen], return_inverse=True)
        bar = tqdm(used, desc=f"sorting by {curriculum.by}", unit=" rows", delay=2, leave=False)
        values = [_value(rows, int(row), curriculum.by) for row in bar]
        kinds = [isinstance(value, str) for value in values]
        if any(kinds) and not all(kinds):
            place = rows.place(int(used[kinds.index(not kinds[0])]))
            reason = f"column {curriculum.by!r} has a text in some rows and a number in others; make them one kind"
            raise FtlabError(f"{place}: data.curriculum.by: {reason}")
        column = np.unique(values, return_inverse=True)[1] if any(kinds) else np.array(values, dtype=float)
        keys[chosen] = column[of]
    return -keys if curriculum.order == "descending" else keys


def _value(rows: Rows, row: int, column: str) -> float | str:
    extra = rows[row].extra
    value = extra.get(column)
    if isinstance(value, (int, float, str)) and value == value:  # which NaN is not
        return value
    known = ", ".join(extra) or "none"
    what = f"no column {column!r}" if column not in extra else f"column {column!r} is {value!r}, which has no order"
    raise FtlabError(f"{rows.place(row)}: data.curriculum.by: {what}; there are: {known}")

"""Packing: which examples share a row, so that little of it is padding. It knows nothing of tokens or order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

#: A row is full when less than one of so many parts is empty: to look for more would use up what later rows need.
PARTS = 64


def best_fit(lengths: Sequence[int] | np.ndarray, capacity: int) -> list[list[int]]:
    """Put examples into rows: the longest that is left, and with it the longest others that fill the row.

    Args:
        lengths: number of tokens of each example.
        capacity: number of tokens that a row has room for.

    Returns:
        for each row the indices of its examples, each example in exactly one row.

    Raises:
        ValueError: an example is longer than a row.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if len(lengths) and lengths.max() > capacity:
        raise ValueError(f"an example of {lengths.max()} tokens does not fit into a row of {capacity}")
    stock: dict[int, list[int]] = {}
    for example, length in zip(range(len(lengths) - 1, -1, -1), reversed(lengths.tolist()), strict=True):
        stock.setdefault(length, []).append(example)
    kinds = sorted(stock)
    rows: list[list[int]] = []
    with tqdm(total=len(lengths), desc="packing", unit=" examples", delay=2, leave=False) as bar:
        while kinds:
            longest = kinds[-1]
            row = []
            for length in (longest, *_filling(stock, kinds, longest, capacity)):
                row.append(stock[length].pop())
                if not stock[length]:
                    kinds.pop(bisect_left(kinds, length))
            rows.append(row)
            bar.update(len(row))
    return rows


def _filling(stock: dict[int, list[int]], kinds: list[int], longest: int, capacity: int) -> list[int]:
    """Return lengths in stock that fill a row beside its longest example, as long ones as possible.

    Args:
        stock: examples by length.
        kinds: its lengths, rising.
        longest: an example in stock that has its place.
        capacity: of the row.
    """
    room = capacity - longest
    within = (2 << room) - 1
    full = within >> (least := max(0, room - capacity // PARTS)) << least
    sums, tried = 1, []  # bit i is set where some of the lengths tried so far add up to i
    for at in range(bisect_right(kinds, room) - 1, -1, -1):
        length = kinds[at]
        for _ in range(min(len(stock[length]) - (length == longest), room // length)):
            if sums & full:
                break
            more = sums | sums << length & within
            if more == sums:
                break
            tried.append((sums, length))
            sums = more
        if sums & full:
            break
    left, chosen = sums.bit_length() - 1, []
    for before, length in reversed(tried):
        if not before >> left & 1:  # this sum needs the length
            chosen.append(length)
            left -= length
    return chosen

"""Duplicates: rows that say what an earlier row says, and questions with more than one answer. They drop nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ftlab.data.quality.text import compared, compared_answer, digest, normalised
from ftlab.data.quality.wording import Wording, sample
from ftlab.data.rows import Row, Rows

#: Least similarity (Jaccard's, of shingles) of near duplicates, and the bands of hashes that find them: at this
#: similarity 99 of 100 pairs share a band, at half of it 1 of 5.
NEAR, BANDS, HASHES_PER_BAND = 0.7, 16, 4


@dataclass(frozen=True)
class Prints:
    """Hashes of rows, uint64, shape (rows,): equal ones mark equal rows."""

    exact: np.ndarray
    """Of all messages as they are."""
    normalised: np.ndarray
    """Without case, punctuation and white space."""
    number_masked: np.ndarray
    """The same with all numbers alike."""
    question: np.ndarray
    """Of the prompt alone, normalised, with what the system says."""
    answer: np.ndarray
    """Of the closing assistant turn alone, normalised; the same number for all rows without one."""


def prints(rows: Rows) -> Prints:
    """Return the hashes of some rows."""
    found = np.empty((len(rows), 5), np.uint64)
    wording = Wording(())
    for i, row in enumerate(tqdm(rows, "comparing rows", unit="row", delay=2, leave=False)):
        said = wording(whole(row))
        asked = "\n".join(f"{m['role']}: {normalised(compared(m))}" for m in row.prompt)
        ended = compared_answer(row)
        found[i] = (
            digest(json.dumps([row.messages, row.tools, row.rejected], sort_keys=True, ensure_ascii=False)),
            said.normalised,
            said.number_masked,
            digest(asked),
            0 if ended is None else digest(normalised(ended)),
        )
    return Prints(*found.T)


def groups(keys: np.ndarray) -> list[np.ndarray]:
    """Return the indices of equal keys, in order, for each key that occurs more than once; by first occurrence."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    repeated = [group for group in np.split(order, starts) if len(group) > 1]
    return sorted(repeated, key=lambda group: int(group[0]))


def near_groups(rows: Rows) -> list[np.ndarray]:
    """Return groups of indices of rows that nearly say what the first of the group says, in order.

    They share 0.7 of their words and pairs of words, boilerplate aside, and have the same numbers in the same order:
    exercises that differ in a number are two exercises. Candidates come from MinHash, each is then compared in full.
    """
    from datasketch import MinHash, MinHashLSH

    wording = Wording(map(whole, sample(rows)))
    index = MinHashLSH(num_perm=BANDS * HASHES_PER_BAND, params=(BANDS, HASHES_PER_BAND))
    empty = MinHash(num_perm=BANDS * HASHES_PER_BAND, hashfunc=int)
    kept: dict[int, np.ndarray] = {}
    found: dict[int, list[int]] = {}
    for i, row in enumerate(tqdm(rows, "looking for near duplicates", unit="row", delay=2, leave=False)):
        said = wording(whole(row))
        if not said.long:
            continue
        hashes = _with_numbers(said.shingles, " ".join(said.numbers))
        sketch = empty.copy()
        sketch.update_batch(hashes.tolist())
        similar = ((_jaccard(hashes, kept[j]), -j) for j in index.query(sketch))
        alike, first = max(similar, default=(0.0, 0))
        if alike >= NEAR:
            found.setdefault(-first, [-first]).append(i)
        else:
            index.insert(i, sketch, check_duplication=False)
            kept[i] = hashes
    return [np.array(found[first]) for first in sorted(found)]


def conflicts(prints: Prints) -> list[np.ndarray]:
    """Return the indices of the rows of each question that has different answers."""
    return [group for group in groups(prints.question) if len(np.unique(prints.answer[group])) > 1]


def firsts(all_groups: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Return each row that repeats another one, with the first one of its group."""
    for group in all_groups:
        for later in group[1:]:
            yield int(later), int(group[0])


def whole(row: Row) -> str:
    """Return all that a row says, its roles between."""
    return "\n".join(f"{message['role']}: {compared(message)}" for message in row.messages)


def _with_numbers(shingles: np.ndarray, numbers: str) -> np.ndarray:
    """Return 32 bits of each shingle that agree between two texts only if their numbers do."""
    mixed = (shingles ^ np.uint64(digest(numbers))) * np.uint64(0x9E3779B97F4A7C15)
    return np.unique(mixed >> np.uint64(32))


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    shared = np.intersect1d(one, other, assume_unique=True).size
    return shared / (len(one) + len(other) - shared)

"""Evenly: pieces brought to a number, and parts spread over a whole. It knows nothing of what is in them."""

from __future__ import annotations

import heapq
import itertools
from typing import Any

import numpy as np


def resize(pieces: list[Any], wanted: int, rng: np.random.Generator, merge: bool = False) -> list[Any]:
    """Return so many pieces: the largest are halved in their places where there are too few.

    Args:
        pieces: lists or arrays.
        wanted: their number; no more than all pieces together have members.
        rng: chooses what is left out where there are too many.
        merge: put the last pieces into one instead of leaving any out.
    """
    if len(pieces) > wanted and not merge:
        return [pieces[i] for i in np.sort(rng.permutation(len(pieces))[:wanted])]
    while len(pieces) > wanted:
        pieces = [*pieces[:-2], np.concatenate(pieces[-2:])]
    halves = [[piece] for piece in pieces]
    heap = [(-len(piece), at, 0) for at, piece in enumerate(pieces)]
    if len(pieces) < wanted:
        heapq.heapify(heap)
    for _ in range(wanted - len(pieces)):
        size, at, i = heapq.heappop(heap)
        piece, middle = halves[at][i], -size // 2
        halves[at][i] = piece[:middle]
        halves[at].append(piece[middle:])
        heapq.heappush(heap, (-middle, at, i))
        heapq.heappush(heap, (size + middle, at, len(halves[at]) - 1))
    return list(itertools.chain.from_iterable(halves))


def evenly(parts: list[np.ndarray]) -> np.ndarray:
    """Return the parts in one, each in its order and evenly spread over the whole."""
    if len(parts) == 1:
        return parts[0]
    places = np.concatenate([(np.arange(len(part)) + 0.5) / max(len(part), 1) for part in parts])
    return np.concatenate(parts)[np.argsort(places, kind="stable")]

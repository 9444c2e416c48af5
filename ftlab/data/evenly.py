"""Evenly: pieces brought to a number, and parts and sizes spread over a whole. It knows not what they are of."""

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


def dealt(members: np.ndarray, sizes: np.ndarray, hand: int, pieces: int, rng: np.random.Generator) -> np.ndarray:
    """Return members in an order whose hands are of nearly equal sizes together, each drawn at random.

    The smallest are dealt first, one to each hand, then the next larger ones, and so on; what is left comes last.

    Args:
        members: in random order.
        sizes: by member.
        hand: members of one.
        pieces: into so many equal ones a hand is cut, of nearly equal sizes too.
        rng: decides who gets which of those that are dealt together.
    """
    hands = len(members) // hand
    members, left = np.split(members, [hands * hand])
    if not hands:
        return left
    turns = rng.permuted(members[np.argsort(sizes[members], kind="stable")].reshape(hand, hands), axis=1)
    to_and_fro = np.arange(hand).reshape(-1, pieces)
    to_and_fro[1::2] = to_and_fro[1::2, ::-1]
    return np.concatenate([turns[to_and_fro.T.ravel()].T.ravel(), left])

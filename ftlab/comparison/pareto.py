"""Pareto: which of several costs buy something that no lower cost buys. It does not know what costs what."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other beats, in the order of their cost.

    One beats another that costs no less and is worth no more, and is not its equal in both.

    Args:
        points: cost and worth of each.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] > points[kept[-1]][1] or points[i] == points[kept[-1]]:
            kept.append(i)
    return kept

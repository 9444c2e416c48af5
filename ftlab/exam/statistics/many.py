"""Many comparisons: p-values corrected for how many differences were looked at. It knows nothing of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ftlab.exam.statistics.paired import Difference, agree


def holm(p_values: Sequence[float], family: int) -> list[float]:
    """Return p-values of which any below 0.05 is false in at most 5 % of families (Holm, 1979).

    The i-th smallest is multiplied by family - i + 1, and none is less than the one before it; see "A simple
    sequentially rejective multiple test procedure".

    Args:
        p_values: of the differences that are reported.
        family: how many could have been reported. The best of m runs was chosen by the scores that are tested, so that
            all m (m - 1) / 2 pairs count and not only the m - 1 with the best.
    """
    corrected_p, floor = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, (family - rank) * p_values[i]))
        corrected_p[i] = floor
    return corrected_p


def corrected(differences: Sequence[Difference], family: int) -> list[Difference]:
    """Return the differences with p after Holm; an interval that is no longer beyond chance then reaches 0.

    Args:
        differences: to be reported together.
        family: see `holm`.
    """
    result = []
    for found, p_value in zip(differences, holm([d.p_value for d in differences], family), strict=True):
        low, high = agree(found.low, found.high, p_value, found.points)
        result.append(replace(found, p_value=p_value, low=low, high=high, comparisons=family))
    return result

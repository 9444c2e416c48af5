"""Retention: how much of an ability was kept. It knows nothing of which ability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ftlab.exam.statistics.paired import Difference, difference


@dataclass(frozen=True)
class Kept:
    """The share of the score before that is there after, with its 95 % interval, and the points gained or lost.

    The share is None where there was nothing to keep.
    """

    share: float | None
    low: float | None
    high: float | None
    difference: Difference

    def __str__(self) -> str:
        """Return `kept 94 % (90 to 98)`."""
        return format_kept(self.told)

    @property
    def told(self) -> dict[str, float] | None:
        """Share and interval as data; None where there was nothing to keep."""
        if self.share is None or self.low is None or self.high is None:
            return None
        return {"share": self.share, "low": self.low, "high": self.high}


def format_kept(told: Mapping[str, float] | None) -> str:
    """Return `kept 94 % (90 to 98)`, or `nothing to keep`.

    Args:
        told: `share`, `low` and `high`, as `Kept.told` has them and a run's summary keeps them.
    """
    if not told:
        return "nothing to keep"
    share, low, high = (f"{100 * told[key]:.0f}" for key in ("share", "low", "high"))
    return f"kept {share} % ({low} to {high})"


def kept(before: Sequence[float], after: Sequence[float]) -> Kept:
    """Return how much of the score of a sitting is there in a later sitting of the same questions.

    share = after / before = 1 + difference / before, and so is each end of its interval, so that it holds 1 exactly
    where no difference is shown. The score before counts as known. Where points were lost that makes the interval a
    little too wide: its share in the variance would be smaller by (1 - share) (1 + share - 2 r), which is not negative
    as long as r, the covariance of the sittings over the variance before, is at most (1 + share) / 2.

    Args:
        before: points between 0 and 1, by question.
        after: the same questions in the same order.
    """
    found = difference(before, after)
    level = 100 * float(np.mean(np.asarray(before, dtype=float)))
    if level == 0:
        return Kept(None, None, None, found)
    share, low, high = (max(0.0, 1 + value / level) for value in (found.points, found.low, found.high))
    return Kept(share, low, high, found)

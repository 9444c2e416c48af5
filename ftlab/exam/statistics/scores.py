"""Scores: a mean of points with its interval. It knows nothing of what was graded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from ftlab.exam.statistics.resampling import bootstrap_mean


@dataclass(frozen=True)
class Score:
    """A mean of points with its 95 % interval, all of 100."""

    score: float
    low: float
    high: float
    questions: int

    def __str__(self) -> str:
        """Return `91 (87 to 94)`."""
        return f"{self.score:.0f} ({self.low:.0f} to {self.high:.0f})"


def score(points: Sequence[float]) -> Score:
    """Return the mean of points between 0 and 1 with its 95 % interval.

    Right or wrong grading gets Wilson's interval (Wilson, 1927, "Probable inference, the law of succession, and
    statistical inference"). Points in between get the expanded BCa bootstrap (see `bootstrap_mean`); where all points
    are equal it would claim certainty, so Wilson's interval of the mean, which is then too wide rather than too narrow,
    takes its place.

    The intervals cover 93 to 97 % on average over true scores. At each single one no interval can promise that, because
    n right or wrong answers have n + 1 outcomes: with n = 20 and true scores from 10 to 90 Wilson's covers 92.6 to 98.1
    % (Brown, Cai and DasGupta, 2001, "Interval estimation for a binomial proportion"). Of 20 questions of which nearly
    all get the same points, the bootstrap covers from 90 to 99 %.
    """
    values = np.asarray(points, dtype=float)
    n, mean = len(values), float(np.mean(values))
    if set(values) <= {0.0, 1.0} or np.ptp(values) == 0:
        low, high = wilson(mean, n)
    else:
        low, high = bootstrap_mean(values)
    return Score(100 * mean, 100 * low, 100 * high, n)


def wilson(mean: float, n: int) -> tuple[float, float]:
    """Return Wilson's interval of a mean of n values, which need not be a whole number of hits."""
    z = scipy.stats.norm.ppf(0.975)
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    # at 0 and at 1 rounding may push the bound past the mean
    return min(mean, max(0.0, float(centre - half))), max(mean, min(1.0, float(centre + half)))

"""Statistics of an exam: scores with intervals, and whether a difference is real. All through scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Resamples of the bootstrap and the permutation test; their smallest p is 2 / (RESAMPLES + 1).
RESAMPLES = 9999


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
    statistical inference"). Points in between get the percentile bootstrap (Efron, 1979), with a fixed seed so that a
    report can be made again; where all points are equal it would claim certainty, so Wilson's interval of the mean,
    which is then too wide rather than too narrow, takes its place.
    """
    values = np.asarray(points, dtype=float)
    n, mean = len(values), float(np.mean(values))
    if set(values) <= {0.0, 1.0} or np.ptp(values) == 0:
        low, high = _wilson(mean, n)
    else:
        interval = stats.bootstrap(
            (values,), np.mean, method="percentile", n_resamples=RESAMPLES, rng=np.random.default_rng(0)
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return Score(100 * mean, 100 * low, 100 * high, n)


def paired_p_value(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the two-sided p of no difference between two sittings of the same questions.

    McNemar's exact test (McNemar, 1947) where grading is right or wrong, else the sign-flip permutation test.
    """
    difference = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    changed = difference[difference != 0]
    if not len(changed):
        return 1.0
    if set(np.abs(changed)) == {1.0}:
        return float(stats.binomtest(int((changed > 0).sum()), len(changed)).pvalue)
    result = stats.permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def format_p(p: float) -> str:
    """Return `p < 0.001` or `p = 0.042`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _wilson(mean: float, n: int) -> tuple[float, float]:
    """Return Wilson's interval of a mean of n values, which need not be a whole number of hits."""
    z = stats.norm.ppf(0.975)
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    # at 0 and at 1 rounding may push the bound past the mean
    return min(mean, max(0.0, float(centre - half))), max(mean, min(1.0, float(centre + half)))

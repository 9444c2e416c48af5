"""Seeds: several runs of one configuration joined, and two such groups compared. It knows nothing of runs' folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from ftlab.exam.statistics.paired import Difference, difference


@dataclass(frozen=True)
class SeedMean:
    """The mean score of runs that differ in nothing but the seed, with its 95 % interval over seeds, all of 100."""

    score: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        """Return `91 (87 to 94)`."""
        return f"{self.score:.0f} ({self.low:.0f} to {self.high:.0f})"


def join_seeds(scores: Sequence[float]) -> SeedMean:
    """Return the mean of the scores of at least two seeds with Student's t interval, cut at 0 and 100.

    Mean ± t s / √k, with s the standard deviation of the k scores and t of k - 1 degrees of freedom (Student, 1908,
    "The probable error of a mean"). It answers how another seed would do on the same questions.
    """
    values = np.asarray(scores, dtype=float)
    seeds, mean = len(values), float(np.mean(values))
    if seeds < 2:
        raise ValueError("one seed has no spread")
    half = float(scipy.stats.t.ppf(0.975, seeds - 1) * scipy.stats.sem(values))
    return SeedMean(mean, max(0.0, mean - half), min(100.0, mean + half), seeds)


def compare_seeds(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> Difference:
    """Return how much better the second group of runs is on the same questions.

    Both seeds and questions are a sample, so the variance of the difference is the sum of three: of the seeds' means
    before, over their number; the same after; and of the difference by question, over n. Chance that belongs to neither
    seeds nor questions alone counts in each, so the sum is never too small (Owen, 2007, "The pigeonhole bootstrap").
    The last is (Σ(d - d̄)² + 1) / (n + 2), as if each outcome of right and wrong before and after had come up half a
    time more, so that few questions that agree are no proof (after Agresti and Min, 2005, "Simple improved confidence
    intervals for comparing matched proportions"). Interval and p are Student's t with Satterthwaite's degrees of
    freedom (1946, "An approximate distribution of estimates of variance components"), but no more than the seeds give:
    with many questions and two seeds on either side it would name a winner too often.

    Where one group has a single seed, its spread is taken to be the other's. With one seed on both sides only the
    questions are a sample: the paired test of `difference`, which cannot tell a method from its seed.

    Args:
        before: for each seed the points between 0 and 1, by question.
        after: the same questions in the same order.
    """
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    counts = (len(first), len(second))
    if counts == (1, 1):
        return replace(difference(first[0], second[0]), seeds=counts)
    parts = _seed_parts(first.mean(axis=1), second.mean(axis=1))
    change = second.mean(axis=0) - first.mean(axis=0)
    n, mean = len(change), float(np.mean(change))
    parts.append(((float(np.sum((change - mean) ** 2)) + 1) / (n + 2) / n, max(1, n - 1)))
    variance = sum(part for part, _ in parts)
    freedom = min(variance**2 / sum(part**2 / free for part, free in parts), sum(counts) - 2)
    error = float(np.sqrt(variance))
    p_value = float(2 * scipy.stats.t.sf(abs(mean) / error, freedom))
    half = float(scipy.stats.t.ppf(0.975, freedom)) * error
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return Difference(100 * mean, 100 * low, 100 * high, p_value, n, 100 * half, counts)


def _seed_parts(first: np.ndarray, second: np.ndarray) -> list[tuple[float, int]]:
    """Return the variance of each group's mean and its degrees of freedom."""
    if len(first) > 1 and len(second) > 1:
        return [(float(np.var(group, ddof=1)) / len(group), len(group) - 1) for group in (first, second)]
    several = max(first, second, key=len)
    return [(float(np.var(several, ddof=1)) * (1 + 1 / len(several)), len(several) - 1)]

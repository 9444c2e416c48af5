"""Paired differences: two sittings of the same questions, with interval and exact test. It knows nothing of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from ftlab.exam.statistics.resampling import bootstrap_mean, flipped_sums

#: A difference is shown where p is below this.
ALPHA = 0.05

#: Fewest changed questions that the tests can call a difference: 2 / 2**6 is the first such p below 0.05.
FEWEST = 6


@dataclass(frozen=True)
class Difference:
    """A difference between two sittings, after minus before, in points of 100.

    The test decides, and the interval never contradicts it: it lies on one side of 0 where p < 0.05 and holds 0
    elsewhere.
    """

    points: float
    low: float
    high: float
    p_value: float
    questions: int
    least: float | None
    """The smallest difference that would have been shown; None where none could."""
    seeds: tuple[int, int] | None = None
    """Runs before and after that differ in nothing but the seed; None where no runs are compared."""
    comparisons: int = 1
    """Comparisons for which p was corrected."""

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p_value < ALPHA

    def __str__(self) -> str:
        """Return `+12 (3 to 20)`."""
        return f"{self.points:+.0f} ({self.low:.0f} to {self.high:.0f})"


def difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Return how much better the second sitting of the same questions was.

    p: McNemar's exact test (McNemar, 1947) where grading is right or wrong, else the sign-flip permutation test
    (Fisher, 1935, "The design of experiments", section 21).

    Interval: Tango's score interval (Tango, 1998, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design") where grading is right or wrong, else the expanded BCa bootstrap (see
    `bootstrap_mean`). Where fewer than six questions changed there is too little to resample, so Tango's interval, as
    if each had changed by a whole point, takes its place, which is too wide rather than too narrow. Interval and test
    disagree in rare cases at the border; the interval then ends at 0, on the side that the test decides.

    Least: the smallest difference with p < 0.05 among all that have the same questions changed by the same amounts,
    with any signs; that is, the test's critical value. It follows how much the two sittings disagree, so that a printed
    difference is never as large as a least that it failed to reach. Where fewer than six questions changed it is six
    times their mean change (or a whole point, where none changed) over n: ten questions graded right or wrong can show
    no less than 60 points.

    Args:
        before: points between 0 and 1, by question.
        after: the same questions in the same order.
    """
    change = _change(before, after)
    if not len(change):
        raise ValueError("no questions to compare")
    n, mean = len(change), float(np.mean(change))
    changed = change[change != 0]
    gained, lost = int((changed > 0).sum()), int((changed < 0).sum())
    whole = bool(np.all(np.abs(changed) == 1))
    p_value, least = _test(changed)
    if len(changed) < FEWEST:
        least = FEWEST * float(np.mean(np.abs(changed))) if len(changed) else float(FEWEST)
    if whole or len(changed) < FEWEST:
        low, high = tango(gained, lost, n)
        low, high = min(low, mean), max(high, mean)
    elif np.ptp(change) == 0:  # every question by the same amount: nothing varies, and no resample would
        low, high = tango(gained, lost, n)
        low, high = abs(mean) * low, abs(mean) * high
    else:
        low, high = bootstrap_mean(change)
    low, high = agree(low, high, p_value, mean)
    reachable = None if least is None or n < FEWEST else 100 * least / n
    return Difference(100 * mean, 100 * low, 100 * high, p_value, n, reachable)


def paired_p_value(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the two-sided p of no difference between two sittings of the same questions; see `difference`."""
    change = _change(before, after)
    return _test(change[change != 0])[0]


def agree(low: float, high: float, p_value: float, mean: float) -> tuple[float, float]:
    """Return the interval with its end at 0 where it would contradict the test."""
    if p_value >= ALPHA:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 0.0), high) if mean > 0 else (low, min(high, 0.0))


def tango(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Return Tango's score interval of a paired difference of proportions.

    The differences δ with (gained - lost - nδ)² <= z² n (2q + δ(1 - δ)), q being the share lost that is most likely
    given δ. Their ends are found by bisection.
    """

    def inside(delta: float) -> bool:
        b = (2 * n - gained + lost) * delta - gained - lost
        q = (np.sqrt(b**2 + 8 * n * lost * delta * (1 - delta)) - b) / (4 * n)
        return (gained - lost - n * delta) ** 2 <= z**2 * n * (2 * q + delta * (1 - delta))

    z = float(scipy.stats.norm.ppf(0.975))
    ends = []
    for end in (-1.0, 1.0):
        held, out = (gained - lost) / n, end
        for _ in range(50):
            middle = (held + out) / 2
            held, out = (middle, out) if inside(middle) else (held, middle)
        ends.append(held)
    return ends[0], ends[1]


def _change(before: Sequence[float], after: Sequence[float]) -> np.ndarray:
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} questions cannot be paired")
    return np.round(np.asarray(after, dtype=float) - np.asarray(before, dtype=float), 12)  # 0.3 - 0.1 is not 0.2


def _test(changed: np.ndarray) -> tuple[float, float | None]:
    """Return p and the least sum of changes that would have been shown."""
    if not np.all(np.abs(changed) == 1):
        return _sign_flips(changed)
    return _mcnemar(int((changed > 0).sum()), int((changed < 0).sum()))


def _mcnemar(gained: int, lost: int) -> tuple[float, float | None]:
    """Return both from the binomial distribution with even odds."""
    changed = gained + lost
    if not changed:
        return 1.0, None
    p_value = float(scipy.stats.binomtest(gained, changed).pvalue)
    ups = np.arange(changed // 2 + 1, changed + 1)
    shown = ups[2 * scipy.stats.binom.sf(ups - 1, changed, 0.5) < ALPHA]
    return p_value, float(2 * shown[0] - changed) if len(shown) else None


def _sign_flips(changed: np.ndarray) -> tuple[float, float | None]:
    """Return both from the same permutations."""
    drawn, sampled = flipped_sums(changed)
    sums = np.sort(np.abs(drawn))[::-1]
    count = len(sums) + sampled  # the sitting itself is one more of the sample
    p_value = (np.sum(sums >= abs(changed.sum()) - 1e-9) + sampled) / count
    allowed = int(np.ceil(ALPHA * count)) - 1 - sampled  # so many may lie as far out as a difference that is shown
    beyond = sums[:allowed][sums[:allowed] > sums[allowed] + 1e-9] if allowed > 0 else sums[:0]
    return float(p_value), float(beyond[-1]) if len(beyond) else None

"""Resampling: the bootstrap interval of a mean, and sums with signs at random. It knows nothing of exams."""

from __future__ import annotations

import numpy as np
import scipy

#: Resamples of the bootstrap; of the sign flips one less, as the sitting itself counts as one.
RESAMPLES = 10_000

#: Resamples drawn at a time, so that a large exam needs no gigabytes.
BATCH = 1000


def bootstrap_mean(values: np.ndarray) -> tuple[float, float]:
    """Return the expanded BCa bootstrap interval of the mean of values that are not all equal.

    BCa (Efron, 1987, "Better bootstrap confidence intervals") takes the resampled means at Φ(b + c / (1 - a c)), where
    c = b + z, in place of Φ(z), which corrects for bias and skewness: Φ(b) is the share of resampled means below the
    mean, and a is Σ(x - x̄)³ / 6 (Σ(x - x̄)²)^1.5, as the jackknife gives it for a mean. Resampled means vary too
    little by the square root of (n - 1) / n, so z is ±1.96 √(n / (n - 1)) (Hesterberg, 2015, "What teachers should know
    about the bootstrap"). His wider z, from Student's t, covers too often where points have few values.
    """
    n, rng = len(values), np.random.default_rng(0)
    means = np.concatenate(
        [values[rng.integers(0, n, (BATCH, n), dtype=np.int32)].mean(axis=1) for _ in range(RESAMPLES // BATCH)]
    )
    centred = values - values.mean()
    skewness = np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5)
    distance = means - values.mean()
    below = np.mean(distance < -1e-12) + np.mean(np.abs(distance) <= 1e-12) / 2  # ties: points have few values
    bias = scipy.stats.norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    z = np.array([-1, 1]) * scipy.stats.norm.ppf(0.975) * np.sqrt(n / (n - 1))
    low, high = np.quantile(means, scipy.stats.norm.cdf(bias + (bias + z) / (1 - skewness * (bias + z))))
    return float(low), float(high)


def flipped_sums(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return sums of values with signs at random, and whether they are a sample and not all combinations of signs."""
    n, rng = len(values), np.random.default_rng(0)
    if 2**n <= RESAMPLES:
        every = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return values.sum() - 2 * every @ values, False
    sums = []
    for _ in range(RESAMPLES // BATCH):
        flips = np.unpackbits(rng.integers(0, 256, (BATCH, n // 8 + 1), dtype=np.uint8), axis=1, count=n)
        sums.append(values.sum() - 2 * flips.astype(float) @ values)
    return np.concatenate(sums)[1:], True

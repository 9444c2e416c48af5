"""Intervals of 95 % hold the truth in 93 to 97 of 100 exams; where outcomes are few, by adding up all of them."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ftlab.exam.statistics import difference, kept, score

#: Shares of no, half and full points.
HALF_POINTS = [(0.25, 0.5, 0.25), (0.4, 0.2, 0.4), (0.6, 0.3, 0.1), (0.1, 0.2, 0.7), (0.2, 0.7, 0.1), (0.05, 0.1, 0.85)]

#: Shapes of points in between, the last three skewed.
BETAS = [(2, 2), (0.3, 0.3), (0.5, 3), (5, 0.7), (1, 4)]


def covers(points, truth: float) -> bool:
    result = score(points)
    return result.low <= 100 * truth <= result.high


@pytest.mark.parametrize("n", [20, 50, 200, 1000])
def test_scores_of_right_or_wrong_cover(n):
    hits = np.arange(n + 1)
    ends = [score([1.0] * k + [0.0] * (n - k)) for k in hits]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])

    def coverage(p: float) -> float:
        return stats.binom.pmf(hits, n, p)[(low <= 100 * p) & (100 * p <= high)].sum()

    for p in (0.1, 0.5, 0.9):
        assert 0.93 <= coverage(p) <= 0.971
    everywhere = [coverage(p) for p in np.linspace(0.1, 0.9, 161)]
    assert 0.945 <= np.mean(everywhere) <= 0.96
    assert min(everywhere) >= 0.92
    assert max(everywhere) <= 0.985


def test_scores_of_half_points_cover():
    n = 20
    outcomes = np.array([k for k in itertools.product(range(n + 1), repeat=3) if sum(k) == n])
    ends = [score(np.repeat([0.0, 0.5, 1.0], k)) for k in outcomes]
    low, high = np.array([e.low for e in ends]), np.array([e.high for e in ends])
    coverages = []
    for shares in HALF_POINTS:
        truth = 100 * (shares[1] / 2 + shares[2])
        chance = stats.multinomial.pmf(outcomes, n, shares)
        coverages.append(chance[(low <= truth + 1e-9) & (truth - 1e-9 <= high)].sum())
    assert 0.93 <= np.mean(coverages) <= 0.97
    assert min(coverages) >= 0.93


def test_scores_of_skewed_points_cover():
    rng = np.random.default_rng(0)
    held = [covers(rng.beta(a, b, 20), a / (a + b)) for a, b in BETAS for _ in range(40)]
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("n", "exams"), [(20, 800), (50, 600), (200, 400), (1000, 80)])
def test_scores_of_points_cover_at_every_length(n, exams):
    rng = np.random.default_rng(1)
    cases = [
        *((lambda a=a, b=b: rng.beta(a, b, n), a / (a + b)) for a, b in BETAS[2:4]),
        *((lambda s=s: rng.choice([0, 0.5, 1], n, p=s), s[1] / 2 + s[2]) for s in (HALF_POINTS[0], HALF_POINTS[3])),
    ]
    held = [[covers(draw(), truth) for _ in range(exams)] for draw, truth in cases]
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("n", [20, pytest.param(50, marks=pytest.mark.slow)])
def test_differences_of_right_or_wrong_cover(n):
    """Where there is a difference; where there is none an exact test errs in less than 5 %, and so the interval."""
    outcomes = np.array([k for k in itertools.product(range(n + 1), repeat=2) if sum(k) <= n])
    found = [difference([0] * g + [1] * b + [0] * (n - g - b), [1] * g + [0] * (n - g)) for g, b in outcomes]
    low, high = np.array([d.low for d in found]), np.array([d.high for d in found])
    counts = np.column_stack([outcomes, n - outcomes.sum(axis=1)])

    def coverage(gained: float, lost: float) -> float:
        truth = 100 * (gained - lost)
        chance = stats.multinomial.pmf(counts, n, [gained, lost, 1 - gained - lost])
        return chance[(low <= truth + 1e-9) & (truth - 1e-9 <= high)].sum()

    real = [coverage(*shares) for shares in [(0.3, 0.1), (0.5, 0.1), (0.4, 0.2), (0.6, 0.05), (0.1, 0.5), (0.2, 0.05)]]
    assert 0.93 <= np.mean(real) <= 0.97
    assert min(real) >= 0.93
    assert all(coverage(share, share) >= 0.95 for share in (0.05, 0.2, 0.3))


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 200])
def test_differences_of_points_cover(n):
    rng = np.random.default_rng(2)
    change, held = np.array([-1, -0.5, 0, 0.5, 1]), []
    for shares in [(0.05, 0.1, 0.5, 0.15, 0.2), (0.2, 0.2, 0.3, 0.2, 0.1), (0, 0.05, 0.15, 0.3, 0.5)]:
        for _ in range(300):
            found = difference(np.zeros(n), rng.choice(change, n, p=shares))
            held.append(found.low <= 100 * change @ shares + 1e-9 and 100 * change @ shares - 1e-9 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.975


@pytest.mark.slow
def test_shares_kept_cover():
    rng = np.random.default_rng(3)
    for right, stays, comes in [(0.7, 0.95, 0.1), (0.7, 0.7, 0.1), (0.95, 0.7, 0.1), (0.5, 0.3, 0.05)]:
        held = []
        for _ in range(1500):
            before = rng.random(200) < right
            result = kept(before, np.where(before, rng.random(200) < stays, rng.random(200) < comes))
            held.append(result.low <= stays + (1 - right) / right * comes <= result.high)
        assert np.mean(held) >= 0.93

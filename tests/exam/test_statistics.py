import numpy as np
import pytest
from scipy import stats

from ftlab.exam.statistics import format_p, paired_p_value, score


def test_right_or_wrong_gets_wilsons_interval():
    expected = stats.binomtest(7, 10).proportion_ci(method="wilson")
    result = score([1.0] * 7 + [0.0] * 3)
    assert (result.low, result.high) == pytest.approx((100 * expected.low, 100 * expected.high))
    assert str(result) == "70 (40 to 89)"


def test_half_points_get_an_interval_that_covers_and_can_be_made_again():
    points = [1.0, 0.5, 0.0, 0.5, 1.0, 1.0] * 20
    assert score(points) == score(points)
    mean, error = np.mean(points), np.std(points) / np.sqrt(len(points))
    assert score(points).low == pytest.approx(100 * (mean - 1.96 * error), abs=1.0)
    assert score(points).high == pytest.approx(100 * (mean + 1.96 * error), abs=1.0)


@pytest.mark.parametrize("points", [[0.0] * 20, [0.5] * 20, [1.0] * 20])
def test_equal_points_do_not_claim_certainty(points):
    result = score(points)
    assert result.high - result.low > 10
    assert result.low <= result.score <= result.high


def test_paired_p_value():
    assert paired_p_value([0, 1, 0.5], [0, 1, 0.5]) == 1.0
    exact = stats.binomtest(9, 10).pvalue  # ten questions changed, nine for the better
    assert paired_p_value([0] * 9 + [1] + [1] * 50, [1] * 9 + [0] + [1] * 50) == pytest.approx(exact)
    assert paired_p_value([0.5] * 100, [1.0] * 100) < 0.001
    rng = np.random.default_rng(0)
    same = rng.choice([0, 0.5, 1], size=(2, 100))
    assert paired_p_value(*same) > 0.05


def test_format_p():
    assert format_p(0.0002) == "p < 0.001"
    assert format_p(0.0421) == "p = 0.042"

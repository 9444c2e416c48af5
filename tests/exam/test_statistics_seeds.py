import numpy as np
import pytest
from scipy import stats

from ftlab.exam.statistics import compare_seeds, corrected, difference, holm, join_seeds, verdict


def runs(rng: np.random.Generator, groups: tuple[int, int], n: int, spread: float, gain: float = 0.0):
    """Return points of two groups of runs of one configuration; spread and gain are in logits."""
    ease = rng.normal(0, 1.5, n)
    skill = rng.normal(0, spread, sum(groups)) + np.repeat([0, gain], groups)
    points = rng.random((sum(groups), n)) < 1 / (1 + np.exp(-ease - skill[:, None]))
    return points[: groups[0]], points[groups[0] :]


def share_of_winners(groups: tuple[int, int], n: int, spread: float, pairs: int, gain: float = 0.0) -> float:
    rng = np.random.default_rng(0)
    return float(np.mean([compare_seeds(*runs(rng, groups, n, spread, gain)).shown for _ in range(pairs)]))


def test_seeds_join_as_a_mean_with_students_interval():
    result = join_seeds([80, 84, 88])
    assert result.score == 84
    assert (result.low, result.high) == pytest.approx(stats.t.interval(0.95, 2, 84, stats.sem([80, 84, 88])))
    assert str(result) == "84 (74 to 94)"
    assert join_seeds([98, 100, 100]).high == 100
    with pytest.raises(ValueError, match="one seed"):
        join_seeds([80])


def test_no_winner_among_identical_configurations():
    """Five seeds each, 40 pairs, as many times over as it takes to tell; a paired test of one seed would name many."""
    for spread in (0.2, 1.0):
        assert share_of_winners((5, 5), 100, spread, 40 * 5) <= 0.05
    rng = np.random.default_rng(1)
    naive = [difference(*(g[0] for g in runs(rng, (1, 1), 200, 1.0))).shown for _ in range(100)]
    assert np.mean(naive) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("groups", [(2, 2), (3, 3), (5, 5), (1, 5), (3, 10)])
@pytest.mark.parametrize("n", [10, 50, 200])
def test_no_winner_whatever_varies(groups, n):
    for spread in (0.0, 0.2, 1.0):
        # 2000 pairs of which 5 % fail have a standard error of 0.5 %
        assert share_of_winners(groups, n, spread, 2000) <= 0.05 + 2 * 0.005


def test_a_real_difference_is_found_with_five_seeds():
    assert share_of_winners((5, 5), 200, 0.2, 100, gain=0.8) > 0.9


def test_verdicts_tell_whether_seeds_were_varied():
    rng = np.random.default_rng(0)
    before, after = runs(rng, (3, 5), 50, 0.5)
    several = compare_seeds(before, after)
    assert several.seeds == (3, 5)
    assert several.low <= 0 <= several.high
    assert verdict(several).sentence.startswith("no difference shown (n = 50 with 3 and 5 seeds can show no less than ")
    single = compare_seeds(before[:1], after[:1])
    assert (single.points, single.p_value) == (difference(before[0], after[0]).points, single.p_value)
    assert verdict(single).sentence.endswith("; seeds were not varied")
    assert verdict(compare_seeds([[0] * 20], [[1] * 20])).sentence.endswith("p < 0.001); seeds were not varied")


def test_few_questions_that_agree_are_no_proof():
    assert not compare_seeds([[0, 0, 0]] * 3, [[1, 1, 1]] * 3).shown
    assert compare_seeds([[0] * 50] * 3, [[1] * 50] * 3).shown
    assert compare_seeds([[1] * 50] * 3, [[1] * 50] * 3).p_value == 1


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005], 4) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.04], 10) == pytest.approx([0.1, 0.36])
    assert holm([0.9], 3) == [1.0]


def test_best_of_many_equal_runs_is_no_winner():
    """Ten runs of equal skill: the best beats some other by its own p often, and by the corrected one hardly ever."""
    rng, plain, holms = np.random.default_rng(0), 0, 0
    for _ in range(40):
        points = rng.random((10, 100)) < 0.5
        best = int(np.argmax(points.mean(axis=1)))
        found = [difference(points[i], points[best]) for i in range(10) if i != best]
        plain += any(d.shown for d in found)
        after = corrected(found, family=45)
        holms += any(d.shown for d in after)
        assert all(d.shown or d.low <= 0 <= d.high for d in after)
    assert plain > 15
    assert holms <= 2
    assert verdict(after[0]).sentence == "no difference shown (n = 100, corrected for 45 comparisons)"

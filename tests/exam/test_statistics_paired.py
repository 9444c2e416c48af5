import itertools
import re

import numpy as np
import pytest
from scipy import stats

from ftlab.exam.statistics import difference, kept, paired_p_value, three_way, verdict
from ftlab.exam.statistics.paired import tango
from ftlab.exam.statistics.resampling import bootstrap_mean


def sittings(gained: int, lost: int, n: int) -> tuple[list[int], list[int]]:
    return [0] * gained + [1] * lost + [1] * (n - gained - lost), [1] * gained + [0] * lost + [1] * (n - gained - lost)


def assert_nothing_contradicts(found):
    said = verdict(found)
    assert found.low <= found.points + 1e-9
    assert found.points - 1e-9 <= found.high
    if found.p_value < 0.05:
        assert said.word == ("better" if found.points > 0 else "worse")
        assert found.low >= 0 or found.high <= 0
        assert found.least <= abs(found.points) + 1e-9
    else:
        assert said.word == "no difference shown"
        assert found.low <= 0 <= found.high
        assert found.least is None or abs(found.points) < found.least
        if numbers := re.search(r"no less than ([\d.]+) points?", said.sentence):
            assert abs(found.points) < float(numbers[1])


@pytest.mark.parametrize("n", [1, 5, 10, 17])
def test_interval_test_least_and_verdict_agree_for_right_or_wrong(n):
    for gained, lost in itertools.product(range(n + 1), repeat=2):
        if gained + lost <= n:
            assert_nothing_contradicts(difference(*sittings(gained, lost, n)))


def test_interval_test_least_and_verdict_agree_for_points():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, shift = rng.integers(2, 40), rng.choice([-0.3, 0, 0.2])
        before = rng.choice([0, 0.5, 1], n) if rng.random() < 0.5 else rng.random(n)
        after = np.clip(rng.permutation(before) + shift * rng.random(n), 0, 1)
        assert_nothing_contradicts(difference(before, after))


def test_tangos_interval_ends_where_the_score_test_is_at_its_limit():
    for gained, lost, n in [(7, 1, 21), (1, 7, 12), (9, 14, 60), (0, 4, 30)]:
        for delta in tango(gained, lost, n):
            shares = np.linspace(max(0, -delta), (1 - delta) / 2, 400_001)[1:-1]  # lost, given the difference
            likelihood = gained * np.log(shares + delta) + lost * np.log(shares)
            likelihood += (n - gained - lost) * np.log(1 - 2 * shares - delta)
            share = shares[np.argmax(likelihood)]
            z = (gained - lost - n * delta) / np.sqrt(n * (2 * share + delta - delta**2))
            assert abs(z) == pytest.approx(1.96, abs=0.01)
    assert tango(0, 0, 10) == pytest.approx((-0.2775, 0.2775), abs=1e-4)  # z² / (n + z²)
    assert tango(10, 0, 10)[1] == 1.0


def test_bootstrap_and_permutations_are_those_of_scipy():
    points = np.random.default_rng(0).beta(0.5, 3, 40)
    tail = stats.norm.cdf(-1.96 * np.sqrt(40 / 39))
    expected = stats.bootstrap((points,), np.mean, confidence_level=1 - 2 * tail, rng=np.random.default_rng(7))
    assert bootstrap_mean(points) == pytest.approx(tuple(expected.confidence_interval), abs=0.006)
    for n, tolerance in ((9, 1e-9), (30, 0.01)):
        change = np.random.default_rng(n).normal(0.3, 1, n)
        expected = stats.permutation_test((change,), np.mean, permutation_type="samples", rng=np.random.default_rng(7))
        assert paired_p_value(np.zeros(n), change) == pytest.approx(expected.pvalue, abs=tolerance)


def test_verdicts_in_words():
    said = verdict(difference(*sittings(5, 0, 10)))
    assert str(said) == "no difference shown (n = 10 can show no less than 60 points)"
    assert str(verdict(difference(*sittings(20, 20, 200)))) == (
        "no difference shown (n = 200 can show no less than 7 points)"
    )
    assert str(verdict(difference(*sittings(5, 0, 5)))) == "no difference shown (n = 5 can show none)"
    assert verdict(difference(*sittings(8, 0, 20))).sentence == "better by 40 points (17 to 61, p = 0.008)"
    assert verdict(difference(*sittings(0, 8, 20))).sentence == "worse by 40 points (17 to 61, p = 0.008)"


def test_least_is_the_first_difference_that_is_shown():
    for changed in range(6, 18):
        up = round(difference(*sittings(changed // 2, changed - changed // 2, 20)).least / 5)
        shown, not_shown = (changed + up) // 2, (changed + up) // 2 - 1
        assert difference(*sittings(shown, changed - shown, 20)).shown
        assert not difference(*sittings(not_shown, changed - not_shown, 20)).shown


def test_the_same_change_everywhere_is_not_certain():
    found = difference([0.5] * 20, [0.75] * 20)
    assert found.points == 25
    assert found.shown
    assert found.low < 23
    assert_nothing_contradicts(found)


def test_base_with_examples_that_beats_the_tuned_model_is_said():
    base, tuned, few_shot = [0] * 40, [1] * 15 + [0] * 25, [1] * 30 + [0] * 10
    said = three_way(base, few_shot, tuned, shots=4)
    assert said.word == "worse"
    assert said.sentence.startswith("the base with 4 examples in its prompt beats the tuned model by 38 points (")
    assert "; the tuned model beats the base by 38 points (" in said.sentence
    assert three_way(base, tuned, few_shot, shots=4).word == "better"
    said = three_way(base, few_shot, few_shot, shots=1)
    assert said.word == "no difference shown"
    assert "the tuned model against the base with 1 example in its prompt: no difference shown (n = 40" in said.sentence


def test_share_kept():
    result = kept(*sittings(0, 20, 100))
    assert result.share == pytest.approx(0.8)
    assert result.low < 0.8 < result.high < 1
    assert result.difference.points == -20
    assert str(result) == "kept 80 % (71 to 87)"
    unchanged = kept([1, 0] * 50, [1, 0] * 50)
    assert unchanged.low < unchanged.share == 1 < unchanged.high
    assert str(kept([0, 0], [0, 1])) == "nothing to keep"


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ValueError, match="2 and 1 questions"):
        difference([0, 1], [1])
    with pytest.raises(ValueError, match="no questions"):
        difference([], [])
    assert difference([0.1 + 0.2] * 9, [0.3] * 9).p_value == 1  # rounding is no change

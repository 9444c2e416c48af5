"""Rules of a few words: what decides which checkpoint is best, and when a run stops."""

import pytest

from ftlab.callbacks.condition import EXAMPLE, BestRule, Condition
from ftlab.callbacks.keep_best import EarlyStopping
from ftlab.errors import SettingError


def test_a_share_of_what_it_was_before():
    rule = BestRule.parse(EXAMPLE)
    assert (rule.metric, rule.condition) == ("exam/score", Condition("retention/score", ">=", 0.9, True))
    before = {"retention/score": 80.0}
    assert rule.condition.holds({"retention/score": 72.0}, before)
    assert not rule.condition.holds({"retention/score": 71.9}, before)


@pytest.mark.parametrize(("sign", "held"), [(">=", [2, 3]), ("<=", [1, 2]), (">", [3]), ("<", [1])])
def test_a_number(sign, held):
    condition = Condition.parse(f"validation/loss {sign} 2.0", "best")
    assert [value for value in (1, 2, 3) if condition.holds({"validation/loss": value}, {})] == held


def test_what_was_not_measured_breaks_nothing():
    condition = Condition.parse("retention/score >= 0.9 of before", "best")
    assert condition.holds({}, {"retention/score": 80.0})
    assert condition.holds({"retention/score": 1.0}, {})


@pytest.mark.parametrize("text", ["", "exam/score if", "exam/score if retention", "exam/score if a >= b", "a b"])
def test_a_rule_that_says_nothing_is_refused(text):
    with pytest.raises(SettingError, match=r"best: .* write one such as"):
        BestRule.parse(text)


def test_early_stopping_refuses_one_too():
    with pytest.raises(SettingError, match=r"early_stopping.only_while: 'soon' is no condition"):
        EarlyStopping(only_while="soon")

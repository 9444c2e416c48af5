"""Rules of a few words: what decides which checkpoint is best, and when a run stops."""

import re

import pytest

from ftlab import Exam
from ftlab.callbacks.condition import EXAMPLE, BestRule, Condition
from ftlab.callbacks.keep_best import EarlyStopping
from ftlab.errors import SettingError
from ftlab.experiment import Experiment


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


def test_what_was_not_measured_neither_holds_nor_breaks():
    condition = Condition.parse("retention/score >= 0.9 of before", "best")
    assert condition.holds({}, {"retention/score": 80.0}) is None
    assert condition.holds({"retention/score": 1.0}, {}) is None


@pytest.mark.parametrize(
    ("rule", "setting", "said"),
    [
        ("exam/scor", "best", "no metric 'exam/scor' is measured while training; did you mean exam/score?"),
        ("exam/score if retenton/score > 1", "best", "no metric 'retenton/score' is measured"),
        ("retention/general/score > 1", "early_stopping.only_while", "no metric 'retention/general/score' is measured"),
    ],
)
def test_a_score_that_no_exam_gives_is_refused(rule, setting, said):
    best, only_while = (rule, None) if setting == "best" else (None, rule)
    exam = Exam("experiments/lesson/exam.jsonl")
    never = {"general": Exam("experiments/lesson/exam.jsonl", every=0)}
    early = EarlyStopping(only_while=only_while)
    with pytest.raises(SettingError, match=re.escape(f"{setting}: {said}")):
        Experiment(None, None, exam, early, retention=never, best=best)


@pytest.mark.parametrize("text", ["", "exam/score if", "exam/score if retention", "exam/score if a >= b", "a b"])
def test_a_rule_that_says_nothing_is_refused(text):
    with pytest.raises(SettingError, match=r"best: .* write one such as"):
        BestRule.parse(text)


def test_early_stopping_refuses_one_too():
    with pytest.raises(SettingError, match=r"early_stopping.only_while: 'soon' is no condition"):
        EarlyStopping(only_while="soon")

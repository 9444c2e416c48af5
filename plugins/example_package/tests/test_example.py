"""The package's own tests: ftlab's conformance kit for the method, and examples for the rest."""

import pytest
from ftlab_example import Contains, OutputScale, QuestionAnswer

from ftlab.conformance import check_method


def test_the_method_keeps_the_contract() -> None:
    """Every check holds, or says why it does not apply."""
    assert [finding for finding in check_method(OutputScale()) if finding.passed is False] == []


@pytest.mark.parametrize(("answer", "reference", "points"), [("It is PARIS.", "Paris", 1), ("It is Rome.", "Paris", 0)])
def test_the_grader(answer: str, reference: str, points: float) -> None:
    """An answer that mentions the reference has the point."""
    assert Contains().grade(answer, reference) == points
    assert Contains(case_matters=True).grade(answer, reference) == 0


def test_the_format() -> None:
    """A row is a question and its answer, a prompt the question alone; other keys stay."""
    record = {"question": "2 + 2?", "reply": "4", "id": "x"}
    question, answer = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}
    assert QuestionAnswer(answer="reply").messages(record) == [question, answer]
    assert record == {"id": "x"}
    assert QuestionAnswer().messages({"question": "2 + 2?"}) == [question]

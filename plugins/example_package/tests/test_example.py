"""The package's own tests: ftlab's conformance kit for the method, and examples for the rest."""

import pytest
from ftlab_example import Mentions, OutputScale, Transcript

from ftlab.conformance import check_method


def test_the_method_keeps_the_contract() -> None:
    """Every check holds, or says why it does not apply."""
    assert [finding for finding in check_method(OutputScale()) if finding.passed is False] == []


@pytest.mark.parametrize(("answer", "reference", "points"), [("It is PARIS.", "Paris", 1), ("It is Rome.", "Paris", 0)])
def test_the_grader(answer: str, reference: str, points: float) -> None:
    """An answer that mentions the reference has the point."""
    assert Mentions().grade(answer, reference) == points
    assert Mentions(case_matters=True).grade(answer, reference) == 0


def test_the_format() -> None:
    """Each line is a turn, or goes on with one; other keys stay."""
    record = {"dialogue": "User: 2 + 2?\nAssistant: It is\n4", "id": "x"}
    question, answer = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is\n4"}
    assert Transcript().messages(record) == [question, answer]
    assert record == {"id": "x"}
    with pytest.raises(ValueError, match="begins without a speaker"):
        Transcript().messages({"dialogue": "2 + 2?"})

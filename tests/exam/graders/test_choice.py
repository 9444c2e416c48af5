import pytest

from ftlab.errors import FtlabError
from ftlab.exam.graders import Choice

QUESTION = "Which colour?\nA. red\nB) blue\n(C) dark red\nD: Paris"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("(b)", "B"),
        ("**B**", "B"),
        ("B. blue", "B"),
        ("B because it is", "B"),
        ("A because it is", "A"),
        ("A is correct", "A"),
        ("The answer is (B)", "B"),
        ("The answer is **B**.", "B"),
        ("The correct option is B: blue", "B"),
        ("answer is (b)", "B"),
        ("Option B is correct", "B"),
        ("My choice: (C).", "C"),
        (r"\boxed{\text{(B)}}", "B"),
        ("答案是B", "B"),
        ("答案：B", "B"),
        ("A is wrong.\nB\n", "B"),
        ("It must be C.", "C"),
        ("(A) is wrong, (B) is right: the answer is B", "B"),
        ("The answer is B. But (A) is close.", "B"),
        ("I think it is blue", "B"),
        ("dark red", "C"),
        ("red", "A"),
    ],
)
def test_the_letter_that_is_meant(row, answer, letter):
    points = {right: Choice().grade_row(answer, row(QUESTION, right)) for right in "ABCD"}
    assert points == {right: float(right == letter) for right in "ABCD"}


@pytest.mark.parametrize(
    "answer",
    ["", "A or B", "Answer: A or B", "Answer: A, B", "A dog", "Bob", "AB", "E", "red or blue", "The answer is not A"],
)
def test_no_letter_is_meant(row, answer):
    assert sum(Choice().grade_row(answer, row(QUESTION, right)) for right in "ABCD") == 0


def test_options_of_a_column(row):
    texts = ["red", "blue"]
    for column in (texts, {"label": ["A", "B"], "text": texts}, {"A": "red", "B": "blue"}):
        assert Choice().grade_row("blue", row("Which?", "B", choices=column)) == 1
        assert Choice(options="mine").grade_row("B", row("Which?", "blue", mine=column)) == 1
    numbered = row("Which?", "2", choices={"label": ["1", "2"], "text": texts})
    assert [Choice().grade_row(given, numbered) for given in ("2", "1", "blue", "The answer is (2)")] == [1, 0, 1, 1]


def test_options_in_one_line(row):
    assert Choice().grade_row("blue", row("Which? (A) red (B) blue", "B")) == 1


def test_letters_without_options():
    assert [Choice().grade(given, "The answer is (D)") for given in ("D", "d)", "A")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("reference", "columns", "message"),
    [
        ("green", {}, "the reference 'green' names none of the options A, B, C, D; write its letter or its text"),
        ("A", {"choices": "red"}, "choices holds no options; write a list of two texts or more"),
        ("A", {"choices": ["red", 2]}, "choices holds no options"),
    ],
)
def test_faults_of_a_row(row, reference, columns, message):
    with pytest.raises(FtlabError, match=rf"^e\.jsonl:1: {message}"):
        Choice().check([row(QUESTION, reference, **columns)])

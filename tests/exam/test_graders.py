from fractions import Fraction

import pytest

from ftlab import Marker
from ftlab.exam.graders import parse_number, same_answer


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("12 + 30 = 42\n{{ans:42}}", 1.0),
        ("{{ans: 42.0 }}", 1.0),
        ("{{ans:41}} no, {{ans:42}}", 1.0),  # the last one counts
        ("{{ans:42}} no, {{ans:41}}", 0.0),
        ("so it is 42.", 0.5),
        ("41, no: 42", 0.5),
        ("42 is not 41", 0.0),
        ("{{ans:41}} 42", 0.0),  # a marked answer is the answer
        ("42 {{ans:}}", 0.0),
        ("{{ans:42 apples}}", 1.0),
        ("{{ans:$42}}", 1.0),
        ("{{ans:40 to 42}}", 0.0),
        ("x {{ans: {{ans:42}}", 1.0),
        ("84-42", 0.5),
        ("4" * 5000, 0.0),
        ("{{ans:42", 0.5),  # an open mark is no mark
        ("forty-two", 0.0),
        ("", 0.0),
    ],
)
def test_marker_points(answer, points):
    assert Marker().grade(answer, "12 + 30 = 42\n{{ans:42}}") == points


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-3", -3),
        ("−3", -3),
        ("1,010", 1010),
        ("1010.0", 1010),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("3/4", Fraction(3, 4)),
        ("0.75", Fraction(3, 4)),
        (".5", Fraction(1, 2)),
        ("30%", Fraction(3, 10)),
        ("0.1", Fraction(1, 10)),
        ("1/0", None),
        ("1,01", None),
        ("12 km", None),
        ("", None),
        ("a", None),
    ],
)
def test_parse_number(text, value):
    assert parse_number(text) == value


def test_equal_answers():
    assert same_answer("1,010", "1010.0")
    assert same_answer("3/4", "0.75")
    assert same_answer(" Paris ", "paris")
    assert not same_answer("10", "100")
    assert not same_answer("0.3333", "1/3")


def test_references_without_a_mark_or_a_number():
    assert Marker().grade("{{ans:7}}", "It is 7") == 1.0
    assert Marker().grade("{{ans:Blue}}", "blue") == 1.0
    assert Marker(begin="<b>", end="</b>").grade("<b>30 %</b>", "<b>30%</b>") == 1.0

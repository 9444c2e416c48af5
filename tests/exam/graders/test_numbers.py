from fractions import Fraction

import pytest

from ftlab.exam.graders import parse_number, same_answer


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

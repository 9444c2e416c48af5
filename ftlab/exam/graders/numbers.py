"""Numbers: from text to exact values. They know no grader."""

from __future__ import annotations

import re
from fractions import Fraction

_NUMBER = r"(?<!\d)[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|(?<!\d)[-+]?\.\d+"
#: A model that repeats a digit for ever has not given a number.
LONGEST_NUMBER = 100
_NUMBER_OR_FRACTION = re.compile(rf"(?:{_NUMBER})(?:\s*/\s*\d+)?\s*%?")


def same_answer(given: str, right: str) -> bool:
    """Return whether two short answers are equal, as numbers if both are, else as text."""
    return plain_answer(given) == plain_answer(right)


def plain_answer(text: str) -> str:
    """Return a short answer in a form that equal ones share: a number's value, else the text in small letters."""
    value = parse_number(text)
    return " ".join(text.split()).casefold() if value is None else str(value)


def parse_number(text: str) -> Fraction | None:
    """Return the exact value of `1,010.50`, `-3/4` or `30%`; None where the text is not a number alone."""
    text = text.strip().replace("−", "-")
    if len(text) > LONGEST_NUMBER or not _NUMBER_OR_FRACTION.fullmatch(text):
        return None
    percent = text.endswith("%")
    above, _, below = text.rstrip("% ").replace(",", "").partition("/")
    if below and not int(below):
        return None
    return Fraction(above.strip()) / int(below or 1) / (100 if percent else 1)


def plain_numbers(text: str) -> list[str]:
    """Return the numbers and fractions in a text as they are written."""
    return _NUMBER_OR_FRACTION.findall(text.replace("−", "-"))


def last_number(text: str) -> str | None:
    """Return the last of the `plain_numbers`."""
    found = plain_numbers(text)
    return found[-1] if found else None

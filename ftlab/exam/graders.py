"""Graders: from an answer and its reference to points. They know nothing of models."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction


class Grader(ABC):
    """Says how good one answer is. Subclasses are dataclasses: their fields are the settings in YAML."""

    @abstractmethod
    def grade(self, answer: str, reference: str) -> float:
        """Return the points of an answer, from 0 to 1.

        Args:
            answer: the text that the model wrote.
            reference: the text of the question's closing assistant turn.
        """


_NUMBER = r"(?<!\d)[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|(?<!\d)[-+]?\.\d+"
#: A model that repeats a digit for ever has not given a number.
LONGEST_NUMBER = 100
_NUMBER_OR_FRACTION = re.compile(rf"(?:{_NUMBER})(?:\s*/\s*\d+)?\s*%?")


@dataclass
class Marker(Grader):
    """1 point for the right answer between two marks, half a point for the right last number without them, else 0.

    Where there are several marked answers the last one counts, and where there is one, nothing outside it does; a unit
    or a sign of money beside its only number does no harm.
    Numbers are compared as numbers (`1,010` = `1010.0`, `3/4` = `0.75`, `30%` = `0.3`), anything else as text
    without regard to case and white space.
    """

    begin: str = "{{ans:"
    """What stands before the answer."""
    end: str = "}}"
    """What stands after it."""

    def grade(self, answer: str, reference: str) -> float:
        """Return 1, 0.5 or 0."""
        right = self._marked(reference)
        if right is None:
            right = _last_number(reference)
        if right is None:
            right = reference
        if (given := self._marked(answer)) is not None:
            numbers = _numbers(given)
            only = numbers[0] if len(numbers) == 1 else given
            return 1.0 if same_answer(given, right) or same_answer(only, right) else 0.0
        last = _last_number(answer)
        return 0.5 if last is not None and same_answer(last, right) else 0.0

    def _marked(self, text: str) -> str | None:
        begin, end = re.escape(self.begin), re.escape(self.end)
        found = re.findall(f"{begin}((?:(?!{begin}).)*?){end}", text, flags=re.DOTALL)
        return found[-1] if found else None


def same_answer(given: str, right: str) -> bool:
    """Return whether two short answers are equal, as numbers if both are, else as text."""
    numbers = parse_number(given), parse_number(right)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return " ".join(given.split()).casefold() == " ".join(right.split()).casefold()


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


def _numbers(text: str) -> list[str]:
    return _NUMBER_OR_FRACTION.findall(text.replace("−", "-"))


def _last_number(text: str) -> str | None:
    found = _numbers(text)
    return found[-1] if found else None

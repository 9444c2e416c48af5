"""Marker: grades what stands between two marks. It knows nothing of models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.numbers import last_number, plain_answer, plain_numbers, same_answer


@dataclass
class Marker(Grader):
    """1 point for the right answer between two marks, half a point for the right last number without them, else 0.

    Of several marked answers one counts, by default the last, and where there is one, nothing outside it does; a unit
    or a sign of money beside its only number does no harm.
    Numbers are compared as numbers (`1,010` = `1010.0`, `3/4` = `0.75`, `30%` = `0.3`), anything else as text
    without regard to case and white space.
    """

    begin: str = "{{ans:"
    """What stands before the answer."""
    end: str = "}}"
    """What stands after it."""
    counts: Literal["last", "first"] = "last"
    """Which of several marked answers counts. With `first` an answer ends behind it: faster where a model runs on."""

    @property
    def closing(self) -> str | None:
        """The first marked answer, where it is the one that counts; a later one may always follow."""
        return self._pattern if self.counts == "first" else None

    def grade(self, answer: str, reference: str) -> float:
        """Return 1, 0.5 or 0."""
        right = self._marked(reference)
        if right is None:
            right = last_number(reference)
        if right is None:
            right = reference
        if (given := self._marked(answer)) is not None:
            return 1.0 if same_answer(given, right) or same_answer(_only(given), right) else 0.0
        last = last_number(answer)
        return 0.5 if last is not None and same_answer(last, right) else 0.0

    def vote(self, answer: str) -> str:
        """Return the marked answer, without a unit beside its only number; without marks the last number."""
        given = self._marked(answer)
        return plain_answer((last_number(answer) or "") if given is None else _only(given))

    @property
    def _pattern(self) -> str:
        begin, end = re.escape(self.begin), re.escape(self.end)
        return f"(?s){begin}((?:(?!{begin}).)*?){end}"

    def _marked(self, text: str) -> str | None:
        found = re.findall(self._pattern, text)
        return found[0 if self.counts == "first" else -1] if found else None


def _only(given: str) -> str:
    """Return the only number of a marked answer; all of it where there is none, or there are several."""
    numbers = plain_numbers(given)
    return numbers[0] if len(numbers) == 1 else given

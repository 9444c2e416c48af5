"""Regex: grades what a regular expression finds. It knows nothing of models."""

from __future__ import annotations

from dataclasses import dataclass

from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.numbers import plain_answer, same_answer
from ftlab.exam.graders.patterns import compiled, last_match


@dataclass
class Regex(Grader):
    """1 point where a pattern finds in the answer what it finds in the reference, else 0.

    The last match counts: its first group if the pattern has one, else all of it. A reference without a match is
    itself what must be found. Both are compared as numbers if both are, else as text without regard to case and white
    space.
    """

    pattern: str
    """Regular expression, as Python's `re` and the library `regex` read it; `(?i)` at its beginning ignores case."""

    def __post_init__(self) -> None:
        """Refuse what is no pattern."""
        compiled(self.pattern, "exam.grader.pattern")

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        given, right = last_match(self.pattern, answer), last_match(self.pattern, reference)
        return float(given is not None and same_answer(given, reference if right is None else right))

    def vote(self, answer: str) -> str:
        """Return what the pattern finds."""
        return plain_answer(last_match(self.pattern, answer) or "")

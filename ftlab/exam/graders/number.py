"""Number: grades a number, however it is written. It knows nothing of models."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ftlab.errors import FtlabError, require
from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.patterns import compiled, last_match
from ftlab.exam.graders.quantities import Quantity, boxed, quantities


@dataclass
class Number(Grader):
    r"""1 point for the right number, else 0: it may be max(absolute, relative * size of the right one) away.

    The number of an answer is the last one in its last `\boxed{}`, else the last one in the text; of the reference
    likewise, so that `... #### 72`, as GSM8K writes it (Cobbe et al., 2021, arXiv:2110.14168), needs no setting.
    Numbers are compared exactly, as fractions: `1,010` = `1010.0` = `1\,010`, `$3.50` = `3.5 dollars`,
    `\frac{3}{4}` = `3/4` = `.75`, `1.5e3` = `1500`. `30%` is 0.3, and 30 where the other side has no percent sign.
    What cannot be read (`10:30`, `2^5`, `\sqrt{3}`, a digit repeated for ever) is no number, and nothing before it
    counts in its place. Units are not converted.
    """

    after: str = ""
    """Text before the number, such as `####` or `answer is`: the first number after its last place counts. A text
    without it is read as if this were empty."""
    pattern: str = ""
    """Regular expression that finds the number, in its first group if it has one; its last match counts. An answer
    without a match is wrong; a reference without one is read as if this were empty."""
    absolute: float = 0.0
    """How far the number may be off."""
    relative: float = 0.0
    """How far it may be off as a share of the right one; 0.01 is one percent."""
    decimal: Literal[".", ","] = "."
    """The decimal mark; with `,` the point separates thousands: `1.010,50`."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        for key in ("absolute", "relative"):
            value = getattr(self, key)
            require(0 <= value < float("inf"), f"exam.grader.{key}", value, "0 or more")
        compiled(self.pattern, "exam.grader.pattern")

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        found = last_match(self.pattern, reference) if self.pattern else None
        right = self._number(reference if found is None else found)
        if right is None:
            raise FtlabError(f"no number in the reference {reference[-60:]!r}; mend it, or choose another grader")
        given = self._given(answer)
        tolerance = Fraction(str(self.absolute)), Fraction(str(self.relative))
        return float(given is not None and given.equals(right, *tolerance))

    def vote(self, answer: str) -> str:
        """Return the value of the answer's number."""
        given = self._given(answer)
        return "" if given is None else str(given.value / 100 if given.percent else given.value)

    def _given(self, answer: str) -> Quantity | None:
        part = last_match(self.pattern, answer) if self.pattern else answer
        return None if part is None else self._number(part)

    def _number(self, text: str) -> Quantity | None:
        if self.after and self.after in text:
            found = quantities(text.rpartition(self.after)[2], self.decimal)
            return found[0] if found else None
        inside = boxed(text)
        found = quantities(text if inside is None else inside, self.decimal)
        return found[-1] if found else None

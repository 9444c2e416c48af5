"""Contains: grades whether an answer mentions the reference. It knows nothing of models."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ftlab.errors import FtlabError
from ftlab.exam.graders.text import TextGrader

#: What must not stand before and after, by the kind of the reference's own first and last character. Scripts that
#: write no spaces have no whole words.
_BEFORE = {"digit": r"(?<![A-Za-z0-9])(?<!\d[.,])(?<!-)", "letter": "(?<![^\\W_])", "other": ""}
_AFTER = {"digit": r"(?![A-Za-z0-9]|[.,]\d)", "letter": "(?![^\\W_])", "other": ""}


@dataclass
class Contains(TextGrader):
    """1 point for an answer that contains the reference as whole words, else 0; `10` is not in `100` or `10.5`.

    Long answers that mention much are easily right: use it where the reference is a rare name.
    """

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        right = self.normal(reference)
        if not right:
            raise FtlabError("the reference is empty, which every answer contains; write one")
        pattern = _BEFORE[_kind(right[0])] + re.escape(right) + _AFTER[_kind(right[-1])]
        return float(re.search(pattern, self.normal(answer)) is not None)


def _kind(character: str) -> str:
    if character.isdecimal():
        return "digit"
    return "letter" if character.isalpha() and character.lower() != character.upper() else "other"

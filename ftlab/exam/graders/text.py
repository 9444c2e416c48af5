"""TextGrader: what graders share that compare words: what counts in a text, and several right answers."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab.errors import FtlabError
from ftlab.exam.graders.base import Grader, placed

if TYPE_CHECKING:
    from ftlab.data.rows import Row

_ARTICLES = re.compile(r"\b(?:a|an|the)\b", flags=re.IGNORECASE)
_MARK = re.compile(r"[^\w\s]|_")


@dataclass
class TextGrader(Grader):
    """Compares texts after the normalisation of SQuAD, but `3.5` is not made `35` by it, nor `-5` made `5`.

    Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016, arXiv:1606.05250.
    """

    case: bool = False
    """Whether capitals count."""
    punctuation: bool = False
    """Whether punctuation and symbols count."""
    articles: bool = False
    """Whether `a`, `an` and `the` count."""
    aliases: str | None = None
    """Column with a list of further right answers; the best of all counts."""

    def grade_row(self, answer: str, row: Row) -> float:
        """Return the points by the reference or an alias, whichever gives more."""
        aliases = row.extra.get(self.aliases) if self.aliases else None
        aliases = [] if aliases is None else aliases
        with placed(row):
            if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
                raise FtlabError(f"{self.aliases} is no list of texts; write one")
            return max(self.grade(answer, right) for right in (row.reference or "", *aliases))

    def vote(self, answer: str) -> str:
        """Return what counts in the answer."""
        return self.normal(answer)

    def normal(self, text: str) -> str:
        """Return a text with only what counts in it; where that is nothing, all of it."""
        text = unicodedata.normalize("NFC", text).replace("−", "-")
        if not self.case:
            text = text.lower()
        bare = text if self.punctuation else _MARK.sub(_kept, text)
        bare = bare if self.articles else _ARTICLES.sub(" ", bare)
        return " ".join(bare.split()) or " ".join(text.split())


def _kept(found: re.Match[str]) -> str:
    """Return a mark that must stay: the point of a number, its sign, and the marks that make syllables."""
    mark, text = found[0], found.string
    before, after = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
    if after.isdecimal() and ((mark == "." and before.isdecimal()) or (mark == "-" and not before.isalnum())):
        return mark
    return "" if mark in string.punctuation or unicodedata.category(mark)[0] in "PS" else mark

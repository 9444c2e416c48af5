"""Choice: grades which option of a question an answer means. It knows nothing of models."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab.errors import FtlabError
from ftlab.exam.graders.base import Grader, placed
from ftlab.exam.graders.options import meant, options_of

if TYPE_CHECKING:
    from ftlab.data.rows import Row

#: Where a question lists no options, only their letters are known.
LETTERS = dict.fromkeys(string.ascii_uppercase[:10], "")


@dataclass
class Choice(Grader):
    r"""1 point for an answer that means the right option, else 0.

    The answer may name its letter (`B`, `(b)`, `B. Paris`, `The answer is **B**`, `\boxed{B}`) or say the option's
    words; one that names several in one breath (`A or B`) is wrong. The reference is a letter or says the option in
    the same ways. By the likelihood of the options instead of an answer it is `ChoiceByLikelihood`.
    """

    options: str | None = None
    """Column with the options: a list of texts, texts by letters, or `{"label": [...], "text": [...]}`; null takes
    `choices` or `options` if there is one, else the options that the question lists: `A. ...`, `(A) ...`."""

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0, by the letters A to J alone."""
        return self._points(answer, reference, LETTERS)

    def grade_row(self, answer: str, row: Row) -> float:
        """Return 1 or 0, by the row's own options."""
        with placed(row):
            return self._points(answer, row.reference or "", options_of(row, self.options) or LETTERS)

    def vote(self, answer: str) -> str:
        """Return the letter, of A to J."""
        return meant(answer, LETTERS) or ""

    def vote_row(self, answer: str, row: Row) -> str:
        """Return the letter of the row's option."""
        with placed(row):
            return meant(answer, options_of(row, self.options) or LETTERS) or ""

    def _points(self, answer: str, reference: str, options: Mapping[str, str]) -> float:
        return float(meant(answer, options) == right_option(reference, options))


def right_option(reference: str, options: Mapping[str, str]) -> str:
    """Return the letter of the right option.

    Raises:
        FtlabError: the reference names none.
    """
    words = " ".join(reference.casefold().split())
    same = [letter for letter, text in options.items() if text and " ".join(text.casefold().split()) == words]
    right = same[0] if len(same) == 1 else meant(reference, options)
    if right is None:
        raise FtlabError(
            f"the reference {reference[-60:]!r} names none of the options {', '.join(options)}; "
            "write its letter or its text"
        )
    return right

"""Grader: the contract of what gives points to answers. It knows nothing of models and generation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from ftlab.data.rows import Row


class Grader(ABC):
    """Says how good one answer is. Subclasses are dataclasses: their fields are the settings in YAML.

    No text of an answer is an error, be it empty or garbage: it gets 0 points. A reference that cannot be graded
    against is one.
    """

    @property
    def closing(self) -> str | None:
        """Regular expression behind whose first match nothing changes the grade, so that an answer may end there.

        None, the default, leaves the end to the model.
        """
        return None

    @abstractmethod
    def grade(self, answer: str, reference: str) -> float:
        """Return the points of an answer, from 0 to 1.

        Args:
            answer: the text that the model wrote.
            reference: the text of the question's closing assistant turn.

        Raises:
            FtlabError: the reference is none for this grader: what is wrong; what to do. File and line are added.
        """

    def grade_row(self, answer: str, row: Row) -> float:
        """Return the points of an answer to a row's question; to be overridden where more than its reference counts.

        Args:
            answer: the text that the model wrote.
            row: the question; its other columns are in `row.extra`.

        Raises:
            FtlabError: the row cannot be graded; with its file and line.
        """
        with placed(row):
            return self.grade(answer, row.reference or "")

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse what cannot be graded, before a model is asked: an empty answer to each row is graded.

        Raises:
            FtlabError: a row cannot be graded, or a library that the grader needs is missing.
        """
        for row in rows:
            self.grade_row("", row)

    def totals(self, answers: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        """Return figures over all answers that are no mean of points, such as corpus BLEU; by default none.

        Args:
            answers: what the model wrote.
            rows: the questions, in the same order.
        """
        return {}

    def vote(self, answer: str) -> str:
        """Return what an answer votes for where the majority of several counts; equal answers are equal strings.

        By default it is the answer's text, case and white space aside. A grader that looks at a part of the text votes
        for that part, and for nothing, the empty string, where it finds none.

        Args:
            answer: the text that the model wrote.
        """
        return " ".join(answer.split()).casefold()

    def vote_row(self, answer: str, row: Row) -> str:
        """Return what an answer to a row's question votes for; to be overridden where the question says what it means.

        Args:
            answer: the text that the model wrote.
            row: the question.
        """
        return self.vote(answer)


@contextmanager
def placed(row: Row) -> Iterator[None]:
    """Add a row's file and line to what is said about it."""
    try:
        yield
    except FtlabError as error:
        raise FtlabError(f"{row.place}: {error}") from error

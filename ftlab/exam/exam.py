"""Exam: questions, generated answers, grades. It knows nothing of Lightning."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ftlab.data.chat import Chat
from ftlab.data.formats import Format
from ftlab.data.rows import Rows
from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError, require
from ftlab.exam.generation import generate, render
from ftlab.exam.graders import Grader, Marker
from ftlab.exam.statistics import Score, score


@dataclass(frozen=True)
class Answer:
    """One graded answer."""

    id: str
    question: str
    reference: str
    answer: str
    points: float


@dataclass(frozen=True)
class Sitting:
    """All answers of one model at one time."""

    answers: list[Answer]

    @property
    def points(self) -> list[float]:
        """Points of each answer, in the order of the questions."""
        return [answer.points for answer in self.answers]

    @property
    def score(self) -> Score:
        """The mean of 100 with its interval."""
        return score(self.points)

    def write(self, file: Path) -> None:
        """Write one JSON object for each answer, a line each."""
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in self.answers]
        file.write_text("".join(lines), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Sitting:
        """Read what `write` wrote."""
        with file.open(encoding="utf-8") as lines:  # splitlines() would also cut at U+2028 inside an answer
            return cls([Answer(**json.loads(line)) for line in lines])


def pair_answers(before: Sitting | None, after: Sitting | None) -> list[dict[str, Any]]:
    """Return one row a question with the answers of two sittings, joined by id.

    Returns:
        rows of `id`, `question`, `reference`, and for each sitting its answer and points (`before`, `before_points`,
        `after`, `after_points`), None where a sitting did not have the question.
    """
    rows: dict[str, dict[str, Any]] = {}
    for when, sitting in (("before", before), ("after", after)):
        for answer in sitting.answers if sitting else ():
            blank: dict[str, Any] = {"before": None, "before_points": None, "after": None, "after_points": None}
            row = {"id": answer.id, "question": answer.question, "reference": answer.reference, **blank}
            row = rows.setdefault(answer.id, row)
            row[when], row[f"{when}_points"] = answer.answer, answer.points
    return list(rows.values())


@dataclass
class Exam:
    """Real questions, real generated answers, one grader for the model before and after."""

    questions: str
    """File of chats, of any kind that `data.train` takes, whose last turn, the assistant's, is the reference answer."""
    grader: Grader = field(default_factory=Marker)
    """Gives points to an answer; any grader of the registry."""
    max_new_tokens: int = 128
    """Longest answer in tokens; a model that does not stop is cut off here."""
    batch_size: int = 64
    """Questions answered together. Changes the speed and the memory, not the answers."""
    every: int = 1
    """Sit the exam at every n-th validation; 0 means only before and after training."""
    limit: int | None = None
    """Take only the first questions of the file. Fewer are faster, and widen the interval."""
    format: Format | None = None
    """What each record of the file is, by the name of a format; null finds out by its columns."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        for key in ("max_new_tokens", "batch_size", "limit"):
            value = getattr(self, key)
            require(value is None or value >= 1, f"exam.{key}", value, "1 or more")
        require(self.every >= 0, "exam.every", self.every, "0 or more")

    def rows(self) -> Rows:
        """Read the questions.

        Raises:
            FtlabError: a chat has no reference, two have one id, or the file cannot be read.
        """
        rows = read_rows(self.questions, self.format, need_answer=False)[: self.limit]
        places: dict[str, str] = {}
        for row in rows:
            if row.id in places:
                raise FtlabError(f"{row.place}: the id {row.id!r} is also in {places[row.id]}; ids join two sittings")
            places[row.id] = row.place
            if row.reference is None:
                raise FtlabError(
                    f"{row.place}: the last turn is not the assistant's; an exam needs its reference answer"
                )
        return rows

    def sit(self, model: Any, chat: Chat, title: str = "exam") -> Sitting:
        """Let a model answer every question, and grade the answers.

        Args:
            model: a causal language model of transformers (or peft's).
            chat: the model's chat rendering.
            title: what the progress bar says.
        """
        rows = self.rows()
        answers = generate(model, chat, render(rows, chat), self.max_new_tokens, self.batch_size, title)
        return Sitting(
            [
                Answer(
                    id=row.id,
                    question=row.prompt[-1]["content"] if row.prompt else "",
                    reference=row.reference or "",
                    answer=answer,
                    points=self.grader.grade(answer, row.reference or ""),
                )
                for row, answer in zip(rows, answers, strict=True)
            ]
        )

"""Sitting: the graded answers of one model at one time, kept as a file. It knows no model and no grader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ftlab.data.rows import Row
from ftlab.errors import FtlabError
from ftlab.exam.statistics import Score, score

_FEW_SHOT = "shots-"


@dataclass(frozen=True)
class Answer:
    """One graded question."""

    id: str
    question: str
    reference: str
    answer: str
    points: float
    """Those of the grader that decides, from 0 to 1; of several samples what the exam makes of them."""
    section: str = ""
    """Section of the exam that the question belongs to; empty where there are none."""
    scores: dict[str, float] = field(default_factory=dict)
    """Points of the other graders by name."""
    samples: list[str] = field(default_factory=list)
    """All answers, where several were drawn; `answer` is the one that stands for them."""


@dataclass(frozen=True)
class Sitting:
    """All answers of one model at one time."""

    answers: list[Answer]
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By grader, figures over all answers that are no mean of points, such as a corpus' BLEU."""

    @property
    def points(self) -> list[float]:
        """Points of each answer, in the order of the questions."""
        return [answer.points for answer in self.answers]

    @property
    def score(self) -> Score:
        """The mean of 100 with its interval."""
        return score(self.points)

    def scores(self) -> dict[str, Score]:
        """Return the score of each section and of each further grader, by name; nothing where there is one of each."""
        sections: dict[str, list[float]] = {}
        graders: dict[str, list[float]] = {}
        for answer in self.answers:
            if answer.section:
                sections.setdefault(answer.section, []).append(answer.points)
            for name, points in answer.scores.items():
                graders.setdefault(name, []).append(points)
        return {name: score(points) for name, points in (sections | graders).items()}

    def write(self, file: Path) -> None:
        """Write one JSON object for each answer, a line each; the totals, where there are any, beside it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(_slim(asdict(answer)), ensure_ascii=False) + "\n" for answer in self.answers]
        file.write_text("".join(lines), encoding="utf-8")
        if self.totals:
            text = json.dumps(self.totals, indent=2, ensure_ascii=False) + "\n"
            _totals_file(file).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Sitting:
        """Read what `write` wrote."""
        with file.open(encoding="utf-8") as lines:  # splitlines() would also cut at U+2028 inside an answer
            answers = [Answer(**json.loads(line)) for line in lines]
        beside = _totals_file(file)
        return cls(answers, json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {})


class UngradedError(FtlabError):
    """Answers that a grader gave up on.

    Args:
        reason: what the grader said.
        rows: the questions.
        answers: all samples of each.
    """

    def __init__(self, reason: str, rows: Sequence[Row], answers: Sequence[list[str]]) -> None:
        super().__init__(reason)
        self.rows = rows
        self.answers = answers

    def write(self, sitting: Path) -> Path:
        """Write the answers beside where the sitting's file would be, and return their file."""
        file = sitting.with_suffix(".ungraded.json")
        found = [
            {"id": row.id, "reference": row.reference, "answers": own}
            for row, own in zip(self.rows, self.answers, strict=True)
        ]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return file


def few_shot_name(shots: int) -> str:
    """Return the name of the base's sitting with so many examples in its prompt; without any, `before`."""
    return f"{_FEW_SHOT}{shots}" if shots else "before"


def few_shot(sittings: Mapping[str, Sitting]) -> dict[int, Sitting]:
    """Return the base's sittings with examples in its prompt, by how many, in their order.

    Args:
        sittings: all of an exam, by name.
    """
    return {int(name.removeprefix(_FEW_SHOT)): one for name, one in sittings.items() if name.startswith(_FEW_SHOT)}


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


def _slim(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what was not asked for."""
    optional = ("section", "scores", "samples")
    return {key: value for key, value in record.items() if value or key not in optional}


def _totals_file(file: Path) -> Path:
    return file.with_suffix(".totals.json")

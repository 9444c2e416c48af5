"""Answers: sittings as a table with one row a question. It knows nothing of Weights & Biases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ftlab.exam.sitting import Answer, Sitting


def answer_table(sittings: Mapping[str, Sitting]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a table with one row a question, the same rows in every run of the exam.

    Rows are sorted by id; an id that stands for several questions has a row for each. After `id`, `question` and
    `reference` (and `section`) come of each sitting its answer under the sitting's name, `<sitting> points`,
    `<sitting> <grader>` of each further grader, and `<sitting> samples` where several were drawn; what every run has
    comes before sittings at single steps.

    Args:
        sittings: by name.
    """
    order = sorted(sittings, key=lambda name: name.startswith("step-"))
    asked: dict[tuple[str, str, str], dict[str, Any]] = {}
    columns = ["id", "question", "reference"]
    if any(answer.section for sitting in sittings.values() for answer in sitting.answers):
        columns.append("section")
    for name in order:
        cells = [(answer, _cells(name, answer)) for answer in sittings[name].answers]
        columns += dict.fromkeys(column for _, row in cells for column in row)
        for answer, row in cells:
            about = {"id": answer.id, "question": answer.question, "reference": answer.reference}
            key = answer.id, answer.question, answer.reference
            asked.setdefault(key, about | {"section": answer.section}).update(row)
    return columns, [[asked[key].get(column) for column in columns] for key in sorted(asked)]


def _cells(sitting: str, answer: Answer) -> dict[str, Any]:
    cells: dict[str, Any] = {sitting: answer.answer, f"{sitting} points": float(answer.points)}
    cells |= {f"{sitting} {grader}": float(points) for grader, points in answer.scores.items()}
    if answer.samples:
        cells[f"{sitting} samples"] = json.dumps(answer.samples, ensure_ascii=False)
    return cells

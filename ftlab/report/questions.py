"""Questions: what became of each answer, and which questions a reader may pick out. It draws nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftlab.exam.sitting import Answer, Sitting, few_shot, pair_answers
from ftlab.exam.statistics import base_with

#: The choices of the page, each with its name for people; `groups` says what falls under them.
GROUPS = {
    "all": "All",
    "wrong": "Wrong now",
    "partly": "Half right now",
    "better": "Got better",
    "worse": "Got worse",
    "right": "Right now",
}


@dataclass(frozen=True)
class Given:
    """What one model answered to a question."""

    name: str
    """`Base`, `Base with 2 examples` or `Tuned`."""
    answer: str | None = None
    """None where it was not asked."""
    points: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    """Points of the other graders."""
    samples: list[str] = field(default_factory=list)
    """All answers, where several were drawn."""


def question_rows(sittings: Mapping[str, Sitting]) -> list[dict[str, Any]]:
    """Return one row a question: those of `pair_answers`, with `section`, `given` and `with_examples`.

    Args:
        sittings: by name; `given` is from `before` and `after`, `with_examples` from `shots-<n>`.
    """
    rows = pair_answers(sittings.get("before"), sittings.get("after"))
    shots = sorted(few_shot(sittings).items())
    told = {"Base": sittings.get("before"), "Tuned": sittings.get("after")}
    told |= {base_with(n).capitalize(): sitting for n, sitting in shots}
    by_id = {name: {answer.id: answer for answer in one.answers} if one else {} for name, one in told.items()}
    for row in rows:
        found = {name: answers.get(row["id"]) for name, answers in by_id.items()}
        given = [_given(name, answer) for name, answer in found.items()]
        section = next((answer.section for answer in found.values() if answer and answer.section), "")
        row |= {"section": section, "given": given[:2], "with_examples": given[2:]}
    return rows


def grade(points: float) -> str:
    """Return `right` for 1 point, `wrong` for 0, and `partly` between them."""
    return "right" if points >= 1 else "wrong" if points <= 0 else "partly"


def grade_label(points: float) -> str:
    """Return the grade for people: `right`, `half right`, `wrong`, or the points of a finer grader, `0.7 points`."""
    if grade(points) != "partly":
        return grade(points)
    return "half right" if points == 0.5 else f"{points:.2g} points"


def change(row: dict[str, Any]) -> str:
    """Return what became of the points: `better`, `worse`, `same`, or nothing where an answer is missing.

    Args:
        row: a question with both answers, as `ftlab.exam.sitting.pair_answers` returns it.
    """
    before, after = row["before_points"], row["after_points"]
    if before is None or after is None:
        return ""
    return "better" if after > before else "worse" if after < before else "same"


def groups(row: dict[str, Any]) -> list[str]:
    """Return the keys of GROUPS that a question falls under."""
    own = [] if row["after_points"] is None else [grade(row["after_points"])]
    return ["all", *own, *({change(row)} & GROUPS.keys())]


def count_groups(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many questions fall under each of GROUPS."""
    counts = Counter(group for row in rows for group in groups(row))
    return {group: counts[group] for group in GROUPS}


def _given(name: str, answer: Answer | None) -> Given:
    return Given(name, answer.answer, answer.points, answer.scores, answer.samples) if answer else Given(name)

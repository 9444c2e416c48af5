"""Questions: what became of each answer, and which questions a reader may pick out. It draws nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

#: The choices of the page, each with its name for people; `groups` says what falls under them.
GROUPS = {
    "all": "All",
    "wrong": "Wrong after",
    "partly": "Half right after",
    "better": "Got better",
    "worse": "Got worse",
    "right": "Right after",
}


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

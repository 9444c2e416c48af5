"""Outcome: what the sittings of an exam come to, as data for a run's summary. It knows no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftlab.exam.sitting import Sitting, few_shot, pair_answers
from ftlab.exam.statistics import Difference, Score, difference, kept, three_way, verdict


def compare_sittings(sittings: Mapping[str, Sitting]) -> dict[str, Any]:
    """Return what the sittings of an exam come to: scores with intervals, the difference, the verdict.

    Questions are joined by id, so that a changed order cannot pair the wrong ones.

    Args:
        sittings: `before`, `after`, and `shots-<n>` with n examples in the prompt, by name; without `after`, which a
            grader may have given up on, only the scores of the base are told.
    """
    before, after = sittings["before"], sittings.get("after")
    shots = few_shot(sittings)
    base = {
        "before": describe_score(before.score),
        "shots": {str(n): describe_score(sitting.score) for n, sitting in shots.items()},
    }
    if after is None:
        return {"questions": len(before.answers), **{k: v for k, v in base.items() if v != {}}, "after": None}
    found = difference(*paired_points(before, after))
    said = str(verdict(found))
    if shots:  # the best of them is what the tuned model has to beat
        best = max(shots, key=lambda n: shots[n].score.score)
        ids = [answer.id for answer in after.answers]
        alone, few, tuned = (_by_id(sitting, ids) for sitting in (before, shots[best], after))
        said = str(three_way(alone, few, tuned, best))
    result = {
        "questions": len(after.answers),
        **base,
        "after": describe_score(after.score),
        **_describe_difference(found),
        "verdict": said,
        "parts": {name: describe_score(score) for name, score in after.scores().items()},
        "totals": after.totals,
    }
    return {key: value for key, value in result.items() if value != {}}


def describe_retention(before: Sitting, after: Sitting) -> dict[str, Any]:
    """Return how much of a general ability was kept."""
    found = kept(*paired_points(before, after))
    return {
        "questions": len(after.answers),
        "before": describe_score(before.score),
        "after": describe_score(after.score),
        **_describe_difference(found.difference),
        "kept": found.told,
    }


def paired_points(before: Sitting, after: Sitting) -> tuple[list[float], list[float]]:
    """Return the points of two sittings, of the questions that both have, in one order."""
    rows = [(row["before_points"], row["after_points"]) for row in pair_answers(before, after)]
    both = [pair for pair in rows if None not in pair]
    return [first for first, _ in both], [second for _, second in both]


def _by_id(sitting: Sitting, ids: Sequence[str]) -> list[float]:
    points = {answer.id: answer.points for answer in sitting.answers}
    return [points[each] for each in ids]


def _describe_difference(found: Difference) -> dict[str, Any]:
    return {
        "difference": {"points": found.points, "low": found.low, "high": found.high},
        "p_value": found.p_value,
    }


def describe_score(score: Score) -> dict[str, float]:
    """Return a score and its 95 % interval, of 100."""
    return {"score": score.score, "low": score.low, "high": score.high}

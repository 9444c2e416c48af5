"""Outcome: the value of a sweep's objective in a run that has ended. It knows no study."""

from __future__ import annotations

import math
from typing import Any

from ftlab.callbacks.keep_best import named_scores
from ftlab.errors import FtlabError, choices_help
from ftlab.runs import Run

#: Metrics of exams, whose value is that of the exam after training.
EXAMS = ("exam/", "retention/")


def objective_of(run: Run, objective: str) -> float:
    """Return what a run came to: of the checkpoint that it keeps where that was measured, else the last one logged.

    Args:
        run: one that has ended.
        objective: name of a metric.

    Raises:
        FtlabError: it was not measured, or is no finite number.
    """
    summary = run.summary
    if objective.startswith(EXAMS):
        found = _scores(summary)
        value = found.get(objective)
    else:
        rows = run.metrics()
        found = {key: row[key] for row in rows for key in row if key not in ("step", "epoch")}
        step = (summary.get("best") or {}).get("step")
        kept = [row[objective] for row in rows if objective in row and row.get("step") == step]
        value = kept[-1] if kept and objective.startswith("validation/") else found.get(objective)
    if value is None:
        raise FtlabError(f"objective: {objective} was not measured; {choices_help(objective, found)}")
    if not math.isfinite(value):
        raise FtlabError(f"{objective} is not a number; the training diverged")
    return float(value)


def _scores(summary: dict[str, Any]) -> dict[str, float]:
    """Return the scores after training by the names of their metrics."""
    retained = {f"retention/{name}": exam["after"] for name, exam in (summary.get("retention") or {}).items()}
    exams = {"exam": (summary.get("exam") or {}).get("after") or {}} | retained
    found = {f"{exam}/{key}": value for exam, after in exams.items() for key, value in after.items()}
    return found | named_scores({exam: after["score"] for exam, after in exams.items() if after})

"""Fold table: what the folds' runs say together, as means with intervals and as lines. It starts no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftlab.runs import Run

#: What is measured in each fold: its name in the table, how it is written, and what it cannot exceed.
MEASURES: dict[str, tuple[str, str, tuple[float, float]]] = {
    "exam_before": ("exam before", ".1f", (0, 100)),
    "exam_after": ("exam after", ".1f", (0, 100)),
    "validation_loss": ("loss", ".4f", (0, np.inf)),
}


@dataclass(frozen=True)
class Mean:
    """A mean over folds with its 95 % interval: what another choice of training rows would do to it."""

    mean: float
    low: float
    high: float


def fold_mean(values: Sequence[float], bounds: tuple[float, float] = (-np.inf, np.inf)) -> Mean:
    """Return the mean over folds with its 95 % interval.

    It is Student's t over the folds' means, not over pooled questions: a question answered by five models is one
    question, and counting it five times would make the interval too narrow. Since the folds share most of their
    training rows, their variance alone is too small as well, and no unbiased estimate of it exists (Bengio and
    Grandvalet, 2004, "No unbiased estimator of the variance of k-fold cross-validation"); it is widened by the share of
    validated to trained rows, 1/(k-1) (Nadeau and Bengio, 2003, "Inference for the generalization error").

    Args:
        values: one of each fold.
        bounds: what no value can exceed.
    """
    from scipy import stats

    k, mean = len(values), float(np.mean(values))
    half = float(stats.t.ppf(0.975, k - 1) * np.std(values, ddof=1) * np.sqrt(1 / k + 1 / (k - 1)))
    return Mean(mean, max(bounds[0], mean - half), min(bounds[1], mean + half))


def measures(run: Run) -> dict[str, float | None]:
    """Return what was measured in a run: exam before and after of 100, and the validation loss of its best step."""
    summary: dict[str, Any] = run.summary
    exam = summary.get("exam") or {}
    found = {
        "exam_before": exam.get("before", {}).get("score"),
        "exam_after": (exam.get("after") or {}).get("score"),
        "validation_loss": summary["best"].get("validation_loss"),
    }
    return {key: None if value is None or not np.isfinite(value) else value for key, value in found.items()}


def missing(runs: dict[str, Run]) -> list[str]:
    """Return a line for each figure that some folds lack, so that there is no mean of it: which folds, and why."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for fold, run in runs.items():
        for key, value in measures(run).items():
            if value is None and (why := _why_missing(run, key)):
                lacking.setdefault((MEASURES[key][0], why), []).append(fold)
    return [f"no {title:<8} {', '.join(folds)}: {why}" for (title, why), folds in lacking.items()]


def _why_missing(run: Run, key: str) -> str:
    """Return why a run has no such figure, empty where it was asked for none."""
    if key != "validation_loss":
        return f"the exam was not sat; see {run.folder}" if run.config.get("exam") else ""
    if run.summary["best"].get(key) is not None:
        return "the loss is not a number; lower optimizer.lr"
    if not (run.config.get("trainer") or {}).get("limit_val_batches", 1):
        return "trainer.limit_val_batches is 0; leave it out to validate"
    return f"the weights kept were not validated; see {run.folder}"


def table(folds: dict[str, dict[str, float | None]], means: dict[str, Mean], runs: dict[str, str]) -> list[str]:
    """Return the lines of the table: a fold each, then the means with their intervals, of what all folds have."""
    shown = {key: MEASURES[key][:2] for key in MEASURES if any(values[key] is not None for values in folds.values())}
    lines = ["fold       " + "".join(f"{title:>12}" for title, _ in shown.values()) + "   run"]
    for fold, values in folds.items():
        cells = "".join(_cell(values[key], form) for key, (_, form) in shown.items())
        lines.append(f"{fold:<11}{cells}   {runs[fold]}")
    if means:
        of_all = {key: mean.mean for key, mean in means.items()}
        lines.append("mean       " + "".join(_cell(of_all.get(key), form) for key, (_, form) in shown.items()))
    for key, mean in means.items():
        title, form = shown[key]
        between = f"{mean.low:{form}} to {mean.high:{form}}"
        lines.append(f"{title:<12}{mean.mean:{form}}, 95 % interval {between} over {len(folds)} training sets")
    if "exam_after" in means:
        lines.append("How far the questions alone leave a score open is said by each run's own interval.")
    return lines


def _cell(value: float | None, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>12}"

"""Compare W&B: a comparison as a W&B run of its own, with tables and plots. It does not know how runs are compared."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from ftlab.comparison import COSTS, Comparison, Entry
from ftlab.comparison.entry import Question
from ftlab.comparison.record import record, rows
from ftlab.errors import FtlabError
from ftlab.tracking import TIMEOUT, logged_in

#: Curves that are laid over each other: their names in W&B, and titles.
_CURVES = {"train": "training loss", "validation": "validation loss", "exam": "exam score"}


def track_comparison(comparison: Comparison, project: str, folder: Path) -> str:
    """Log a comparison as a run of job type `compare`; return where it can be found.

    Tables: `compare/configurations`, `compare/runs`, and `compare/answers`, a row for each question and a column for
    each run. Plots: the curves, and the exam against each cost. Summary: what it comes to.

    Args:
        comparison: of one configuration or more.
        project: that the run appears in; offline where this machine has no login, unless WANDB_MODE says otherwise.
        folder: whose `wandb/` holds the files.

    Raises:
        FtlabError: W&B cannot be reached.
    """
    import wandb

    entries = [entry for group in comparison.groups for entry in group.entries]
    names = list(dict.fromkeys(str(entry.config.get("name") or entry.run.name) for entry in entries))
    told = {str(entry.summary[key]) for entry in entries for key in ("method", "base") if key in entry.summary}
    try:
        run = wandb.init(
            mode=None if logged_in() or "WANDB_MODE" in os.environ else "offline",
            dir=str(folder),
            project=project,
            name=f"compare/{datetime.now():%Y-%m-%d_%H-%M-%S}",
            group=names[0] if len(names) == 1 else "compare",
            job_type="compare",
            tags=sorted(told),
            config={"runs": [_origin(entry) for entry in entries], "differing": comparison.keys},
            settings=wandb.Settings(init_timeout=TIMEOUT, silent=True, console="off"),
        )
    except wandb.Error as error:
        raise FtlabError(f"--wandb: W&B cannot be reached ({error}); WANDB_MODE=offline keeps it here") from error
    of_runs, data = rows(comparison), record(comparison)
    tables = {
        "configurations": [_flat(each) for each in data["configurations"]],
        "runs": of_runs,
        "answers": _answers(entries),
    }
    logged: dict[str, Any] = {}
    for name, found in tables.items():
        if found:
            columns = list(dict.fromkeys(key for row in found for key in row))
            table = wandb.Table(columns=[*columns], data=[[row.get(key) for key in columns] for row in found])
            logged[f"compare/{name}"] = table
    for name, title in _CURVES.items():
        series = [(entry.label, getattr(entry.curves, name).finite) for entry in entries]
        if drawn := [(label, points) for label, points in series if len(points)]:
            xs, ys = [list(p.steps) for _, p in drawn], [list(p.values) for _, p in drawn]
            logged[f"compare/{name}"] = wandb.plot.line_series(xs, ys, [label for label, _ in drawn], title, "step")
    for cost, title in COSTS.items():
        spots = [
            (g.label, g.figure(cost), g.exam.score, g in comparison.front(cost)) for g in comparison.groups if g.exam
        ]
        spots = [spot for spot in spots if spot[1] is not None]
        if len(spots) > 1:
            table = wandb.Table(columns=["configuration", cost, "exam", "front"], data=[list(spot) for spot in spots])
            logged[f"compare/exam_{cost}"] = wandb.plot.scatter(table, cost, "exam", f"exam against {title}")
    run.log(logged)
    run.summary.update({key: data[key] for key in ("best", "winner", "closing", "warnings", "fronts")})
    place = str(Path(run.dir).parent) if run.offline else str(run.url)
    run.finish()
    return place


def _origin(entry: Entry) -> dict[str, Any]:
    """Return what leads from the comparison to a run, and to its own W&B run."""
    return {"folder": str(entry.run.folder), "seed": entry.seed, "wandb": entry.summary.get("wandb")}


def _flat(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as a row of a table."""
    exam, against = configuration["exam"] or {}, configuration["against_best"] or {}
    return {
        "configuration": configuration["label"],
        "seeds": len(configuration["seeds"]),
        **configuration["settings"],
        "state": ", ".join(f"{number} {state}" for state, number in configuration["states"].items()),
        **configuration["figures"],
        "exam_low": exam.get("low"),
        "exam_high": exam.get("high"),
        "difference": against.get("points"),
        "p_value": against.get("p_value"),
        "verdict": against.get("verdict"),
    }


def _answers(entries: list[Entry]) -> list[dict[str, Any]]:
    """Return a row for each question, sorted by id, with answer and points of each run."""
    asked: dict[Question, dict[str, Any]] = {}
    for entry in entries:
        for answer in entry.sitting.answers if entry.sitting else ():
            about = {"id": answer.id, "question": answer.question, "reference": answer.reference}
            row = asked.setdefault((answer.id, answer.question, answer.reference), about)
            row |= {entry.label: answer.answer, f"{entry.label} points": answer.points}
    return [asked[question] for question in sorted(asked)]

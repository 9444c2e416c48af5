"""Compare W&B: a comparison as a W&B run of its own, with tables and plots. It does not know how runs are compared."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ftlab.comparison import COSTS, Comparison, Entry
from ftlab.comparison.record import record, rows
from ftlab.errors import FtlabError
from ftlab.tracking import WandB, answer_table, finish

#: Curves that are laid over each other: their names in W&B, and titles.
_CURVES = {"train": "training loss", "validation": "validation loss", "exam": "exam score"}


def track_comparison(comparison: Comparison, project: str, folder: Path) -> dict[str, Any]:
    """Log a comparison as a run of job type `compare`; return where it can be found.

    Tables: `compare/configurations`, `compare/runs`, and `compare/answers`, a row for each question and a column for
    each run. Plots: the curves, and the exam against each cost. Summary: what it comes to.

    Args:
        comparison: of one configuration or more.
        project: that the run appears in; offline where this machine has no login, unless WANDB_MODE says otherwise.
        folder: whose `wandb/` holds the files.

    Raises:
        FtlabError: the environment switches W&B off.
    """
    import wandb

    entries = [entry for group in comparison.groups for entry in group.entries]
    names = list(dict.fromkeys(str(entry.config.get("name") or entry.run.name) for entry in entries))
    told = {str(entry.summary[key]) for entry in entries for key in ("method", "base") if key in entry.summary}
    run = WandB(project=project).open(
        "compare",
        folder,
        f"compare/{datetime.now():%Y-%m-%d_%H-%M-%S}",
        names[0] if len(names) == 1 else "compare",
        {"runs": [_origin(entry) for entry in entries], "differing": comparison.keys},
        sorted(told),
    )
    if run is None:
        raise FtlabError("--wandb: WANDB_MODE=disabled switches W&B off; unset it")
    data = record(comparison)
    tables = {
        "configurations": _table([_flat(each) for each in data["configurations"]]),
        "runs": _table(rows(comparison)),
        "answers": answer_table({entry.label: entry.sitting for entry in entries if entry.sitting}),
    }
    logged: dict[str, Any] = {
        f"compare/{name}": wandb.Table(columns=[*columns], data=found)
        for name, (columns, found) in tables.items()
        if found
    }
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
    return finish(run)


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


def _table(found: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of records."""
    columns = list(dict.fromkeys(key for row in found for key in row))
    return columns, [[row.get(key) for key in columns] for row in found]

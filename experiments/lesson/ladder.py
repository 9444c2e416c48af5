"""Ladder: the five runs of the lesson, each of which changes what the state of the one before asks for.

    python experiments/lesson/ladder.py            # ftlab/tiny, some minutes on two cores
    python experiments/lesson/ladder.py --base qwen    # the lesson's own model and numbers, on a GPU

It ends with one table (what changed, the curves, the state, the exam, the advice), and writes `ladder-<base>.json` and
`ladder-<base>.svg`. A run that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import yaml

mpl.use("svg")
sys.path.append(str(Path(__file__).parent.parent))
from fitting import fit_once
from matplotlib import pyplot as plt

from ftlab.diagnosis import Curves, Series
from ftlab.diagnosis.sparkline import sparkline
from ftlab.runs import Run

HERE = Path(__file__).parent
STEPS = ("1", "2", "3", "4", "5")


def main() -> None:
    """Run what is missing; print the table, write the figures and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=["tiny", "qwen"], default="tiny")
    args = parser.parse_args()
    runs = []
    for step in STEPS:
        print(f"run {step} of {len(STEPS)}: {_why(args.base, step)}", flush=True)
        runs.append(fit(args.base, step))
    curves = [Curves.of_rows(run.metrics()) for run in runs]
    rows = [row(args.base, *each) for each in zip(STEPS, runs, curves, strict=True)]
    (HERE / f"ladder-{args.base}.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    plot(rows, curves, HERE / f"ladder-{args.base}.svg")
    print(table(rows, curves))


def fit(base: str, step: str) -> Run:
    """Return one of the runs, fitted from the top of the repository."""
    configs = [f"experiments/lesson/{base}/{name}.yaml" for name in ("common", step)]
    return fit_once(f"lesson/{base}-{step}", configs, ["--wandb.mode=off"], seed=7)


def row(base: str, step: str, run: Run, curves: Curves) -> dict[str, Any]:
    """Return what a run changed and what came out."""
    summary = run.summary
    return {
        "run": step,
        "why": _why(base, step),
        "settings": settings(base, step),
        "seconds": summary["seconds"]["total"],
        "state": summary["diagnosis"]["state"],
        "evidence": summary["diagnosis"]["evidence"][0],
        "before": summary["exam"]["before"]["score"],
        "exam": summary["exam"]["after"],
        "p_value": summary["exam"]["p_value"],
        "advice": summary["diagnosis"]["advice"],
        "losses": {
            name: points(series) for name, series in (("train", curves.train), ("validation", curves.validation))
        },
    }


def points(series: Series) -> list[list[float]]:
    """Return each step with its loss, of which four digits are kept."""
    return [[step, float(f"{loss:.4g}")] for step, loss in zip(series.steps, series.values, strict=True)]


def settings(base: str, step: str) -> dict[str, Any]:
    """Return the settings that differ from one run to the next."""
    common, own = (
        yaml.safe_load((HERE / base / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("common", step)
    )
    rank = {**common, **own}["method"].get("init_args", {}).get("r")
    return {
        "rows": Path(own["data"]["train"]).stem.removeprefix("train_"),
        "rate": own["optimizer"]["lr"],
        "epochs": own["trainer"]["max_epochs"],
        "batch": own["data"]["batch_size"],
        **({"rank": rank} if rank else {}),
    }


def table(rows: list[dict[str, Any]], all_curves: list[Curves]) -> str:
    """Return one table of all runs, with a curve of each loss in a line below it."""
    lines, old = [], {}
    for found, curves in zip(rows, all_curves, strict=True):
        new = found["settings"]
        changed = [f"{key} {old[key]} -> {value}" for key, value in new.items() if key in old and old[key] != value]
        score = found["exam"]
        lines.append(
            f"{found['run']}  {', '.join(changed) or ', '.join(f'{k} {v}' for k, v in new.items()):50} "
            f"{found['state']:14} exam {found['before']:.0f} -> {score['score']:.0f} "
            f"({score['low']:.0f} to {score['high']:.0f})   {found['seconds']:.0f} s"
        )
        values = np.concatenate([curves.train.finite.values, curves.validation.finite.values])
        for name, series in (("training", curves.train), ("validation", curves.validation)):
            drawn = sparkline(series, curves.steps, float(values.min()), float(values.max()))
            lines.append(f"   {name:10} {drawn} {series.values[0]:.3g} -> {series.values[-1]:.3g}")
        lines += [f"   {found['evidence']}", f"   next: {found['advice']}"]
        old = new
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], all_curves: list[Curves], file: Path) -> None:
    """Draw the losses of each run, its state above them."""
    mpl.rcParams["svg.hashsalt"] = "ftlab"  # equal results give an equal file
    figure, all_axes = plt.subplots(1, len(rows), figsize=(13, 2.8), sharey=True, layout="constrained")
    for axes, found, curves in zip(all_axes, rows, all_curves, strict=True):
        for series, colour, name in (
            (curves.train, "#7aa6d8", "training"),
            (curves.validation, "#c25a00", "validation"),
        ):
            axes.plot(series.steps, series.values, color=colour, linewidth=1.4, label=name)
        new = found["settings"]
        axes.set_title(
            f"{found['run']}: {found['state']}\n{new['rows']} rows, rate {new['rate']:g}, epochs {new['epochs']}\n"
            f"exam {found['exam']['score']:.0f} of 100",
            fontsize=9,
        )
        axes.set(yscale="log", xlabel="step")
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("loss per learnt token")
    all_axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def _why(base: str, step: str) -> str:
    """Return the first line of one of the runs' configs."""
    return (HERE / base / f"{step}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


if __name__ == "__main__":
    main()

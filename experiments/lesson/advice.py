"""Advice: makes the three bad runs of the ladder with five seeds, then each as its diagnosis advises, and compares.

    python experiments/lesson/advice.py        # a run that is done is not done again

The next run takes the first one's settings with its `next.yaml` on top, as the run's closing lines say. It is better
where its validation loss at the end of training is lower. It writes `advice.json` and the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

sys.path.append(str(Path(__file__).parent.parent))
from fitting import fit_once
from recording import put_table

from ftlab.diagnosis import Curves
from ftlab.runs import Run

HERE = Path(__file__).parent

#: The ladder's run that ends in a state, and what is changed so that thirty runs take less than half an hour: losses
#: alone tell what became of it, and at one and a half times the rate 25 passes over a hundred rows are enough to learn
#: them by heart (at the ladder's own, two of five seeds do not overfit).
BAD = {
    "failed": ("1", ["--trainer.val_check_interval=4"]),
    "underfitting": ("2", ["--trainer.val_check_interval=2"]),
    "overfitting": ("3", ["--trainer.max_epochs=25", "--optimizer.lr=1.5e-3"]),
}

#: Runs in each state whose advice is followed; one that another seed has brought into another state is counted alone.
PAIRS = 5

EQUAL = ["--exam=null", "--wandb.mode=off", "--trainer.enable_progress_bar=false"]


def main() -> None:
    """Run what is missing; print the table, and write it into the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, *range(1, 7), *range(8, 15)])
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for state in tqdm(BAD, unit=" states"):
        for seed in args.seeds:
            if sum(row["state"] == row["wanted"] == state for row in rows) < PAIRS:
                rows.append(follow(state, seed))
    (HERE / "advice.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    put_table(HERE / "README.md", "advice", table(rows))
    print(table(rows))


def follow(state: str, seed: int) -> dict[str, Any]:
    """Make a bad run and, where it is in the state, the one that its diagnosis advises; return what came out."""
    step, options = BAD[state]
    configs = [f"experiments/lesson/tiny/{name}.yaml" for name in ("common", step)]
    bad = fit_once(f"advice/{state}", configs, [*EQUAL, *options], seed)
    named = bad.summary["diagnosis"]["state"]
    row = {"wanted": state, "seed": seed, "state": named, "before": losses(bad)}
    if named != state:
        return row
    resolved = [str(bad.folder / name) for name in ("config.yaml", "next.yaml")]
    advised = fit_once(f"advice/{state}-next", resolved, [], seed)
    settings = yaml.safe_load((bad.folder / "next.yaml").read_text(encoding="utf-8"))
    after = {"after": losses(advised), "state_after": advised.summary["diagnosis"]["state"]}
    return {**row, "next": settings, **after}


def losses(run: Run) -> dict[str, float]:
    """Return the validation loss at the end and at its best."""
    values = Curves.of_rows(run.metrics()).validation.values
    return {"end": float(values[-1]), "best": float(values.min())}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table with a row for each of the bad states."""
    lines = [
        "| state | named so | better at the end | validation loss at the end, each seed | at its best | states then |",
        "|---|---|---|---|---|---|",
    ]
    for state in dict.fromkeys(row["wanted"] for row in rows):
        tried = [row for row in rows if row["wanted"] == state]
        found = [row for row in tried if row["state"] == state]
        changes = {
            when: ", ".join(f"{row['before'][when]:.3g} -> {row['after'][when]:.3g}" for row in found)
            for when in ("end", "best")
        }
        better = sum(row["after"]["end"] < row["before"]["end"] for row in found)
        then = ", ".join(row["state_after"] for row in found)
        counts = f"{len(found)} of {len(tried)} | {better} of {len(found)}"
        lines.append(f"| {state} | {counts} | {changes['end']} | {changes['best']} | {then} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

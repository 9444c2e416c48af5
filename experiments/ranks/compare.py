"""Compare: three sizes of LoRA on the lesson with equal data, order and seeds; writes a table and a plot.

    python experiments/ranks/compare.py                   # three seeds; a run that is done is not done again
    python experiments/ranks/compare.py --again           # forgets the runs that are done, such as on another machine

Each run is `ftlab fit` with the quickstart's config, `common.yaml` and one of `a.yaml`, `b.yaml`, `c.yaml`. The seeds
are the outer loop, so that what slows the machine for a while slows all three.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from tqdm import tqdm

mpl.use("svg")
sys.path.append(str(Path(__file__).parent.parent))
from fitting import fit_once
from matplotlib import pyplot as plt
from recording import comparison_parser, record

from ftlab.comparison import Comparison, Entry, Group, compare
from ftlab.exam.statistics import verdict

HERE = Path(__file__).parent
NAMES = {"a": "#7aa6d8", "b": "#1f4e8c", "c": "#c25a00"}  # and the colours of their curves
OPTIONS = ["--wandb.mode=off", "--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"]
FIGURES = ["validation_loss", "train_loss", "trainable", "seconds", "memory", "tokens_per_second", "points_per_hour"]

#: Steps whose training losses become one point of a curve.
WINDOW = 7


def main() -> None:
    """Run what is missing, then write results.json, ranks.svg and the README's table."""
    parser = comparison_parser(__doc__, HERE, "ranks.svg")
    parser.add_argument("--again", action="store_true", help="delete the runs that are done, and do them again")
    args = parser.parse_args()
    if args.again:
        shutil.rmtree(args.folder / "runs/ranks", ignore_errors=True)
    options = [*OPTIONS, *(f"--{option}" for option in args.options)]
    entries: dict[str, list[Entry]] = {name: [] for name in NAMES}
    for seed, name in tqdm([(seed, name) for seed in args.seeds for name in NAMES], unit=" runs"):
        configs = ["configs/quickstart.yaml", "experiments/ranks/common.yaml", f"experiments/ranks/{name}.yaml"]
        entries[name].append(Entry(fit_once(f"ranks/{name}", configs, options, seed, args.folder)))
    comparison = compare([entry for several in entries.values() for entry in several])
    for warning in comparison.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    results = {name: result(several, comparison) for name, several in entries.items()}
    record(results, table(results), args.results, [HERE / "README.md"], "ranks")
    plot(results, args.results / "ranks.svg")


def result(entries: list[Entry], comparison: Comparison) -> dict[str, Any]:
    """Return what came out of one configuration over its seeds."""
    [group] = [group for group in comparison.groups if group.entries[0] in entries]
    assert group.exam is not None
    against = comparison.against.get(group.label)
    targets = entries[0].settings["method.target_modules"]
    return {
        "rank": entries[0].settings["method.r"],
        "layers": targets if isinstance(targets, str) else ", ".join(each.removesuffix("_proj") for each in targets),
        "lr": entries[0].settings["optimizer.lr"],
        "score": group.exam.score,
        "low": group.exam.low,
        "high": group.exam.high,
        "scores": [score.score for entry in entries if (score := entry.score)],
        "against": str(verdict(against)) if against else "",
        **{name: group.figure(name) for name in FIGURES},
        "adapter_bytes": entries[0].summary["adapter_bytes"],
        "curve": curve(group),
    }


def curve(group: Group) -> list[tuple[float, float]]:
    """Return the training loss over steps, the mean over the seeds of each few steps."""
    losses = np.mean([entry.curves.train.values for entry in group.entries], axis=0)
    steps = group.entries[0].curves.train.steps
    parts = range(0, len(steps), WINDOW)
    return [(float(steps[i : i + WINDOW].mean()), round(float(losses[i : i + WINDOW].mean()), 5)) for i in parts]


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| | rank, layers | exam (interval) | each seed | against the best | training loss | validation loss | trained "
        "| adapter | training | tokens/s | memory | points an hour |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        seeds = ", ".join(f"{score:.0f}" for score in r["scores"])
        lines.append(
            f"| {name.upper()} | {r['rank']}, {r['layers']} | {r['score']:.0f} ({r['low']:.0f} to {r['high']:.0f}) "
            f"| {seeds} | {r['against'] or 'the best'} | {r['train_loss']:.3f} | {r['validation_loss']:.3f} "
            f"| {100 * r['trainable']:.2g} % | {r['adapter_bytes'] / 1e6:.2f} MB | {r['seconds']:.0f} s "
            f"| {r['tokens_per_second']:,.0f} | {r['memory'] / 1e9:.2f} GB | {r['points_per_hour']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def plot(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Draw the exam over the time of training, a point a configuration, and the training losses beside it."""
    mpl.rcParams["svg.hashsalt"] = "ftlab"  # equal results give an equal file
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for name, r in results.items():
        label = f"{name.upper()}: r {r['rank']}, {r['layers']}"
        ends = [[r["score"] - r["low"]], [r["high"] - r["score"]]]
        left.errorbar(r["seconds"], r["score"], yerr=ends, color=NAMES[name], elinewidth=4, alpha=0.4)
        left.plot([r["seconds"]] * len(r["scores"]), r["scores"], "o", color=NAMES[name], markersize=4)
        left.annotate(
            f"{name.upper()}, {100 * r['trainable']:.2g} %",
            (r["seconds"], r["score"]),
            xytext=(8, 0),
            textcoords="offset points",
            color=NAMES[name],
            va="center",
        )
        steps, losses = zip(*r["curve"], strict=True)
        right.plot(steps, losses, color=NAMES[name], label=label)
        right.plot(steps[-1], r["validation_loss"], "o", color=NAMES[name], markersize=5)
    longest = max(r["seconds"] for r in results.values())
    lowest = max(0, 10 * (min(r["low"] for r in results.values()) // 10 - 1))
    left.set(xlim=(0, 1.3 * longest), ylim=(lowest, 101), xlabel="training, seconds; the share is what is trained")
    left.set(ylabel="exam of 100, with the 95 % interval")
    right.set(yscale="log", xlabel="step", ylabel="training loss; a point is validation")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()

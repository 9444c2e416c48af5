"""Compare: fits every built-in method on the lesson with equal data, order and seeds; writes a table and a plot.

    python experiments/methods/compare.py                 # three seeds; a run that is done is not done again
    python experiments/methods/compare.py --seeds 7 --methods lora ia3

Each run is `ftlab fit` with three configs: the quickstart's, the method's from `configs/methods/`, and from this folder
the learning rate that the method wants on a model of 2 M parameters.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from tqdm import tqdm

mpl.use("svg")
sys.path.append(str(Path(__file__).parent.parent))
from fitting import ROOT, fit_once
from matplotlib import pyplot as plt
from recording import comparison_parser, record

HERE = Path(__file__).parent

#: Two epochs and one exam at either end, so that all of it takes half an hour on two cores.
EQUAL = ["--trainer.max_epochs=2", "--exam.every=0", "--wandb.mode=off", "--trainer.enable_progress_bar=false"]


def main() -> None:
    """Run what is missing, then write results.json, scores.svg and the tables of both READMEs."""
    names = sorted(file.stem for file in HERE.glob("*.yaml"))
    parser = comparison_parser(__doc__, HERE, "scores.svg")
    parser.add_argument("--methods", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    todo = [(seed, name) for seed in args.seeds for name in args.methods]
    summaries: dict[str, list[dict[str, Any]]] = {name: [] for name in args.methods}
    for seed, name in tqdm(todo, unit=" runs"):
        summaries[name].append(run(name, seed, args.folder, [f"--{option}" for option in args.options]))
    check_equal([summary for several in summaries.values() for summary in several])
    results = {name: average(several) for name, several in summaries.items()}
    record(results, table(results), args.results, [HERE / "README.md", ROOT / "README.md"], "scores")
    plot(results, args.results / "scores.svg")


def run(name: str, seed: int, folder: Path, options: list[str]) -> dict[str, Any]:
    """Fit one method with one seed; return its summary."""
    configs = ["configs/quickstart.yaml", f"configs/methods/{name}.yaml", f"experiments/methods/{name}.yaml"]
    return fit_once(f"methods/{name}", configs, [*EQUAL, *options], seed, folder).summary


def check_equal(summaries: list[dict[str, Any]]) -> None:
    """Refuse to compare runs that saw different data or took a different number of steps."""
    for key in (lambda s: s["data"]["fingerprint"], lambda s: s["data"]["train"], lambda s: s["steps"]):
        seen = [key(summary) for summary in summaries]
        if any(value != seen[0] for value in seen):
            raise SystemExit(f"the runs did not see the same: {seen}")


def average(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means over seeds; of the score, the widest interval of the seeds beside each seed's own score."""
    mean = statistics.mean
    after = [summary["exam"]["after"] for summary in summaries]
    first = summaries[0]
    return {
        "method": first["method"],
        "before": mean(s["exam"]["before"]["score"] for s in summaries),
        "score": mean(score["score"] for score in after),
        "low": min(score["low"] for score in after),
        "high": max(score["high"] for score in after),
        "scores": [score["score"] for score in after],
        "validation_loss": mean(s["best"]["validation_loss"] for s in summaries),
        "trained": first["parameters"]["trainable"],
        "share": first["parameters"]["trainable"] / first["parameters"]["total"],
        "adapter_bytes": first["adapter_bytes"],
        "tokens_per_second": mean(s["tokens_per_second"] for s in summaries),
        "peak_bytes": max(s["memory"]["peak_bytes"] for s in summaries),
        "seconds": mean(s["seconds"]["total"] for s in summaries),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table, the best score first."""
    lines = [
        "| config | exam (interval) | each seed | validation loss | trained | adapter | tokens/s | memory | time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in sorted(results.items(), key=lambda item: (-item[1]["score"], item[1]["validation_loss"])):
        seeds = ", ".join(f"{score:.0f}" for score in r["scores"])
        lines.append(
            f"| `{name}` | {r['score']:.0f} ({r['low']:.0f} to {r['high']:.0f}) | {seeds} "
            f"| {r['validation_loss']:.3f} | {100 * r['share']:.3g} % | {r['adapter_bytes'] / 1e6:.2f} MB "
            f"| {r['tokens_per_second']:,.0f} | {r['peak_bytes'] / 1e9:.2f} GB | {r['seconds']:.0f} s |"
        )
    return "\n".join(lines) + "\n"


def plot(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Draw each method's score with its interval, one row a method, the best on top, and what it trains beside it."""
    mpl.rcParams["svg.hashsalt"] = "ftlab"  # equal results give an equal file
    ordered = sorted(results.items(), key=lambda item: (item[1]["score"], -item[1]["validation_loss"]))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 0.6 + 0.36 * len(ordered)), sharey=True, width_ratios=[3, 2], layout="constrained"
    )
    rows = range(len(ordered))
    left.hlines(rows, [r["low"] for _, r in ordered], [r["high"] for _, r in ordered], color="#7aa6d8", linewidth=5)
    for row, (_, r) in enumerate(ordered):
        left.plot(r["scores"], [row] * len(r["scores"]), "o", color="#1f4e8c", markersize=4)
    before = statistics.mode(r["before"] for _, r in ordered)  # most start as the base; virtual tokens do not
    left.axvline(before, color="#888888", linewidth=1, linestyle="--")
    left.text(before + 1, -0.4, "before", color="#666666", fontsize=8, va="center")
    left.set(xlim=(0, 101), xlabel="exam, of 100: each seed, and the 95 % interval", yticks=rows)
    left.set_yticklabels([name for name, _ in ordered])
    right.barh(rows, [100 * r["share"] for _, r in ordered], color="#c9d8ea", height=0.6)
    right.set(xscale="log", xlabel="trained parameters, % of all", xlim=(0.05, 120))
    right.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#eeeeee")
        axes.set_axisbelow(True)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()

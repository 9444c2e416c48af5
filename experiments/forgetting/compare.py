"""Compare: what a task costs in general ability, for Full and LoRA without and with each remedy against forgetting.

    python experiments/forgetting/compare.py              # three seeds; a run that is done is not done again
    python experiments/forgetting/compare.py --seeds 7 --cases full/none full/l2

Each run is `ftlab fit` with the quickstart's config, `common.yaml`, the method's `none.yaml` and the remedy's on top.
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
from fitting import fit_once
from matplotlib import pyplot as plt
from recording import comparison_parser, record

HERE = Path(__file__).parent
METHODS = {"full": "#1f4e8c", "lora": "#c25a00"}  # and the colours of their points
OPTIONS = ["--wandb.mode=off", "--trainer.enable_progress_bar=false"]


def main() -> None:
    """Run what is missing, then write results.json, forgetting.svg and the README's table."""
    cases = [f"{method}/{file.stem}" for method in METHODS for file in sorted((HERE / method).glob("*.yaml"))]
    parser = comparison_parser(__doc__, HERE, "forgetting.svg")
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    args = parser.parse_args()
    options = [*OPTIONS, *(f"--{option}" for option in args.options)]
    summaries: dict[str, list[dict[str, Any]]] = {case: [] for case in args.cases}
    for seed, case in tqdm([(seed, case) for seed in args.seeds for case in args.cases], unit=" runs"):
        run = fit_once(f"forgetting/{case}", configs(case), options, seed, args.folder)
        summaries[case].append(run.summary)
    check_equal([summary for several in summaries.values() for summary in several])
    results = {case: average(several) for case, several in summaries.items()}
    record(results, table(results), args.results, [HERE / "README.md"], "scores")
    plot(results, args.results / "forgetting.svg")


def configs(case: str) -> list[str]:
    """Return the configs of a case such as `full/l2`, from the top of the repository; later ones win."""
    method, remedy = case.split("/")
    ours = ["common.yaml", f"{method}/none.yaml", *([f"{case}.yaml"] if remedy != "none" else [])]
    return ["configs/quickstart.yaml", *(f"experiments/forgetting/{file}" for file in ours)]


def check_equal(summaries: list[dict[str, Any]]) -> None:
    """Refuse to compare runs whose base did not start from the same scores."""
    seen = [(s["exam"]["before"], s["retention"]["general"]["before"]) for s in summaries]
    if any(each != seen[0] for each in seen):
        raise SystemExit(f"the runs did not start from the same: {seen}")


def average(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what came out over the seeds, of the task and of general ability."""
    general = [summary["retention"]["general"] for summary in summaries]
    return {
        "task": over_seeds([summary["exam"]["after"] for summary in summaries]),
        "task_before": summaries[0]["exam"]["before"]["score"],
        "general": over_seeds([each["after"] for each in general]),
        "general_before": general[0]["before"]["score"],
        "step": statistics.mean(summary["best"]["step"] for summary in summaries),
    }


def over_seeds(scores: list[dict[str, float]]) -> dict[str, Any]:
    """Return the mean score, the widest interval of the seeds, and each seed's own score."""
    each = [score["score"] for score in scores]
    low, high = min(score["low"] for score in scores), max(score["high"] for score in scores)
    return {"score": statistics.mean(each), "low": low, "high": high, "scores": each}


def front(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the cases that no other one beats in one score without losing in the other, the best of the task first."""
    found: list[str] = []
    order = sorted(results, key=lambda case: (-results[case]["task"]["score"], -results[case]["general"]["score"]))
    for case in order:
        if not found or results[case]["general"]["score"] > results[found[-1]]["general"]["score"]:
            found.append(case)
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table, of each method the best sum of both scores first."""
    before = next(iter(results.values()))
    lines = [
        "| method | remedy | task (interval) | general ability (interval) | each seed | step |",
        "|---|---|---|---|---|---|",
        f"| | before | {before['task_before']:.0f} | {before['general_before']:.0f} | | |",
    ]
    best = front(results)
    for method in METHODS:
        cases = [case for case in results if case.startswith(f"{method}/")]
        for case in sorted(cases, key=lambda c: -results[c]["task"]["score"] - results[c]["general"]["score"]):
            r = results[case]
            pairs = zip(r["task"]["scores"], r["general"]["scores"], strict=True)
            seeds = ", ".join(f"{task:.0f} and {general:.0f}" for task, general in pairs)
            remedy = case.split("/")[1]
            lines.append(
                f"| {method} | {f'**{remedy}**' if case in best else remedy} | {_words(r['task'])} "
                f"| {_words(r['general'])} | {seeds} | {r['step']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def plot(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Draw the task's score over general ability, a point a case with its intervals, and the Pareto front."""
    mpl.rcParams["svg.hashsalt"] = "ftlab"  # equal results give an equal file
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    before = next(iter(results.values()))
    axes.axvline(before["general_before"], color="#888888", linewidth=1, linestyle="--")
    axes.axhline(before["task_before"], color="#888888", linewidth=1, linestyle="--")
    axes.text(before["general_before"], before["task_before"], " before", color="#666666", fontsize=8, va="bottom")
    for case, r in results.items():
        method, remedy = case.split("/")
        x, y = r["general"], r["task"]
        left = method == "lora" or remedy == "ewc"  # which lies beside replay
        axes.errorbar(
            x["score"],
            y["score"],
            xerr=[[x["score"] - x["low"]], [x["high"] - x["score"]]],
            yerr=[[y["score"] - y["low"]], [y["high"] - y["score"]]],
            fmt="o" if method == "full" else "s",
            color=METHODS[method],
            elinewidth=0.8,
            alpha=0.9,
            label=method if remedy == "none" else None,
        )
        axes.annotate(
            remedy.replace("_", " "),
            (x["score"], y["score"]),
            xytext=(-5, -11) if left else (5, 4),
            textcoords="offset points",
            ha="right" if left else "left",
            color=METHODS[method],
            fontsize=8,
        )
    ends = [(results[case]["general"]["score"], results[case]["task"]["score"]) for case in front(results)]
    axes.step(*zip(*ends, strict=True), where="pre", color="#5a9a5a", linewidth=1.2, zorder=0, label="Pareto front")
    axes.set(xlim=(0, 101), ylim=(0, 105), xlabel="general ability after, of 100", ylabel="task after, of 100")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 0.12))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _words(score: dict[str, Any]) -> str:
    return f"{score['score']:.0f} ({score['low']:.0f} to {score['high']:.0f})"


if __name__ == "__main__":
    main()

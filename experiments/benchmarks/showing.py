"""Showing: the recorded results as a table and as a plot. It measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from measuring import CONTENDERS

TITLES = {
    "small": "Small vocabulary: 8,192",
    "large": "Large vocabulary: 151,936, as that of Qwen2.5",
    "tiny": "Tiny: only to see that everything runs",
}


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown: a table for each shape, with machines, dates and versions below.

    Args:
        results: by shape, threads and contender.
    """
    blocks = [f"**{TITLES[shape]}**\n\n{shape_table(threads)}" for shape, threads in results.items()]
    return "\n".join(blocks) + "\n" + origin(results)


def shape_table(threads: dict[str, dict[str, Any]]) -> str:
    """Return the table of one shape; what was not measured is left empty."""
    one, two = threads.get("1", {}), threads.get("2", {})
    lines = [
        "| contender | tokens per CPU second | x raw | peak memory | of raw's | padding | loss, first to last "
        "| two threads: tokens/s | x raw |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted({*one, *two}, key=list(CONTENDERS).index):
        cells = [CONTENDERS[name].title, *single(one.get(name)), *double(two.get(name))]
        lines.append(f"| {' | '.join(cells)} |".replace("  |", " |"))
    return "\n".join(lines) + "\n"


def single(found: dict[str, Any] | None) -> list[str]:
    """Return the cells of one thread."""
    if found is None:
        return [""] * 6
    return [
        f"{found['tokens_per_cpu_second']:,.0f}",
        f"{found['speed']:.2f}",
        f"{found['peak_bytes'] / 1e6:,.0f} MB",
        f"{found['memory']:.2f}",
        f"{100 * found['padding']:.0f} %",
        f"{found['first_loss']:.2f} to {found['last_loss']:.2f}",
    ]


def double(found: dict[str, Any] | None) -> list[str]:
    """Return the cells of two threads."""
    return ["", ""] if found is None else [f"{found['tokens_per_second']:,.0f}", f"{found['wall_speed']:.2f}"]


def origin(results: dict[str, Any]) -> str:
    """Return where and when was measured, how often, and with which versions: a line for each that differs."""
    measured: dict[str, dict[str, None]] = {}
    versions: dict[str, dict[str, None]] = {}
    for shape, by_threads in results.items():
        for threads, by_name in by_threads.items():
            for name, found in by_name.items():
                title = CONTENDERS[name].title
                often = f"threads: {threads}, rounds: {len(found['runs'])}, steps: {found['runs'][0]['steps']}"
                line = f"{found['date']}, {found['machine']}: {shape}, {often}"
                measured.setdefault(line, {})[title] = None
                line = ", ".join(f"{package} {number}" for package, number in found["versions"].items())
                versions.setdefault(line, {})[title] = None
    lines = [f"{line}: {', '.join(titles)}" for line, titles in measured.items()]
    lines += [f"{', '.join(titles)}: {line}" for line, titles in versions.items()]
    return "".join(f"- {line}\n" for line in lines)


def plot(results: dict[str, Any], file: Path) -> None:
    """Draw speed and memory of each contender as multiples of the raw loop's, a row of panels for each shape."""
    mpl.rcParams["svg.hashsalt"] = "ftlab"  # equal results give an equal file
    shapes = [shape for shape in results if "1" in results[shape]]
    if not shapes:
        return
    figure, grid = plt.subplots(len(shapes), 2, figsize=(9, 2.9 * len(shapes)), squeeze=False, layout="constrained")
    for shape, row in zip(shapes, grid, strict=True):
        found = results[shape]["1"]
        names = sorted(found, key=list(CONTENDERS).index, reverse=True)
        colors = ["#1f4e8c" if name == "ftlab" else "#c9d8ea" for name in names]
        for axes, key, label in zip(row, ("speed", "memory"), ("tokens per CPU second", "peak memory"), strict=True):
            values = [found[name][key] for name in names]
            bars = axes.barh(range(len(names)), values, color=colors, height=0.7)
            axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
            axes.axvline(1, color="#888888", linewidth=1, linestyle="--")
            axes.set_yticks(range(len(names)), [CONTENDERS[name].title for name in names] if key == "speed" else [])
            axes.set(xlabel=f"{label}, times the raw loop's", xlim=(0, 1.15 * max(values)))
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_title(TITLES[shape], fontsize=10, loc="left")
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)

"""Bars: what ftlab is held to, beside what is recorded. It measures nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from recording import put_table

Found = dict[str, dict[str, Any]]


class Bar(NamedTuple):
    """Something that is reached or not."""

    shape: str
    title: str
    bound: float
    """The least, of a speed; the most, of memory."""
    is_least: bool
    read: Callable[[Found, str], float]
    """Returns what was reached from what is recorded of a shape by contender, and the name of the ratio of speeds."""


def over(*names: str) -> Callable[[Found, str], float]:
    """Return what reads ftlab's speed as a multiple of the fastest of some contenders: both are multiples of raw's."""
    return lambda found, speed: found["ftlab"][speed] / max(found[name][speed] for name in names)


def memory(found: Found, speed: str) -> float:
    """Return ftlab's peak as a share of the raw loop's."""
    return found["ftlab"]["memory"]


PEERS = ("lightning", "hf_trainer", "trl", "trl_packing", "llamafactory", "ms_swift")
BARS = (
    Bar("small", "speed, of the raw loop's", 2.7, True, over("raw")),
    Bar("small", "speed, of TRL's", 4.0, True, over("trl")),
    Bar("small", "speed, of HF Trainer's", 3.0, True, over("hf_trainer")),
    Bar("small", "speed, of LLaMA-Factory's", 3.0, True, over("llamafactory")),
    Bar("small", "speed, of ms-swift's", 2.6, True, over("ms_swift")),
    Bar("small", "peak memory, of the raw loop's", 0.6, False, memory),
    Bar("large", "speed, of the raw loop's", 5.0, True, over("raw")),
    Bar("large", "speed, of the fastest peer's", 4.0, True, over(*PEERS)),
    Bar("large", "speed, of TRL's", 10.0, True, over("trl")),
    Bar("large", "peak memory, of the raw loop's", 0.2, False, memory),
)

#: What 100,000 rows may take of the time for a token, and of the memory, that 1,000 rows take.
FLAT = (0.95, 1.05)


def bars(results: dict[str, Any], scaling: dict[str, Any] | None) -> str:
    """Return the bars as Markdown, with what was measured; what was not is left empty.

    Args:
        results: by shape, threads and contender.
        scaling: what scaling.py found.
    """
    lines = ["| | bar | one thread | two threads |", "|---|---|---|---|"]
    for bar in BARS:
        cells = [cell(bar, results.get(bar.shape, {}).get(threads, {}), speed) for threads, speed in THREADS.items()]
        wanted = f"{'at least' if bar.is_least else 'at most'} {bar.bound:g}"
        lines.append(f"| {bar.shape}: {bar.title} | {wanted} | {' | '.join(cells)} |".replace("  |", " |"))
    for key, title in {"time": "time for a token", "memory": "peak memory"}.items():
        measured = told(scaling[key], FLAT[0] <= scaling[key] <= FLAT[1]) if scaling else ""
        line = f"| {title} with 100,000 rows, of that with 1,000 | {FLAT[0]:g} to {FLAT[1]:g} | {measured} | |"
        lines.append(line.replace("  |", " |"))
    return "\n".join(lines) + "\n"


#: What tells speed by the number of threads: with two the clock does, for it is what they are for.
THREADS = {"1": "speed", "2": "wall_speed"}


def cell(bar: Bar, found: Found, speed: str) -> str:
    """Return what was measured for a bar, empty where something is missing."""
    try:
        value = bar.read(found, speed)
    except KeyError:
        return ""
    return told(value, value >= bar.bound if bar.is_least else value <= bar.bound)


def told(value: float, reached: bool) -> str:
    """Return a figure, with a word where it falls short."""
    return f"{value:.2f}" if reached else f"{value:.2f}, missed"


def put_bars(folder: Path) -> None:
    """Write the bars into a folder's README.md, from its results.json and its scaling.json."""
    found = [
        json.loads(file.read_text(encoding="utf-8")) if (file := folder / f"{name}.json").is_file() else None
        for name in ("results", "scaling")
    ]
    put_table(folder / "README.md", "bars", bars(found[0] or {}, found[1]))

"""Exam table: what the exams of one model came to, as lines of a terminal. It sits no exam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftlab.report.units import short


def exam_lines(found: dict[str, Any]) -> list[str]:
    """Return a table and a verdict for each exam, then the benchmarks; scores are of 100, with their 95 % intervals.

    Args:
        found: what `exam.json` holds.
    """
    lines: list[str] = []
    for name, exam in found["exams"].items():
        lines += ["", *_grid(_exam_rows(name, exam))]
        if "verdict" in exam:
            lines.append(f"{'kept' if name != 'exam' else 'verdict':10} {exam['verdict']}")
    if benchmarks := found["harness"]:
        titles = {"before": "base", "after": "tuned"}
        asked = {key: title for key, title in titles.items() if key in next(iter(benchmarks.values()))}
        rows = [["harness", *asked.values(), "verdict" if "after" in asked else ""]]
        rows += [
            [name, *(_score(one[key]) for key in asked), one.get("verdict", "")] for name, one in benchmarks.items()
        ]
        lines += ["", *_grid(rows)]
    return lines[1:]


def _exam_rows(name: str, exam: dict[str, Any]) -> list[list[str]]:
    """Return the score of each way, then its sections and further graders, then single figures over all answers."""
    ways = exam["ways"].values()
    rows = [[f"{name}, {exam['questions']} questions", *exam["ways"]]]
    rows.append([exam["grader"], *(_score(way["score"]) for way in ways)])
    parts = dict.fromkeys(part for way in ways for part in way["parts"])
    rows += [[f"  {part}", *(_score(way["parts"].get(part)) for way in ways)] for part in parts]
    totals = {
        (grader, key): None
        for way in ways
        for grader, figures in way["totals"].items()
        for key, value in figures.items()
        if isinstance(value, (int, float))
    }
    for grader, key in totals:
        values = [way["totals"].get(grader, {}).get(key) for way in ways]
        rows.append([f"  {grader} {key}", *("" if value is None else f"{value:.4g}" for value in values)])
    return rows


def _score(score: dict[str, float] | None) -> str:
    if score is None:
        return ""
    if "value" in score:
        return f"{score['value']:.4g}"
    return f"{short(score['score'])} ({short(score['low'])} to {short(score['high'])})"


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

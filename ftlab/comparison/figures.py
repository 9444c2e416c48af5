"""Figures: what came out of a run, in numbers under names that sort a table. It joins no runs."""

from __future__ import annotations

import numpy as np

from ftlab.comparison.entry import Entry

#: Figures of which less is better; of all others more is.
LESS_IS_BETTER = ("validation_loss", "train_loss", "trainable", "seconds", "memory", "tokens")

#: All figures that every run may have, in the order of the table.
FIGURES = (
    "exam",
    "exam_before",
    "gain",
    "validation_loss",
    "train_loss",
    "trainable",
    "seconds",
    "memory",
    "tokens_per_second",
    "tokens",
    "points_per_hour",
    "points_per_gigabyte",
)

#: The training loss at the end is the mean of this share of its values.
_END = 0.1


def figures(entry: Entry) -> dict[str, float]:
    """Return the figures that a run has.

    `exam` and `exam_before` are scores of 100 and `gain` their difference; `shots-4` is the base with four examples in
    its prompt, `retention/<name>` a score of what the base could do, `kept/<name>` its share of that before.
    `trainable` is a share of all parameters; `seconds` of training are without exams, `memory` is their peak in bytes.
    Points per hour and gigabyte are of the gain.
    """
    counts = entry.figure("parameters", "trainable"), entry.figure("parameters", "total")
    train = entry.curves.train.finite.values
    found: dict[str, float | None] = {
        "exam": entry.score.score if entry.score else None,
        "exam_before": entry.figure("exam", "before", "score"),
        "validation_loss": entry.figure("best", "validation_loss"),
        "train_loss": float(np.mean(train[-max(1, int(_END * len(train))) :])) if len(train) else None,
        "trainable": counts[0] / counts[1] if counts[0] is not None and counts[1] else None,
        "seconds": entry.figure("seconds", "train") or entry.figure("seconds", "fit"),
        "memory": entry.figure("memory", "peak_bytes"),
        "tokens_per_second": entry.figure("tokens_per_second"),
        "tokens": entry.tokens,
    }
    found |= {f"shots-{n}": score.score for n, score in entry.shots.items()}
    for name, (first, last) in entry.retention.items():
        found[f"retention/{name}"] = last.score
        found[f"kept/{name}"] = last.score / first.score if first.score else None
    before, after = found["exam_before"], found["exam"]
    if after is not None and before is not None:
        gain = found["gain"] = after - before
        seconds, memory = found["seconds"], found["memory"]
        found["points_per_hour"] = gain / (seconds / 3600) if seconds else None
        found["points_per_gigabyte"] = gain / (memory / 1e9) if memory else None
    return {key: value for key, value in found.items() if value is not None}

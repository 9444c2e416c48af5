"""Folders of runs as `fit` leaves them, made by the package's own writers with changed figures."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftlab.exam.outcome import compare_sittings
from ftlab.exam.sitting import Answer, Sitting
from ftlab.runs import Run

CONFIG: dict[str, Any] = {
    "seed_everything": 7,
    "model": {"base": "ftlab/tiny", "from_scratch": False},
    "method": {"class_path": "ftlab.methods.lora.LoRA", "init_args": {"r": 8, "alpha": 16.0}},
    "data": {"train": "train.jsonl", "validation": "validation.jsonl", "batch_size": 16},
    "optimizer": {"name": "adamw", "lr": 0.005},
    "exam": {
        "questions": "exam.jsonl",
        "grader": {"class_path": "ftlab.exam.graders.marker.Marker", "init_args": {"begin": "{{ans:"}},
        "max_new_tokens": 48,
    },
    "wandb": {"mode": "off"},
    "trainer": {"max_epochs": 4, "precision": None},
}


def sitting(points: Sequence[float], first: int = 0) -> Sitting:
    """A sitting with these points; questions are numbered from `first`."""
    told = {1.0: "It is {}.", 0.0: "Once upon a time there were {} stamps.", 0.5: "Perhaps {}"}
    return Sitting(
        [
            Answer(f"exam-{i:03}", f"What is {i} + 1?", f"{i + 1}", told.get(float(p), "{}?").format(i + 1), float(p))
            for i, p in enumerate(points, first)
        ]
    )


def make_run(
    root: Path,
    name: str,
    points: Sequence[float] | None,
    *,
    seed: int = 7,
    first: int = 0,
    steps: int = 0,
    settings: dict[str, Any] | None = None,
    figures: dict[str, Any] | None = None,
    shots: dict[str, Sitting] | None = None,
) -> Run:
    """A run that ended.

    Args:
        root: where runs are kept.
        name: the experiment's name.
        points: of the exam after training, by question; None for a run without an exam.
        seed: of the run.
        first: number of the first question.
        steps: rows of `metrics.csv`; 0 for no such file.
        settings: dotted keys of the config, and their values.
        figures: dotted keys of the summary, and their values.
        shots: further sittings of the base, by name.
    """
    config = _changed({"name": name, **copy.deepcopy(CONFIG), "seed_everything": seed}, settings)
    if points is None:
        config["exam"] = None
    run = Run.create(name, config, root)
    exam = None
    if points is not None:
        before, after = sitting([0.0] * len(points), first), sitting(points, first)
        before.write(run.sitting_file("before"))
        after.write(run.sitting_file("after"))
        exam = compare_sittings({"before": before, "after": after} | (shots or {})) if steps else None
    summary = {
        "name": name,
        "ftlab": "0.1.0",
        "seed": seed,
        "resumed_from": None,
        "exam": exam,
        "best": {"step": steps, "epoch": 4, "by": "validation/loss", "value": 0.2, "validation_loss": 0.2},
        "parameters": {"trainable": 120_000, "total": 2_240_000},
        "data": {"train": {"chats": 1000, "tokens": 66_000, "supervised": 21_000}, "fingerprint": "981e8e07282e204b"},
        "epochs": 4,
        "seconds": {"fit": 60.0, "train": 40.0, "exam": 12.0, "total": 62.0},
        "tokens_per_second": 6000.0,
        "memory": {"peak_bytes": 900_000_000},
    }
    run.write_summary(_changed(summary, figures))
    run.best.mkdir()
    (run.best / "ftlab.json").write_text(json.dumps({"base": "ftlab/tiny", "weights": "d18ac357f78889f3"}))
    if steps:
        _write_metrics(run, steps, seed)
    return run


def _write_metrics(run: Run, steps: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    columns = ["step", "epoch", "train/loss", "validation/loss", "exam/score", "lr/trainable"]
    with (run.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns)
        writer.writeheader()
        for step in range(1, steps + 1):
            loss = 0.1 + 2.4 * np.exp(-6 * step / steps)
            row = {"step": step, "train/loss": loss * draw.uniform(0.9, 1.1), "lr/trainable": 5e-3}
            if step % max(1, steps // 4) == 0:
                row |= {"validation/loss": loss + 0.1, "exam/score": 95 * step / steps}
            writer.writerow(row)


def _changed(tree: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node[part]
        node[last] = value
    return tree

"""Summary: what came out of a run, as data for `summary.json` and as the closing lines of the terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ftlab.data.examples import Examples
from ftlab.data.module import ChatData
from ftlab.diagnosis import Curves, diagnose
from ftlab.diagnosis.next_file import write_next
from ftlab.exam.statistics import Score, format_kept
from ftlab.tracking import place_line


def describe_data(data: ChatData) -> dict[str, Any]:
    """Return chats, tokens and supervised tokens of each split, rows left out, and a fingerprint of what is learnt.

    What is replayed is no part of the training split's figures: an epoch draws some of it, `replayed_per_epoch`.
    The fingerprint is over token ids and masks, so it changes with the rows, the tokenizer, the template, `max_length`.
    """
    digest = hashlib.sha256()
    for examples in data.examples.values():
        digest.update(examples.fingerprint.encode())
    found: dict[str, Any] = {split: _count(examples) for split, examples in data.examples.items()}
    if data.selection is not None and data.selection.replayed:
        train, replayed = data.examples["train"], data.selection.pools[-1]
        found["train"] = _count(train.take(np.delete(np.arange(len(train)), replayed)))
        found["train"]["replayed_per_epoch"] = int(data.selection.counts[0, -1])
    left_out = len(data.left_out())
    return {**found, "dropped": left_out, "fingerprint": digest.hexdigest()[:16]}


def _count(examples: Examples) -> dict[str, int]:
    return {
        "chats": len(np.unique(examples.row_ids)),
        "tokens": int(examples.lengths.sum()),
        "supervised": round(examples.supervised.sum()),
    }


def describe_state(
    rows: Sequence[Mapping[str, float]], config: dict[str, Any], summary: dict[str, Any], folder: Path
) -> dict[str, Any] | None:
    """Return the state of the training, and write the settings of the next run; None where too little was logged.

    Args:
        rows: what was logged.
        config: the run's resolved settings.
        summary: what came out so far.
        folder: the run's, for `next.yaml`.
    """
    curves = Curves.of_rows(rows, config, summary)
    if not curves.enough:
        return None
    found = diagnose(curves)
    if found.next:
        write_next(found, folder / "next.yaml", folder)
    return {**asdict(found), "next": yaml.safe_dump(found.next, sort_keys=False) if found.next else None}


def weights_bytes(folder: Path) -> int:
    """Return the size of the weights that were saved in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def closing_lines(summary: dict[str, Any], folder: Path) -> list[str]:
    """Return the lines that end a run in the terminal; a stage that did not happen has no line."""
    lines = []
    if exam := summary.get("exam"):
        after = f"{_score(exam, 'after')} of 100" if exam["after"] else f"not graded; later: ftlab exam {folder}"
        lines.append(f"exam       before {_score(exam, 'before')}  ->  after {after}   {exam['questions']} questions")
        for shots, score in exam.get("shots", {}).items():
            with_shots = Score(**score, questions=exam["questions"])
            lines.append(f"           before, with {shots} examples in the prompt {with_shots}")
        if exam["after"]:
            lines.append(f"verdict    {exam['verdict']}")
    for name, general in (summary.get("retention") or {}).items():
        lines.append(
            f"retention  {name}: before {_score(general, 'before')}  ->  after {_score(general, 'after')}, "
            f"{format_kept(general['kept'])}"
        )
    best = summary["best"]
    lines.append(f"best       epoch {best['epoch']}, step {best['step']}, by {best['by']}   {folder / 'best'}")
    if best.get("condition_held") is False:
        lines.append("           the condition that `best` sets held at no checkpoint")
    if loss := best.get("validation_loss"):
        lines.append(f"validation loss {loss:.4f} per learnt token at the best step")
    counts = summary["parameters"]
    percent = 100 * counts["trainable"] / counts["total"]
    lines.append(
        f"trainable  {counts['trainable']:,} of {counts['total']:,} parameters ({percent:.1f} %), "
        f"saved in {summary['adapter_bytes'] / 1e6:.1f} MB"
    )
    lines.append(
        f"speed      {summary['tokens_per_second']:,.0f} tokens/s in training, {summary['seconds']['total']:.0f} s in "
        f"all, {_memory(summary['memory'])}"
    )
    if replayed := summary["data"]["train"].get("replayed_per_epoch"):
        lines.append(
            f"data       {summary['data']['train']['chats']:,} chats to learn from, {replayed:,} replayed in each epoch"
        )
    if dropped := summary["data"]["dropped"]:
        lines.append(f"dropped    {dropped} chats, listed with their lines in {folder / 'dropped.txt'}")
    if state := summary.get("diagnosis"):
        lines.append(f"state      {state['state']}: {state['evidence'][0]}")
        lines.append(f"next       {state['advice']}" + (f"   {folder / 'next.yaml'}" if state["next"] else ""))
    lines.append(f"report     {folder / 'report.html'}")
    if summary["wandb"]["mode"] != "off":
        lines.append(place_line(summary["wandb"]))
    return lines


def _memory(memory: dict[str, Any]) -> str:
    peak, exams = (f"{(memory[key] or 0) / 1e9:.2f} GB" for key in ("peak_bytes", "exam_bytes"))
    if memory["peak_of"] == "all":
        return f"peak memory {peak}, of loading and exams too"
    return f"peak memory {peak}" + (f" ({exams} in exams)" if memory["exam_bytes"] else "")


def _score(exam: dict[str, Any], when: str) -> Score:
    return Score(**exam[when], questions=exam["questions"])

"""Summary: what came out of a run, as data for `summary.json` and as the closing lines of the terminal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ftlab.data.module import ChatData
from ftlab.exam.exam import Sitting, pair_answers
from ftlab.exam.statistics import Score, format_p, paired_p_value


def describe_data(data: ChatData) -> dict[str, Any]:
    """Return chats, tokens and supervised tokens of each split, rows left out, and a fingerprint of what is learnt.

    The fingerprint is over token ids and masks, so it changes with the rows, the tokenizer, the template, `max_length`.
    """
    digest = hashlib.sha256()
    for examples in data.examples.values():
        digest.update(examples.fingerprint.encode())
    left_out = len(data.left_out())
    return {**data.counts(), "dropped": left_out, "fingerprint": digest.hexdigest()[:16]}


def compare_sittings(before: Sitting, after: Sitting) -> dict[str, Any]:
    """Return both scores with their intervals, and the p-value of no difference.

    Questions are joined by id, so that a changed order cannot pair the wrong ones.
    """
    both = [(row["before_points"], row["after_points"]) for row in pair_answers(before, after)]
    both = [pair for pair in both if None not in pair]
    p_value = paired_p_value([first for first, _ in both], [second for _, second in both])
    return {
        "questions": len(after.answers),
        "before": describe_score(before.score),
        "after": describe_score(after.score),
        "p_value": p_value,
    }


def describe_score(score: Score) -> dict[str, float]:
    """Return a score and its 95 % interval, of 100."""
    return {"score": score.score, "low": score.low, "high": score.high}


def weights_bytes(folder: Path) -> int:
    """Return the size of the weights that were saved in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def closing_lines(summary: dict[str, Any], folder: Path) -> list[str]:
    """Return the lines that end a run in the terminal; a stage that did not happen has no line."""
    lines = []
    if exam := summary.get("exam"):
        before, after = (Score(**exam[when], questions=exam["questions"]) for when in ("before", "after"))
        lines.append(
            f"exam       before {before}  ->  after {after} of 100   {exam['questions']} questions, one grader, "
            f"{format_p(exam['p_value'])}"
        )
    best = summary["best"]
    lines.append(f"best       epoch {best['epoch']}, step {best['step']}, by {best['by']}   {folder / 'best'}")
    if loss := best.get("validation_loss"):
        lines.append(f"validation loss {loss:.4f} per learnt token at the best step")
    counts = summary["parameters"]
    share = 100 * counts["trainable"] / counts["total"]
    lines.append(
        f"trainable  {counts['trainable']:,} of {counts['total']:,} parameters ({share:.1f} %), "
        f"saved in {summary['adapter_bytes'] / 1e6:.1f} MB"
    )
    lines.append(
        f"speed      {summary['tokens_per_second']:,.0f} tokens/s in training, {summary['seconds']['total']:.0f} s in "
        f"all, peak memory {summary['memory']['peak_bytes'] / 1e9:.2f} GB"
    )
    if dropped := summary["data"]["dropped"]:
        lines.append(f"dropped    {dropped} chats, listed with their lines in {folder / 'dropped.txt'}")
    lines.append(f"report     {folder / 'report.html'}")
    if summary["wandb"]["mode"] == "offline":
        lines.append(f"W&B        offline; upload with: wandb sync {summary['wandb']['folder']}")
    elif summary["wandb"]["mode"] == "online":
        lines.append(f"W&B        {summary['wandb']['url']}")
    return lines

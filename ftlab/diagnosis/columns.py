"""Columns: what the tools call a loss, a step or a rate. It knows nothing of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: Names of each metric, the more telling first; case does not matter, and `/`, `.`, `-`, ` ` and `_` are one.
NAMES = {
    "train": ("train/loss", "training/loss", "loss", "train/loss_step", "training_loss_step", "train/train_loss"),
    "validation": ("validation/loss", "eval/loss", "val/loss", "valid/loss", "dev/loss", "eval/eval_loss"),
    "exam": ("exam/score",),
    "gradient_norm": ("train/gradient_norm", "train/grad_norm", "grad_norm", "gradient_norm"),
    "learning_rate": ("lr", "learning_rate", "train/learning_rate", "train/lr"),
    "step": ("step", "global_step", "train/global_step", "trainer/global_step", "iteration", "iter", "_step"),
    "epoch": ("epoch", "train/epoch"),
}

#: Roles whose columns count together: the rates of several groups of parameters, and a step of one's own over a
#: tool's count of its log calls.
_SEVERAL = {"learning_rate", "step"}


def find(columns: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns of each role that has one; of several names the one with the most values counts.

    Args:
        columns: as they are called in the file, once for each value; W&B's page exports them as `run - train/loss`.
    """
    columns = Counter(columns)
    plain = {column: _plain(column.rpartition(" - ")[2]) for column in columns}
    found = {}
    for role, names in NAMES.items():
        wanted = [_plain(name) for name in names]
        own = [column for name in wanted for column, word in plain.items() if word == name]
        if role == "learning_rate":
            own += [column for column in columns if column.startswith(("lr/", "lr-"))]
        if own:
            found[role] = own if role in _SEVERAL else [max(own, key=columns.__getitem__)]
    return found


def _plain(name: str) -> str:
    for mark in "/.- ":
        name = name.replace(mark, "_")
    return name.lower()

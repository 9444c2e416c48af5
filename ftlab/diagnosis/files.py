"""Files: the curves that other tools have written: CSV, `trainer_state.json`, W&B's `run-*.wandb`. It knows no rule."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.diagnosis.columns import find
from ftlab.diagnosis.curves import Curves
from ftlab.errors import FtlabError

#: What a table writes where there is no value.
_EMPTY = {"", "none", "null", "na", "n/a", "-"}


def read_curves(file: Path) -> Curves:
    """Return the curves in a file.

    Args:
        file: `*.csv`, `trainer_state.json` (or a list of what was logged), or `run-*.wandb`.

    Raises:
        FtlabError: it cannot be read, or holds no loss.
    """
    config: dict[str, Any] = {}
    try:
        if file.suffix == ".wandb":
            rows, config = read_wandb_rows(file)
        elif file.suffix == ".json":
            rows = _log_history(file)
        elif file.suffix in (".csv", ".tsv"):
            rows = _table(file)
        else:
            raise FtlabError(
                f"{file}: not a kind of file that holds curves; give .csv, trainer_state.json or run-*.wandb"
            )
    except OSError as error:
        raise FtlabError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise FtlabError(f"{file}: not UTF-8 text; save it as such") from error
    names = find(key for row in rows for key in row)
    if "train" not in names and "validation" not in names:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        shown = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
        raise FtlabError(
            f"{file}: no column of a loss; name one train_loss or validation_loss (there are: {shown or 'none'})"
        )
    return Curves.of_rows(rows, config)


def read_wandb_rows(file: Path) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Return the numbers that a W&B run logged, and its config.

    Args:
        file: `run-*.wandb`.
    """
    from ftlab.diagnosis.wandb_file import read_wandb

    rows, config = read_wandb(file)
    return [_numbers(row) for row in rows], config


def _log_history(file: Path) -> list[dict[str, float]]:
    """Read what transformers' Trainer logs; its closing row, with the mean of all losses, is left out."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FtlabError(f"{file}:{error.lineno}: not JSON ({error.msg})") from error
    logged = state.get("log_history") if isinstance(state, dict) else state
    if not isinstance(logged, list) or not all(isinstance(row, dict) for row in logged):
        raise FtlabError(f"{file}: no log_history; give the trainer_state.json of a checkpoint")
    return [_numbers(row) for row in logged if "train_runtime" not in row]


def _table(file: Path) -> list[dict[str, float]]:
    """Read a table with a header.

    NaN may stand for an empty cell; it is a loss that is no number only where no number follows in its column.
    """
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ",")
        try:
            columns = reader.fieldnames or []
            read = [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise FtlabError(f"{file}:{reader.line_num}: not CSV ({error})") from error
    wanted = {name for names in find(columns).values() for name in names}
    rows: list[dict[str, float]] = []
    last: dict[str, int] = {}
    for line, cells in read:
        row = {}
        for name in wanted:
            text = (cells.get(name) or "").strip()
            if text.lower() in _EMPTY:
                continue
            try:
                row[name] = float(text)
            except ValueError:
                raise FtlabError(f"{file}:{line}: {name}: {text!r} is not a number; correct or empty it") from None
            if not math.isnan(row[name]):
                last[name] = len(rows)
        rows.append(row)
    return [{k: v for k, v in row.items() if not (math.isnan(v) and i < last.get(k, -1))} for i, row in enumerate(rows)]


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Keep what is a number; W&B and others write those that are none as text."""
    found = {}
    for key, value in row.items():
        if isinstance(value, str) and value.lower() in ("nan", "inf", "infinity", "-infinity", "-inf"):
            value = float(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[key] = float(value)
    return found

"""Card: prepared rows as a folder of Parquet files with what was done to them. It knows no tokens."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

import ftlab
from ftlab.data.preparation import Prepared
from ftlab.data.quality.cleaning import StepReport
from ftlab.data.rows import Row, Rows
from ftlab.data.sources import CARD, DRAWN
from ftlab.errors import FtlabError

_CALL = pa.struct(
    [
        ("type", pa.string()),
        ("id", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
_MESSAGE = pa.struct(
    [
        *((key, pa.string()) for key in ("role", "content", "reasoning_content", "name", "tool_call_id")),
        ("tool_calls", pa.list_(_CALL)),
        ("train", pa.bool_()),
        ("weight", pa.float64()),
    ]
)
#: Columns that are read again, and where the row came from; what has no type of its own is JSON.
_COLUMNS = pa.schema(
    [
        ("messages", pa.list_(_MESSAGE)),
        *((key, pa.string()) for key in ("tools", "rejected", "extra", "file")),
        ("line", pa.int64()),
        ("record", pa.int32()),
        ("source", pa.string()),
    ]
)
#: Rows written at once.
_BATCH = 5000
#: Leaks and rows left out that the card names one by one.
_NAMED = 1000


def refuse_full_folder(folder: Path) -> None:
    """Refuse to write where there is something already.

    Raises:
        FtlabError: the folder holds something, or is a file.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise FtlabError(f"--output: {folder} is there already; name a new folder, or remove it first")


def write_prepared(prepared: Prepared, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write `train.parquet`, `validation.parquet`, `test.parquet`, those that there are, `card.json` and `README.md`.

    They are staged beside their place and renamed: a process that is killed leaves no folder of that name.

    Args:
        prepared: the rows, and what was done to them.
        settings: the data's settings, for the card.
        folder: where to; missing or empty.

    Returns:
        The card.
    """
    refuse_full_folder(folder)
    staged = folder.parent / f".{folder.name}-{os.getpid()}"
    try:
        staged.mkdir(parents=True)
    except OSError as error:
        raise FtlabError(f"--output: {folder} cannot be made ({error.strerror}); name another place") from error
    try:
        for split, rows in prepared.rows.items():
            _write_rows(rows, staged / f"{split}.parquet", split)
        card = _card(prepared, settings)
        (staged / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (staged / "README.md").write_text("\n".join(_readme(card, folder)) + "\n", encoding="utf-8")
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return card


def _write_rows(rows: Rows, file: Path, split: str) -> None:
    with (
        pq.ParquetWriter(file, _COLUMNS, compression="zstd") as writer,
        tqdm(total=len(rows), desc=f"writing {split}", unit=" rows", delay=2, leave=False) as bar,
    ):
        for start in range(0, len(rows), _BATCH):
            batch = [_record(row) for row in rows[start : start + _BATCH]]
            writer.write_table(pa.Table.from_pylist(batch, schema=_COLUMNS))
            bar.update(len(batch))


def _record(row: Row) -> dict[str, Any]:
    # Never null: a record is told from others by the columns that it has.
    texts = {key: json.dumps(getattr(row, key), ensure_ascii=False) for key in ("tools", "rejected", "extra")}
    origin = {"file": row.file, "line": row.line, "record": row.record, "source": row.source}
    return {"messages": [_message(message) for message in row.messages], **origin, **texts}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    calls = [
        call
        | {"function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}}
        for call in message.get("tool_calls", ())
    ]
    return message | {"tool_calls": calls} if calls else message


def _card(prepared: Prepared, settings: dict[str, Any]) -> dict[str, Any]:
    left_out = prepared.left_out()
    return {
        "ftlab": ftlab.__version__,
        "splits": {split: _about(rows) for split, rows in prepared.rows.items()},
        "sources": [
            {key: value for key in DRAWN if (value := getattr(source, key)) is not None} for source in prepared.sources
        ],
        "files": dict(sorted({file for rows in prepared.rows.values() for file in _files(rows)})),
        "cleaning": {split: [_step(step) for step in steps] for split, steps in prepared.cleaning.items()},
        "leaks": {
            "count": len(prepared.leaks.found),
            "first": [asdict(leak) for leak in prepared.leaks.found[:_NAMED]],
            "templates": prepared.leaks.templates,
        },
        "left_out": {"count": len(left_out), "first": left_out[:_NAMED]},
        "settings": settings,
    }


def _step(step: StepReport) -> dict[str, Any]:
    """Return what a step did, without the rows one by one."""
    return {key: getattr(step, key) for key in ("step", "settings", "rows", "changed", "dropped", "reasons")}


def _about(rows: Rows) -> dict[str, Any]:
    ids = rows.source_ids.tolist()
    return {
        "rows": len(rows),
        "fingerprint": rows.fingerprint,
        "sources": {name: ids.count(i) for i, name in enumerate(rows.sources)},
    }


def _files(rows: Rows) -> Iterator[tuple[str, str | None]]:
    """Yield the files that rows came from with the hash of each; what is no file, a data set of the Hub, has none."""
    for name in rows.table["file"].unique().to_pylist():
        file = Path(name)
        if file.is_file():
            with file.open("rb") as contents:
                yield name, hashlib.file_digest(contents, "sha256").hexdigest()
        else:
            yield name, None


def _readme(card: dict[str, Any], folder: Path) -> Iterator[str]:
    yield f"# {folder.name}\n"
    yield f"Chats for fine-tuning, cleaned and split by ftlab {card['ftlab']}. With `data: {{train: {folder}}}` a run"
    yield "learns from the training rows and holds the others out. `card.json` says all that was done.\n"
    yield "| split | rows | fingerprint |\n|---|---|---|"
    for split, about in card["splits"].items():
        yield f"| `{split}.parquet` | {about['rows']:,} | `{about['fingerprint']}` |"
    yield "\nColumns: `messages`; `tools`, `rejected` and `extra` (what else a row carries) as JSON; `file` and"
    yield "`line` of the origin (and `record` where several begin on one line), and the `source`, by which losses are"
    yield "told apart and a mixture draws.\n"
    yield "| source | drawn as |\n|---|---|"
    for source in card["sources"]:
        drawn = ", ".join(f"{key} {source[key]}" for key in DRAWN[1:] if key in source)
        yield f"| {_cell(source['name'])} | {drawn or 'each row once'} |"
    yield ""
    yield "| file | SHA-256 |\n|---|---|"
    for name, digest in card["files"].items():
        yield f"| {_cell(name)} | `{digest or 'not a file'}` |"
    if any(card["cleaning"].values()):
        yield "\n| cleaning | split | rows | changed | left out |\n|---|---|---|---|---|"
        for split, steps in card["cleaning"].items():
            for step in steps:
                yield f"| {step['step']} | {split} | {step['rows']:,} | {step['changed']:,} | {step['dropped']:,} |"
    leaks, left_out = (card[key]["count"] for key in ("leaks", "left_out"))
    yield f"\nQuestions found on two sides: {leaks:,}. Rows left out in all: {left_out:,}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def counts_line(card: Mapping[str, Any]) -> str:
    """Return the rows of each split: `train 800, validation 100`."""
    return ", ".join(f"{split} {about['rows']:,}" for split, about in card["splits"].items())

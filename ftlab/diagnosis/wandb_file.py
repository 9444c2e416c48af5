"""W&B file: the history and the config in `run-*.wandb`, the log that W&B keeps on the disk. It knows no losses.

W&B's package has no reader for it in Python; the records are its own protobuf messages, in the log format of LevelDB
(https://github.com/google/leveldb/blob/main/doc/log_format.md): blocks of 32 KiB, in which a record is one or several
pieces, each after its checksum, length and kind.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftlab.errors import FtlabError

_BLOCK, _HEADER, _MARK = 32 * 1024, 7, b":W&B"
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def read_wandb(file: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the logged rows and the config. A last record that is still being written is left out.

    Args:
        file: `run-*.wandb`.

    Raises:
        FtlabError: it is not such a file.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    rows: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    for data in _records(file):
        record = Record()
        try:
            record.ParseFromString(data)
        except DecodeError as error:
            raise FtlabError(f"{file}: a damaged record; copy the file again, or export the run as CSV") from error
        if record.HasField("history"):
            rows.append({_name(item): json.loads(item.value_json) for item in record.history.item})
        for part in (record.run.config, record.config):
            for item in part.update:
                _put(config, [item.key] if item.key else list(item.nested_key), json.loads(item.value_json))
    return rows, config


def _records(file: Path) -> Iterator[bytes]:
    data = file.read_bytes()
    if data[:4] != _MARK:
        raise FtlabError(f"{file}: not a log of W&B, it does not begin with {_MARK.decode()}; give run-*.wandb")
    place, parts = _HEADER, b""
    while place + _HEADER <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:  # too short for a piece: zeros up to the next block
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        place += _HEADER
        piece = data[place : place + length]
        place += length
        if len(piece) < length or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        parts = piece if kind in (_FULL, _FIRST) else parts + piece
        if kind in (_FULL, _LAST):
            yield parts


def _name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


def _put(config: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        config = config.setdefault(key, {})
    config[path[-1]] = value

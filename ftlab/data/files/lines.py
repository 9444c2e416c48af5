"""Lines: text files of a record a line, or of documents, as blocks. They know nothing of formats."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ftlab.data.files.blocks import BLOCK, Fault, Lines
from ftlab.data.files.opening import open_text
from ftlab.data.places import Place


def is_lines(path: Path) -> bool:
    """Return whether a `.json` holds an object a line, as many do: one line is whole, and another one follows."""
    with open_text(path) as stream:
        try:
            whole = isinstance(json.loads(stream.readline(BLOCK)), dict)
        except (ValueError, RecursionError):
            return False
        return whole and any(not line.isspace() for line in iter(lambda: stream.readline(BLOCK), b""))


def json_lines(stream: io.BufferedReader) -> Iterator[Lines]:
    """Yield the lines of a file, cut where one ends."""
    line, rest = 1, b""
    while data := stream.read(BLOCK):
        end = data.rfind(b"\n") + 1
        if not end:
            rest += data
            continue
        whole = rest + data[: end - 1]
        yield Lines(line, whole)
        line += whole.count(b"\n") + 1
        rest = data[end:]
    if rest:
        yield Lines(line, rest)


def documents(stream: io.BufferedReader, split: str) -> Iterator[tuple[Place, Any, int]]:
    """Yield the texts of a plain text file."""
    if split == "file":
        pieces: Iterable[tuple[int, bytes]] = [(1, stream.read())]
    elif split == "line":
        pieces = enumerate(stream, 1)
    else:
        pieces = _paragraphs(stream)
    for line, raw in pieces:
        if not raw or raw.isspace():
            continue
        try:
            yield Place(line), {"text": raw.decode("utf-8").replace("\r\n", "\n").strip("\n")}, len(raw)
        except UnicodeDecodeError as error:
            at = line + raw.count(b"\n", 0, error.start)
            column = error.start - raw.rfind(b"\n", 0, error.start) - 1
            yield Place(at), Fault(f"byte {column} is not UTF-8; save the file as UTF-8"), len(raw)


def _paragraphs(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    first = 1
    lines: list[bytes] = []
    for number, raw in enumerate(stream, 1):
        if raw.isspace():
            yield first, b"".join(lines)
            first, lines = number + 1, []
        else:
            lines.append(raw)
    yield first, b"".join(lines)

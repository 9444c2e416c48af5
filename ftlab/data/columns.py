"""Columns: a table of rows in the form in which one row is read fastest. They know nothing of chats."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from typing import Any

import numpy as np
import pyarrow as pa

from ftlab.data.mapping import touch
from ftlab.data.places import Place


class Columns:
    """A table's columns in the form in which one row is read fastest; the chats stay where they are.

    Args:
        table: of the `SCHEMA` of rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self._lines, self._records = numbers(table["line"]), numbers(table["record"])
        self.file_ids, self.files = _names(table["file"])
        self.source_ids, self.sources = _names(table["source"])
        digests = [_bytes(chunk, 16) for chunk in table["digest"].chunks]
        self.digests = np.concatenate([np.zeros((0, 16), np.uint8), *digests])
        self._starts: list[int] = []
        self._texts: list[tuple[np.ndarray, memoryview]] = []
        start = 0
        for chunk in table["chat"].chunks:
            if len(chunk):
                _, ends, text = chunk.buffers()
                bounds = np.frombuffer(ends, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
                self._starts.append(start)
                self._texts.append((bounds, memoryview(text)))
                start += len(chunk)

    def place(self, at: int) -> Place:
        """Return where in its file a row stands."""
        return Place(int(self._lines[at]), int(self._records[at]))

    def origin(self, indices: np.ndarray) -> str:
        """Return a hash of where some rows stand, and of their sources."""
        found = hashlib.sha256(repr((self.files, self.sources)).encode())
        for column in (self.file_ids, self._lines, self._records, self.source_ids):
            found.update(column[indices].tobytes())
        return found.hexdigest()[:32]

    def chat(self, at: int) -> dict[str, Any]:
        """Return what the column `chat` holds for a row."""
        chunk = bisect_right(self._starts, at) - 1
        bounds, text = self._texts[chunk]
        at -= self._starts[chunk]
        raw = text[bounds[at] : bounds[at + 1]]
        touch(len(raw))
        return json.loads(str(raw, "utf-8"))


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers without gaps, as `to_numpy` does, which imports pandas: part of each start."""
    kind = np.dtype(str(column.type))
    parts = [
        np.frombuffer(chunk.buffers()[1], kind)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, kind), *parts])


def _names(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Return a column of names as indices, int32, and the names in order of appearance."""
    ids: list[np.ndarray] = [np.zeros(0, np.int32)]
    names: dict[str, int] = {}
    for chunk in column.chunks:
        own = numbers(pa.chunked_array([chunk.indices]))
        known = chunk.dictionary.to_pylist()
        used, first = np.unique(own, return_index=True)
        places = np.zeros(len(known), np.int32)
        for at in used[np.argsort(first)]:
            places[at] = names.setdefault(known[at], len(names))
        ids.append(places[own])
    return np.concatenate(ids), list(names)


def _bytes(chunk: pa.Array, width: int) -> np.ndarray:
    """Return an array of fixed-size bytes as numbers, uint8, shape (rows, width)."""
    if not len(chunk):
        return np.zeros((0, width), np.uint8)
    values = np.frombuffer(chunk.buffers()[1], np.uint8)
    return values[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(-1, width)

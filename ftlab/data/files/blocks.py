"""Blocks: parts of a file that another process can turn into records. They know nothing of formats and messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from ftlab.data.places import Place

#: What is read at once, in bytes: few enough for any memory, and enough to be worth another process.
BLOCK = 8 << 20


class Fault(Exception):
    """What is wrong with one record; what to do."""


class BrokenError(Exception):
    """What ends the reading of a file, because nothing after it can be made out.

    Args:
        reason: what is wrong; what to do.
        place: where; None where it is the file as a whole.
    """

    def __init__(self, reason: str, place: Place | None = None) -> None:
        super().__init__(reason)
        self.place = place


class Block(Protocol):
    """Some records of a file."""

    @property
    def size(self) -> int:
        """Bytes that it took."""

    def __iter__(self) -> Iterator[tuple[Place, Any]]:
        """Yield each record, or the Fault instead of it, with its place."""


@dataclass(frozen=True)
class Records:
    """Records that are made already."""

    records: list[tuple[Place, Any]]
    size: int

    def __iter__(self) -> Iterator[tuple[Place, Any]]:
        """Yield each record with its place."""
        return iter(self.records)


@dataclass(frozen=True)
class Lines:
    """Lines of one JSON object each."""

    first: int
    """Line of the file at which it begins."""
    data: bytes

    @property
    def size(self) -> int:
        """Bytes that it took."""
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Place, Any]]:
        """Yield each record with its place; empty lines are left out."""
        for line, raw in enumerate(self.data.split(b"\n"), self.first):
            if raw and not raw.isspace():
                yield Place(line), _parse(raw)


@dataclass(frozen=True)
class Table:
    """Rows of a table."""

    first: int
    """Row of the file at which it begins."""
    data: pa.Buffer
    """The rows as an Arrow stream."""

    @property
    def size(self) -> int:
        """Bytes that it took."""
        return self.data.size

    def __iter__(self) -> Iterator[tuple[Place, Any]]:
        """Yield each row; nulls are keys that are not there, for a table has a place for every key of every row."""
        for batch in pa.ipc.open_stream(self.data):
            try:
                records = batch.to_pylist()
            except (ValueError, OverflowError):  # bytes that are no characters, a date that is none: find out which
                records = [_row(batch, at) for at in range(batch.num_rows)]
            for number, record in enumerate(records, self.first):
                yield Place(number), _without_nulls(record)


def grouped(records: Iterable[tuple[Place, Any, int]]) -> Iterator[Records]:
    """Put records, each with its place and its bytes, together to blocks."""
    group: list[tuple[Place, Any]] = []
    filled = 0
    try:
        for place, record, own in records:
            group.append((place, record))
            filled += own
            if filled >= BLOCK:
                yield Records(group, filled)
                group, filled = [], 0
    except BrokenError:  # what came before has its own faults, which are told first
        if group:
            yield Records(group, filled)
        raise
    if group:
        yield Records(group, filled)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Fault(f"the key {twice!r} stands twice in one object; keep one of the two")
    return made


#: Refuses an object with a key twice, of which Python would keep the last one without a word.
DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _parse(raw: bytes) -> Any:
    try:
        return DECODER.decode(raw.decode("utf-8"))
    except Fault as fault:
        return fault
    except UnicodeDecodeError as error:
        return Fault(f"byte {error.start} is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        return Fault(f"not JSON ({error.msg} at column {error.colno}); write one object a line")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        return Fault(f"not JSON that can be read ({str(error).partition(';')[0]}); write one object a line")


def _row(batch: pa.RecordBatch, at: int) -> Any:
    try:
        return batch.slice(at, 1).to_pylist()[0]
    except UnicodeDecodeError:
        return Fault("a column holds bytes that are not UTF-8; write the table again from text that is")
    except (ValueError, OverflowError) as error:
        return Fault(f"a value cannot be read ({error}); mend the row or leave the column out")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value

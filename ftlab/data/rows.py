"""Rows: chats with their places, in a table that need not fit into memory. They know nothing of tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa

from ftlab.data.columns import Columns
from ftlab.data.places import Place

Message = dict[str, Any]

#: Who may speak. `document` is a text alone, without a template.
ROLES = ("system", "developer", "user", "assistant", "tool")
DOCUMENT = "document"


@dataclass(frozen=True)
class Row:
    """One chat and the place it came from."""

    messages: list[Message]
    """The turns in order, each with `role` and `content`; a text alone is one message of the role `document`."""
    file: str
    """The file as the user named it."""
    line: int
    """Line in that file, counted from 1; of a table the row."""
    extra: dict[str, Any] = field(default_factory=dict)
    """The row's other keys (`id`, `kind`, ...), carried along untouched."""
    tools: list[dict[str, Any]] | None = None
    """The functions that the assistant may call, as the template takes them."""
    rejected: list[Message] | None = None
    """Of a preference pair the worse ending; the better one is in `messages`."""
    source: str = ""
    """Name of the source that it belongs to."""
    record: int = 0
    """Its number in a JSON list, where several begin on one line; else 0."""

    @property
    def place(self) -> str:
        """`file:line`, as error messages name it."""
        return f"{self.file}:{Place(self.line, self.record)}"

    @property
    def id(self) -> str:
        """The row's own `id`, or its line (and record) number: what joins the answers of two runs."""
        if (own := self.extra.get("id")) is not None:
            return str(own)
        return f"{self.line}.{self.record}" if self.record else str(self.line)

    @property
    def prompt(self) -> list[Message]:
        """The messages without a closing assistant turn: what a model is asked."""
        return self.messages[:-1] if self.messages[-1]["role"] == "assistant" else self.messages

    @property
    def reference(self) -> str | None:
        """The closing assistant turn's text, None where the chat ends otherwise or with calls alone."""
        last = self.messages[-1]
        return (last["content"] or None) if last["role"] == "assistant" else None


#: What of a row stands in the column `chat` as JSON.
_CHAT = ("messages", "extra", "tools", "rejected")

_NAMES = pa.dictionary(pa.int32(), pa.string())
#: `digest` is the hash of `chat`, by which rows are told apart without reading them.
SCHEMA = pa.schema(
    {
        "chat": pa.large_string(),
        "digest": pa.binary(16),
        "line": pa.int64(),
        "record": pa.int32(),
        "file": _NAMES,
        "source": _NAMES,
    }
)


def _plain(value: Any) -> str:
    """Return what JSON has no form for (dates, decimals) as text."""
    if isinstance(value, bytes):
        raise TypeError("a column holds bytes, which no chat does")
    return str(value)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False, default=_plain).encode


def to_text(
    messages: list[Message],
    extra: dict[str, Any],
    tools: list[dict[str, Any]] | None = None,
    rejected: list[Message] | None = None,
) -> bytes:
    """Return what the column `chat` holds.

    Raises:
        UnicodeEncodeError: a text holds half a surrogate pair.
        TypeError: a value of `extra` is nothing that JSON knows.
    """
    chat: dict[str, Any] = {"messages": messages}
    if extra:
        chat["extra"] = extra
    if tools:
        chat["tools"] = tools
    if rejected:
        chat["rejected"] = rejected
    return _encode(chat).encode()


def digest(text: bytes) -> bytes:
    """Return what the column `digest` holds."""
    return hashlib.blake2b(text, digest_size=16).digest()


class Rows(Sequence[Row]):
    """A sequence of rows over a table, of which parts can be taken without copying.

    Args:
        table: of the `SCHEMA`; may be memory-mapped.
        indices: which of the table's rows, in which order; None is all of them.
    """

    def __init__(self, table: pa.Table, indices: np.ndarray | None = None) -> None:
        self.table = table
        self.indices = np.arange(table.num_rows) if indices is None else np.asarray(indices, dtype=np.int64)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Return a table in memory of some rows."""
        rows = list(rows)
        texts = [to_text(*(getattr(row, key) for key in _CHAT)) for row in rows]
        columns = {"chat": texts, "digest": list(map(digest, texts))}
        columns |= {name: [getattr(row, name) for row in rows] for name in ("line", "record", "file", "source")}
        arrays = [pa.array(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names]
        return cls(pa.Table.from_arrays(arrays, schema=SCHEMA))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Row | Rows:
        """Return a row, or a view of some."""
        if isinstance(index, slice):
            return self._view(self.indices[index])
        at = int(self.indices[index])
        columns = self._columns
        file, source = columns.files[columns.file_ids[at]], columns.sources[columns.source_ids[at]]
        line, record = columns.place(at)
        return Row(file=file, line=line, record=record, source=source, **columns.chat(at))

    def take(self, indices: Sequence[int] | np.ndarray) -> Rows:
        """Return a view of some rows, in the order of the indices into this view."""
        return self._view(self.indices[np.asarray(indices, dtype=np.int64)])

    def place(self, index: int) -> str:
        """Return `file:line` of a row without reading the rest of it."""
        at = int(self.indices[index])
        return f"{self._columns.files[self._columns.file_ids[at]]}:{self._columns.place(at)}"

    @property
    def sources(self) -> list[str]:
        """Names of the table's sources, in order of appearance."""
        return list(self._columns.sources)

    @cached_property
    def source_ids(self) -> np.ndarray:
        """Which of `sources` each row belongs to, int32, shape (rows,)."""
        return self._columns.source_ids[self.indices]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the contents and their order; places do not count."""
        return hashlib.sha256(self._columns.digests[self.indices].tobytes()).hexdigest()[:32]

    @cached_property
    def origin(self) -> str:
        """Hash of the places and sources of the rows, and of their order; contents do not count."""
        return self._columns.origin(self.indices)

    def _view(self, indices: np.ndarray) -> Rows:
        view = Rows(self.table, indices)
        view._columns = self._columns
        return view

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self.table)

"""Rows: any source read into chats of messages, each with its file and line. It knows nothing of tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftlab.data.formats import Format, Messages
from ftlab.errors import FtlabError, choices_help

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Row:
    """One chat and the place it came from."""

    messages: list[dict[str, str]]
    """The turns in order, each `{"role": ..., "content": ...}`."""
    file: str
    """The file as the user named it."""
    line: int
    """Line in that file, counted from 1."""
    extra: dict[str, Any] = field(default_factory=dict)
    """The row's other keys (`id`, `kind`, ...), carried along untouched."""

    @property
    def place(self) -> str:
        """`file:line`, as error messages name it."""
        return f"{self.file}:{self.line}"

    @property
    def id(self) -> str:
        """The row's own `id`, or its line number: what joins the answers of two runs."""
        return str(self.extra.get("id", self.line))

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The messages without a closing assistant turn: what a model is asked."""
        return self.messages[:-1] if self.messages[-1]["role"] == "assistant" else self.messages

    @property
    def reference(self) -> str | None:
        """The closing assistant turn's text, None where the chat ends with a question."""
        last = self.messages[-1]
        return last["content"] if last["role"] == "assistant" else None


def read_rows(path: str | Path, format: Format | None = None) -> list[Row]:
    """Read a JSONL file, one chat a line.

    Args:
        path: the file.
        format: what each line is; None is `Messages`.

    Raises:
        FtlabError: the file is missing or empty, or a line is not a chat of the format; named by file and line.
    """
    format = format or Messages()
    file = Path(path)
    if not file.is_file():
        raise FtlabError(f"{path}: no such data file; paths are relative to {Path.cwd()}")
    rows = []
    for number, raw in enumerate(file.read_bytes().splitlines(), start=1):
        if raw.strip():
            rows.append(_parse(raw, str(path), number, format))
    if not rows:
        raise FtlabError(f"{path}: the file has no rows; write one JSON object a line")
    return rows


def _parse(raw: bytes, file: str, line: int, format: Format) -> Row:
    place = f"{file}:{line}"
    try:
        record = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FtlabError(f"{place}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise FtlabError(f"{place}: not JSON ({error.msg} at column {error.colno}); write one object a line") from error
    if not isinstance(record, dict):
        raise FtlabError(f"{place}: this is {type(record).__name__}, not an object; write one object a line")
    try:
        messages = format.messages(record)
    except KeyError as error:
        reason = f"no {error} here, which {type(format).__name__} reads; mend the row or name another format"
        raise FtlabError(f"{place}: {reason}") from error
    except ValueError as error:
        raise FtlabError(f"{place}: {error}") from error
    if not isinstance(messages, list) or not messages:
        raise FtlabError(f"{place}: messages must be a list with at least one message")
    return Row([_message(message, i, place) for i, message in enumerate(messages)], file, line, record)


def _message(message: Any, index: int, place: str) -> dict[str, str]:
    where = f"{place}: messages[{index}]"
    if not isinstance(message, dict):
        raise FtlabError(f'{where} is {type(message).__name__}; each message is {{"role": ..., "content": ...}}')
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise FtlabError(f"{where}: {role!r} is not a role; {choices_help(str(role), ROLES)}")
    if not isinstance(content, str):
        raise FtlabError(f"{where}: content is {type(content).__name__}, not text; write a string")
    if any("\ud800" <= char <= "\udfff" for char in content):
        raise FtlabError(f"{where}: content holds half a surrogate pair, which is no character; write the whole one")
    if role == "system" and index > 0:
        raise FtlabError(f"{where}: the system message must come first; move it to the front")
    return {"role": role, "content": content}

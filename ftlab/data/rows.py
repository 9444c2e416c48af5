"""Rows: any source read into chats of messages, each with its file and line. It knows nothing of tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def read_rows(path: str | Path) -> list[Row]:
    """Read a JSONL file of `{"messages": [{"role": ..., "content": ...}, ...]}`, one chat a line.

    Raises:
        FtlabError: the file is missing or empty, or a line is not such a chat; named by file and line.
    """
    file = Path(path)
    if not file.is_file():
        raise FtlabError(f"{path}: no such data file; paths are relative to {Path.cwd()}")
    rows = []
    for number, raw in enumerate(file.read_bytes().splitlines(), start=1):
        if raw.strip():
            rows.append(_parse(raw, str(path), number))
    if not rows:
        raise FtlabError(f"{path}: the file has no rows; write one JSON object with messages a line")
    return rows


def _parse(raw: bytes, file: str, line: int) -> Row:
    place = f"{file}:{line}"
    try:
        record = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FtlabError(f"{place}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise FtlabError(f"{place}: not JSON ({error.msg} at column {error.colno}); write one object a line") from error
    if not isinstance(record, dict) or "messages" not in record:
        raise FtlabError(f'{place}: no "messages" here; each line is {{"messages": [{{"role": ..., "content": ...}}]}}')
    messages = record.pop("messages")
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

"""Messages: chats as most tools write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.checks import from_json, unpacked
from ftlab.data.formats.base import Format, drop_null

#: What says how much is learnt of a message.
MARKS = ("train", "weight")


@dataclass
class Messages(Format):
    """A list of messages as it is, `{"messages": [{"role": "user", "content": "2 + 2?"}, ...]}`.

    Roles are system, developer, user, assistant and tool. A message may have a `name`; an assistant's also
    `reasoning_content`, `tool_calls`, `train: false` (not learnt from) and `weight` (counts so much in the loss); a
    tool's a `tool_call_id`. The functions are listed under `tools`. A `train` or `weight` beside the list is that of
    all the assistant's messages that have none of their own.
    """

    columns: ClassVar[tuple[str, ...]] = ("messages",)
    key: str = "messages"
    """Where in the record the list stands."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the list, with what the row says of all its answers."""
        turns = record.pop(self.key)
        marks = {key: mark for key in MARKS if drop_null(record, key) and (mark := _mark(record, key)) is not None}
        if not marks or not isinstance(turns := unpacked(turns), list):
            return turns
        return [turn | marks if _is_plain_answer(turn) else turn for turn in turns]


def _mark(record: dict[str, Any], key: str) -> Any:
    """Take a mark; cells of a CSV are texts."""
    value = record.pop(key)
    mark = (from_json(value.strip().lower()) if value.strip() else None) if isinstance(value, str) else value
    kind = "true or false" if key == "train" else "a number"
    if mark is not None and (isinstance(mark, bool) != (key == "train") or not isinstance(mark, (bool, int, float))):
        raise ValueError(f"{key} of the row is {value!r}; write {kind}, or call the column otherwise")
    return mark


def _is_plain_answer(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") == "assistant" and all(turn.get(mark) is None for mark in MARKS)

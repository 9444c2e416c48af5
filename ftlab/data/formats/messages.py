"""Messages: chats as most tools write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.formats.base import Format


@dataclass
class Messages(Format):
    """A list of messages as it is, `{"messages": [{"role": "user", "content": "2 + 2?"}, ...]}`.

    Roles are system, developer, user, assistant and tool. A message may have a `name`; an assistant's also
    `reasoning_content`, `tool_calls`, `train: false` (not learnt from) and `weight` (counts so much in the loss); a
    tool's a `tool_call_id`. The functions are listed under `tools`.
    """

    columns: ClassVar[tuple[str, ...]] = ("messages",)
    key: str = "messages"
    """Where in the record the list stands."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the list."""
        if self.key not in record:
            raise ValueError(
                f'no "{self.key}" here; each line is {{"{self.key}": [{{"role": ..., "content": ...}}]}}, '
                "or name another format"
            )
        return record.pop(self.key)

"""Formats: from one record of a file to the messages of a chat. They know nothing of files and tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


class Format(ABC):
    """Says how a record becomes a chat. Subclasses are dataclasses: their fields are the settings in YAML."""

    @abstractmethod
    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the turns of a chat in order, each `{"role": ..., "content": ...}`; they are checked afterwards.

        Args:
            record: one JSON object of a file. Take with `pop` what goes into the messages: the keys that are left
                are carried along with the chat (`id` names it).

        Raises:
            ValueError: the record is not of this format: what is wrong; what to do. File and line are added.
            KeyError: the record has no such key.
        """


@dataclass
class Messages(Format):
    """A list of messages as it is, `{"messages": [{"role": ..., "content": ...}, ...]}`."""

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

"""PromptCompletion: a prompt and how it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.checks import unpacked
from ftlab.data.formats.base import Format, drop_null, take_system, take_text


def as_messages(record: dict[str, Any], key: str, role: str) -> list[dict[str, Any]]:
    """Take a text, which is one message of the role, or a list of messages or its JSON."""
    record[key] = unpacked(record[key])
    if isinstance(record[key], list):
        return record.pop(key)
    return [{"role": role, "content": take_text(record, key)}]


@dataclass
class PromptCompletion(Format):
    """A prompt and its completion, `{"prompt": "2 + 2?", "completion": "4"}`; each may be a list of messages.

    A text that is the JSON of such a list, as cells of CSV and Parquet hold it, is that list.
    """

    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    ends_with_answer: ClassVar[bool] = True
    prompt: str = "prompt"
    """Key of the user's text, or of the messages before the answer."""
    completion: str = "completion"
    """Key of the assistant's text, or of the messages from there on; prompts need none."""
    system: str = "system"
    """Key of the system message; may be missing or empty."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return prompt and completion as one chat."""
        turns = take_system(record, self.system) + as_messages(record, self.prompt, "user")
        if drop_null(record, self.completion):
            turns += as_messages(record, self.completion, "assistant")
        return turns

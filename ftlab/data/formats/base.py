"""Format: from one record of a source to the messages of a chat. It knows nothing of files and tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar


class Format(ABC):
    """Says how a record becomes a chat. Subclasses are dataclasses: their fields are the settings in YAML."""

    columns: ClassVar[tuple[str, ...]] = ()
    """A source whose records have all of these is read so where no format is named; the first alone is enough for
    prompts without answers. None: the format is always named."""
    ends_with_answer: ClassVar[bool] = False
    """Whether a record has one answer, which ends the chat; a chat to learn from that ends otherwise is at fault."""
    documents: ClassVar[bool] = False
    """Whether a record may be a text alone, one message of the role `document`."""

    @abstractmethod
    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the turns of a chat in order, each `{"role": ..., "content": ...}`; they are checked afterwards.

        Args:
            record: one row of a source. Take with `pop` what goes into the messages: the keys that are left are
                carried along with the chat (`id` names it).

        Raises:
            ValueError: the record is not of this format: what is wrong; what to do. File and line are added.
            KeyError: the record has no such key.
        """

    def tools(self, record: dict[str, Any]) -> Any:
        """Return the functions that the assistant may call, a list or its JSON; None where there are none.

        Args:
            record: what `messages` has left of it.
        """
        return record.pop("tools", None)

    def rejected_messages(self, record: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Return the worse ending of a preference pair, whose better one is in the messages; None where it is no pair.

        Args:
            record: what `messages` has left of it.
        """
        return None


def take_text(record: dict[str, Any], key: str) -> str:
    """Take a text that must be there.

    Raises:
        KeyError: there is no such key.
        ValueError: it is no text, or an empty one.
    """
    value = record.pop(key)
    if value is None:
        raise ValueError(f"{key} is null; write its text, or leave the row out")
    if not isinstance(value, str):
        raise ValueError(f"{key} is {type(value).__name__}, not text; write a string")
    if not value or value.isspace():
        raise ValueError(f"{key} is empty; write a text or leave the row out")
    return value


def drop_null(record: dict[str, Any], key: str) -> bool:
    """Return whether there is a value; null is none, and is taken away."""
    if key in record and record[key] is None:
        del record[key]
    return key in record


def take_optional_text(record: dict[str, Any], key: str | None) -> str | None:
    """Take a text that may be missing, null or empty, which is None.

    Raises:
        ValueError: it is no text.
    """
    if key is None or not drop_null(record, key):
        return None
    if isinstance(record[key], str) and not record[key].strip():
        del record[key]
        return None
    return take_text(record, key)


def take_system(record: dict[str, Any], key: str | None, default: str | None = None) -> list[dict[str, Any]]:
    """Take the system message, where there is one, as the turns that a chat begins with.

    Raises:
        ValueError: it is no text.
    """
    text = take_optional_text(record, key) or default
    return [{"role": "system", "content": text}] if text else []

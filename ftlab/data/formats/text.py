"""Text: documents without a template, for continued pre-training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ftlab.data.formats.base import Format, take_text


@dataclass
class Text(Format):
    """A text without a template, all of it learnt, `{"text": "Once upon a time"}`, or a file of plain text."""

    columns: ClassVar[tuple[str, ...]] = ("text",)
    documents: ClassVar[bool] = True
    key: str = "text"
    """Column of the text."""
    split: Literal["paragraph", "line", "file"] = "paragraph"
    """What of a plain text file (`.txt`) is one document: what stands between blank lines, each line, or the whole
    file. The model learns to stop where a document ends."""

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the one message."""
        return [{"role": "document", "content": take_text(record, self.key)}]

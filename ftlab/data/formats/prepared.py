"""Prepared: the rows that `ftlab data prepare` wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from ftlab.data.formats.base import Format


@dataclass
class _PreparedRows(Format):
    """Rows of a folder that `ftlab data prepare` wrote, as they were."""

    columns: ClassVar[tuple[str, ...]] = ("messages", "tools", "rejected", "extra", "file", "line")
    documents: ClassVar[bool] = True

    def messages(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages; the origin is for those who look into the folder.

        The source is no part of the chat: `read_rows` takes it from the file, where the folder is all there is.
        """
        for key in ("file", "line", "record", "source"):
            record.pop(key, None)
        return record.pop("messages")

    def rejected_messages(self, record: dict[str, Any]) -> Any:
        """Return the worse ending, and leave what the row carries along."""
        rejected, extra = json.loads(record.pop("rejected")), json.loads(record.pop("extra"))
        record.update(extra)
        return rejected

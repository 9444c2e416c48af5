"""Places: where in a file a record stands. They know nothing of what it is."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where in a file a record stands, as error messages name it after the file's name."""

    line: int
    """Line of the file, counted from 1; of a table the row."""
    record: int = 0
    """Number of the record in a JSON list, where several begin on one line; else 0, for the line says which it is."""

    def __str__(self) -> str:
        """Return `3`, or `1 (record 17)`."""
        return f"{self.line} (record {self.record})" if self.record else str(self.line)

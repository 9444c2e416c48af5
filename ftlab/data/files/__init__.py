"""Files: what lies on the disk, as blocks of records with their places. They know nothing of formats and messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ftlab.data.files.blocks import Block, BrokenError, Fault, grouped
from ftlab.data.files.delimited import cells_of
from ftlab.data.files.json_list import json_list
from ftlab.data.files.lines import documents, is_lines, json_lines
from ftlab.data.files.opening import COMPRESSIONS, compression_of, open_text
from ftlab.data.files.tables import tables_of

__all__ = ["COMPRESSIONS", "KINDS", "Block", "BrokenError", "DataFile", "Fault", "kind_of", "known_endings"]

#: How a file's name ends, and what it holds.
KINDS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
}


@dataclass(frozen=True)
class DataFile:
    """A file as the user named it."""

    shown: str
    """What messages call it."""
    parts: tuple[Path, ...]
    """What is read: the file, or what a data set of the Hub is cut into; rows are counted on."""

    @property
    def kind(self) -> str:
        """What it holds, one of the values of `KINDS`."""
        return kind_of(self.parts[0]) or ""

    @property
    def size(self) -> int | None:
        """How many bytes its blocks will have; None where only reading it tells."""
        known = self.kind in ("jsonl", "csv", "tsv", "text") and not compression_of(self.parts[0])
        return self.parts[0].stat().st_size if known else None

    def digest(self) -> str:
        """Return the hash of its contents and of how they are read.

        Raises:
            BrokenError: it cannot be opened.
        """
        try:
            return " ".join(f"{self.kind} {compression_of(part)} {_digest(part)}" for part in self.parts)
        except OSError as error:
            raise BrokenError(_reason(error)) from error

    def blocks(self, split: str) -> Iterator[Block]:
        """Yield what is in it.

        Args:
            split: what of a plain text is one record: `paragraph`, `line` or `file`.

        Raises:
            BrokenError: the rest cannot be made out.
        """
        try:
            if self.kind in ("parquet", "arrow"):
                yield from tables_of(self.parts, self.kind)
                return
            path = self.parts[0]
            kind = "jsonl" if self.kind == "json" and is_lines(path) else self.kind
            with open_text(path) as stream:
                if kind == "jsonl":
                    yield from json_lines(stream)
                elif kind == "json":
                    yield from grouped(json_list(stream))
                elif kind == "text":
                    yield from grouped(documents(stream, split))
                else:
                    yield from grouped(cells_of(stream, "," if kind == "csv" else "\t"))
        except (OSError, pa.ArrowException) as error:
            raise BrokenError(_reason(error)) from error


def kind_of(path: Path) -> str | None:
    """Return what a file holds by its name, None where it says nothing."""
    name = path.name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return KINDS.get(Path(name).suffix)


def known_endings() -> str:
    """Return how names of data files may end, as a sentence says it."""
    return f"{', '.join(KINDS)}, each also with {' or '.join(COMPRESSIONS)}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot be read ({text.rstrip('.')}); is it whole, and what its name says?"

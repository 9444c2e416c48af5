"""Reading: the records of a file into a table of chats in the cache. It knows no kind of file."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from ftlab.config import describe
from ftlab.data.cache import cache_folder, cached
from ftlab.data.checks import type_name
from ftlab.data.files import Block, BrokenError, DataFile, Fault
from ftlab.data.formats import Format, Text
from ftlab.data.formats.detection import find_format
from ftlab.data.mapping import open_mapped
from ftlab.data.parts import COLUMNS, FaultAt, Writer, one_line, write_parts
from ftlab.data.places import Place
from ftlab.errors import FtlabError
from ftlab.plugins import registered

NO_ROWS = "the file has no rows; fill it or leave it out"
#: The chats of a file, an Arrow stream, and how such a stream ends.
TABLE, END = "rows.arrow", b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class Reader:
    """Makes chats of the records of files."""

    format: Format | None
    """What each record is; None finds out by the columns of a file's first one."""
    need_answer: bool
    """Whether a chat without an assistant turn is at fault."""
    stop: bool
    """Whether the first row at fault ends it."""
    setting: str = "data.format"
    """Where the format is named, as errors say it."""

    def table(self, file: DataFile) -> tuple[pa.Table, list[FaultAt]]:
        """Return a file's chats, read now or earlier, and the rows left out.

        Raises:
            FtlabError: a row is at fault and that ends it, or the file is as a whole.
        """
        try:
            key = repr((file.digest(), self.need_answer, self.setting, _identity(self.format)))
            folder = cached("rows", hashlib.sha256(key.encode()).hexdigest()[:32], partial(self._write, file=file))
            listed = json.loads((folder / "faults.json").read_text(encoding="utf-8"))
            faults = [FaultAt(Place(*place), reason) for place, reason in listed]
            self._stop_at(faults)
        except BrokenError as error:
            where = f"{file.shown}:{error.place}" if error.place else file.shown
            raise FtlabError(f"{where}: {one_line(error)}") from error
        except BrokenExecutor as error:
            raise FtlabError(
                f"{file.shown}: a process that read it was ended from outside; is there too little memory?"
            ) from error
        except OSError as error:
            raise FtlabError(
                f"{cache_folder()}: cannot be written ({error}); set FTLAB_CACHE to another folder"
            ) from error
        return open_mapped(folder / TABLE), faults

    def _write(self, folder: Path, file: DataFile) -> None:
        blocks = file.blocks(self.format.split if isinstance(self.format, Text) else Text.split)
        format, blocks = (self.format, blocks) if self.format else self._detect(blocks)
        writer = Writer(folder, format, self.format is None, self.need_answer, self.stop, self.setting)
        faults: list[FaultAt] = []
        rows = 0
        with (
            (folder / TABLE).open("wb") as table,
            closing(write_parts(writer, blocks)) as parts,
            tqdm(total=file.size, desc=file.shown, unit="B", unit_scale=True, delay=2, leave=False) as bar,
        ):
            table.write(COLUMNS.serialize())
            for part in parts:
                faults += part.faults
                self._stop_at(faults)
                rows += part.rows
                bar.update(part.size)
                if part.file:
                    table.write(part.file.read_bytes())
                    part.file.unlink()
            table.write(END)
        if not rows and faults:
            raise BrokenError(f"{faults[0].reason} (no other row of the file can be used either)", faults[0].place)
        if not rows:
            raise BrokenError(NO_ROWS)
        (folder / "faults.json").write_text(json.dumps(faults), encoding="utf-8")

    def _stop_at(self, faults: list[FaultAt]) -> None:
        if faults and self.stop:
            raise BrokenError(faults[0].reason, faults[0].place)

    def _detect(self, blocks: Iterator[Block]) -> tuple[Format, Iterator[Block]]:
        """Return the format of the first record that is of one, and the blocks as they were."""
        first = next(blocks, None)
        if first is None:
            raise BrokenError(NO_ROWS)
        reasons: list[FaultAt] = []
        for place, record in first:
            try:
                if isinstance(record, Fault):
                    raise record
                if isinstance(record, dict):
                    return find_format(record, self.setting), chain([first], blocks)
                raise Fault(f"this is {type_name(record)}, not an object; write one object a line")
            except (Fault, ValueError) as error:
                reasons.append(FaultAt(place, str(error)))
                self._stop_at(reasons)
        if not reasons:
            raise BrokenError(NO_ROWS)
        raise BrokenError(reasons[0].reason, reasons[0].place)


def _identity(format: Format | None) -> str:
    """Return all that a format's work depends on: its settings, and of a plugin the source, which may be edited."""
    classes = [type(format)] if format else [cls for cls in registered(Format).values() if cls.columns]
    sources = {cls.__qualname__: [*map(_source, cls.__mro__)] for cls in classes}
    return repr((describe(format), sources))


def _source(cls: type) -> str:
    """Return the hash of what defines a class, empty for ftlab's and Python's own; of a package all files count."""
    top = cls.__module__.partition(".")[0]
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if top in ("ftlab", "builtins", "abc") or not file:
        return ""
    package = getattr(sys.modules.get(top), "__file__", None)
    files = (
        sorted(Path(package).parent.rglob("*.py")) if package and Path(package).name == "__init__.py" else [Path(file)]
    )
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

"""Parts: blocks of records into files of checked chats, on all cores. They know no kind of file and no cache."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ftlab.data.checks import checked, checked_tools, require_whole_characters, type_name
from ftlab.data.files import Block, BrokenError, Fault
from ftlab.data.formats import Format
from ftlab.data.formats.detection import formats_of
from ftlab.data.places import Place
from ftlab.data.rows import SCHEMA, digest, to_text

#: What of a row depends on the file's contents alone; names are added when a table is opened.
COLUMNS = pa.schema([SCHEMA.field(name) for name in ("chat", "digest", "line", "record")])
#: A reason that quotes what it found is cut off here.
LONGEST = 1000


class FaultAt(NamedTuple):
    """A row at fault."""

    place: Place
    reason: str


class Part(NamedTuple):
    """What became of a block."""

    file: Path | None
    """Its chats as a message of an Arrow stream; None where there are none."""
    rows: int
    faults: list[FaultAt]
    size: int
    """Bytes of the block."""


@dataclass
class Writer:
    """Makes chats of records, and files of blocks."""

    folder: Path
    """Where the files are put."""
    format: Format
    """What each record is."""
    found: bool
    """Whether the format was found by columns; a record of another one is then at fault."""
    need_answer: bool
    """Whether a chat without an assistant turn is at fault."""
    stop: bool
    """Whether the first fault ends a block."""
    setting: str = "data.format"
    """Where the format is named."""
    _strange: dict[frozenset[str], str] = field(default_factory=dict)
    """By columns, the other format that such records are of; empty where they are of this one."""

    def part(self, number: int, block: Block) -> Part:
        """Write a block's chats to the file of a number."""
        file = self.folder / f"{number:08}.part"
        texts: list[bytes] = []
        places: list[Place] = []
        faults: list[FaultAt] = []
        for place, record in block:
            try:
                texts.append(self.text(record))
                places.append(place)
            except Fault as fault:
                faults.append(FaultAt(place, one_line(fault)))
                if self.stop:
                    break
        if texts:
            columns = (texts, list(map(digest, texts)), *zip(*places, strict=True))
            arrays = [pa.array(column, kind) for column, kind in zip(columns, COLUMNS.types, strict=True)]
            file.write_bytes(pa.record_batch(arrays, schema=COLUMNS).serialize())
        return Part(file if texts else None, len(texts), faults, block.size)

    def text(self, record: Any) -> bytes:
        """Return a record as rows hold it.

        Raises:
            Fault: it is no chat of the format.
        """
        if isinstance(record, Fault):
            raise record
        if not isinstance(record, dict):
            raise Fault(f"this is {type_name(record)}, not an object; write one object a line")
        name = type(self.format).__name__
        columns = frozenset(record)
        if self.found and (other := self._other(columns)):
            raise Fault(f"this is {other}, but the file begins with {name}; write each format to a file of its own")
        try:
            messages = checked(self.format.messages(record), self.need_answer, documents=self.format.documents)
            if self.format.ends_with_answer and self.need_answer and messages[-1]["role"] != "assistant":
                raise ValueError("the row does not end with the assistant's answer; add it")
            tools = checked_tools(self.format.tools(record))
            if (rejected := self.format.rejected_messages(record)) is not None:
                rejected = checked(rejected, need_answer=True, what="rejected", first=len(messages))
                if rejected[-1]["role"] != "assistant":
                    raise ValueError("rejected does not end with the assistant's answer; add it")
            return self._encoded(messages, record, tools, rejected)
        except KeyError as error:
            raise Fault(f"no {error} here, which {name} reads; {self._elsewhere(columns)}") from error
        except ValueError as error:
            raise Fault(str(error)) from error
        except RecursionError as error:
            raise Fault("too many brackets inside each other; mend the row") from error
        except Exception as error:  # of a plugin
            raise Fault(f"{name} fails ({type(error).__name__}: {error}); mend the row or the format") from error

    def _elsewhere(self, columns: frozenset[str]) -> str:
        """Return what to do where the format does not fit."""
        if self.found:
            return "mend the row or name another format"
        if self.setting != "data.format":
            return f"mend the row or name another format in {self.setting}"
        others = [cls.__name__ for cls in formats_of(columns) if cls is not type(self.format)]
        if not self.need_answer or any(name[0] == "_" for name in others):  # prompts, or what ftlab itself wrote
            return "mend the row, or let --data.format null find out the format"
        own = f"data.train: [{{path: ..., format: {others[0] if others else 'X'}}}]"
        return f"mend the row, or give this source a format of its own ({own})"

    def _other(self, columns: frozenset[str]) -> str:
        if columns not in self._strange:
            found = formats_of(columns)
            own = not found or type(self.format) in found
            self._strange[columns] = "" if own else " or ".join(cls.__name__ for cls in found)
        return self._strange[columns]

    @staticmethod
    def _encoded(messages: Any, extra: dict[str, Any], tools: Any, rejected: Any) -> bytes:
        try:
            return to_text(messages, extra, tools, rejected)
        except UnicodeEncodeError:
            require_whole_characters(messages, "messages")
            require_whole_characters(rejected, "rejected")
            require_whole_characters(tools, "tools")
            for key, value in extra.items():
                require_whole_characters([key, value], repr(key))
            raise
        except TypeError as error:
            raise ValueError(f"{error}; leave the column out") from error


_writer: Writer


def write_parts(writer: Writer, blocks: Iterator[Block]) -> Generator[Part]:
    """Write blocks, in several processes where there is more than one, and yield what became of each, in order.

    Raises:
        BrokenError: the blocks end in one; what came before is yielded first.
    """
    broken: list[BrokenError] = []
    numbered = enumerate(_until_broken(blocks, broken))
    head = list(islice(numbered, 2))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(head) < 2 or cores == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from (writer.part(*block) for block in chain(head, numbered))
    else:
        waiting: deque[Future[Part]] = deque()
        with ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _begin, (writer,)) as pool:
            try:
                for block in chain(head, numbered):
                    waiting.append(pool.submit(_part, *block))
                    if len(waiting) > cores:  # no more is read than is soon needed
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)
    if broken:
        raise broken[0]


def _until_broken(blocks: Iterator[Block], broken: list[BrokenError]) -> Iterator[Block]:
    try:
        yield from blocks
    except BrokenError as error:
        broken.append(error)


def _begin(writer: Writer) -> None:
    """Start a process, which inherits the writer; an interruption is for the first process."""
    global _writer
    _writer = writer
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _part(number: int, block: Block) -> Part:
    return _writer.part(number, block)


def one_line(fault: Exception) -> str:
    """Return what is wrong as an error message shows it."""
    line = " ".join(str(fault).splitlines())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."

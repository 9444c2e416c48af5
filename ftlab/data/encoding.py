"""Encoding: rows into examples, on all cores and kept in the cache. It knows no files of users and no batches."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ftlab.data.cache import cached
from ftlab.data.chat import Chat, Learn
from ftlab.data.examples import INDEX, Encoded, Examples, to_runs
from ftlab.data.rows import DOCUMENT, Row, Rows
from ftlab.errors import FtlabError

#: Rows rendered and tokenized at once.
CHUNK = 500
#: From how many rows on a second process pays for its start.
SEVERAL = 8 * CHUNK


@dataclass(frozen=True)
class Encoding:
    """What became of some rows."""

    examples: Examples
    """In the order of the rows; several of one row where no single rendering would be faithful."""
    faults: list[tuple[int, str]]
    """Rows that the template refused, each with its reason."""

    def refused(self, rows: Rows) -> list[str]:
        """Return a line for each row that the template refused, of the rows that were encoded."""
        return [f"{rows.place(row)}: {reason}" for row, reason in self.faults]


@dataclass(frozen=True)
class _Task:
    """What all processes share; they inherit it when they are forked, so that nothing is copied."""

    rows: Rows
    chat: Chat
    learn: Learn
    max_length: int
    truncate: bool


_task: _Task


def encode_rows(
    rows: Rows, chat: Chat, learn: Learn, max_length: int, truncate: bool = False, title: str = "encoding"
) -> Encoding:
    """Return the rows as the model sees them.

    Args:
        rows: chats and documents; documents are cut into pieces of the largest length.
        chat: the model's chat rendering.
        learn: which of the tokens are learnt.
        max_length: the largest length in tokens.
        truncate: whether longer chats are cut off there, or left whole.
        title: what the progress bar says.
    """
    task = _Task(rows, chat, learn, max_length, truncate)
    settings = (rows.fingerprint, chat.fingerprint, learn, max_length, truncate)
    key = hashlib.sha256(repr(settings).encode()).hexdigest()[:32]
    folder = cached("examples", key, partial(_write, task=task, title=title))
    faults = [(at, reason) for at, reason in json.loads((folder / "faults.json").read_text(encoding="utf-8"))]
    return Encoding(Examples.open(folder, rows.sources, rows.source_ids), faults)


def sort_out(examples: Examples, rows: Rows, max_length: int) -> tuple[Examples, list[str]]:
    """Return the examples that can be learnt from, and a line for each of the others.

    Args:
        examples: of the rows.
        rows: what they were made of.
        max_length: the largest length in tokens.
    """
    too_long, nothing = examples.lengths > max_length, examples.supervised == 0
    unfit = []
    for i in np.flatnonzero(too_long | nothing):
        what = f"{examples.lengths[i]} tokens, data.max_length is {max_length}"
        if not too_long[i]:
            what = f"nothing to learn within {max_length} tokens"
        unfit.append(f"{rows.place(int(examples.row_ids[i]))}: {what}")
    return examples.take(np.flatnonzero(~(too_long | nothing))), unfit


@dataclass(frozen=True)
class _Chunk:
    """What became of some rows, as it is stored: little to hand from one process to another."""

    rows: int
    index: np.ndarray
    ids: bytes
    runs: bytes
    faults: list[tuple[int, str]]


def _write(folder: Path, task: _Task, title: str) -> None:
    faults: list[tuple[int, str]] = []
    index: list[np.ndarray] = [np.zeros(0, INDEX)]
    end = runs_end = 0
    with (
        (folder / "ids.bin").open("wb") as ids,
        (folder / "runs.bin").open("wb") as runs,
        tqdm(total=len(task.rows), desc=title, unit=" rows", delay=2, leave=False) as bar,
    ):
        for chunk in _encode_all(task):
            ids.write(chunk.ids)
            runs.write(chunk.runs)
            chunk.index["end"] += end
            chunk.index["runs_end"] += runs_end
            if len(chunk.index):
                end, runs_end = int(chunk.index["end"][-1]), int(chunk.index["runs_end"][-1])
            index.append(chunk.index)
            faults += chunk.faults
            bar.update(chunk.rows)
    np.save(folder / "index.npy", np.concatenate(index))
    (folder / "faults.json").write_text(json.dumps(faults, ensure_ascii=False), encoding="utf-8")


def _encode_all(task: _Task) -> Iterator[_Chunk]:
    """Encode all chunks in order, in several processes where that pays."""
    global _task
    _task = task
    starts = range(0, len(task.rows), CHUNK)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(task.rows) < SEVERAL or cores == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(_encode_chunk, starts)  # the tokenizer has threads of its own
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(min(cores, len(starts)), context, _begin) as pool:
        try:
            yield from pool.map(_encode_chunk, starts)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Start a process: an interruption is for the first one, and one thread a process is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _encode_chunk(start: int) -> _Chunk:
    rows = list(_task.rows[start : start + CHUNK])
    faults = []
    try:
        encoded = _encode(rows)
    except FtlabError:  # find out which
        encoded = []
        for at, row in enumerate(rows, start):
            try:
                encoded += _encode([row])
            except FtlabError as error:
                faults.append((at, str(error)))
                encoded.append([])
    examples = [(at, example) for at, several in enumerate(encoded, start) for example in several]
    runs = [to_runs(example.weights) for _, example in examples]
    index = np.zeros(len(examples), INDEX)
    index["row"] = [at for at, _ in examples]
    index["supervised"] = [example.supervised for _, example in examples]
    index["cut_from"] = [example.cut_from for _, example in examples]
    index["end"] = np.cumsum([len(example.ids) for _, example in examples])
    index["runs_end"] = np.cumsum([len(run) for run in runs])
    ids = b"".join(example.ids.tobytes() for _, example in examples)
    return _Chunk(len(rows), index, ids, b"".join(run.tobytes() for run in runs), faults)


def _encode(rows: list[Row]) -> list[list[Encoded]]:
    encoded = _task.chat.encode([row.messages for row in rows], [row.tools for row in rows], _task.learn)
    for row, examples in zip(rows, encoded, strict=True):
        if row.messages[0]["role"] == DOCUMENT:
            examples[:] = [piece for example in examples for piece in _pieces(example, _task.max_length)]
        elif _task.truncate:
            examples[:] = [_truncated(example, _task.max_length) for example in examples]
    return encoded


def _truncated(example: Encoded, length: int) -> Encoded:
    whole = len(example.ids)
    return Encoded(example.ids[:length], example.weights[:length], whole) if whole > length else example


def _pieces(example: Encoded, length: int) -> Iterator[Encoded]:
    """Cut an example; each piece begins with the last token of the one before, from which its first is learnt."""
    for start in range(0, max(1, len(example.ids) - 1), max(1, length - 1)):
        yield Encoded(example.ids[start : start + length], example.weights[start : start + length])

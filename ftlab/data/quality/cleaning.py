"""Cleaning: steps that change rows or leave them out, and what each did. They know nothing of tokens."""

from __future__ import annotations

import dataclasses
import tempfile
from abc import ABC
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from ftlab.data.cache import cache_folder
from ftlab.data.mapping import open_mapped
from ftlab.data.rows import SCHEMA, Row, Rows

#: Changed rows that are written at once.
_BATCH = 1000


class Step(ABC):  # noqa: B024 (see below)
    """Changes rows or leaves some out. Subclasses are dataclasses: their fields are the settings in YAML.

    A step that looks at one row at a time defines `row`; one that compares rows with each other defines `left_out`.
    Every split is changed alike, so that training and validation data look the same. Rows are left out of the training
    data alone, before `data.split` or `data.fold` takes others from them: a row less in `data.validation` or
    `data.test` changes what is measured.
    """

    held_out: bool = False
    """Whether it leaves out rows of `data.validation` and `data.test` too; a subclass may make it a field."""

    def row(self, row: Row) -> Row | str:
        """Return the row, a changed copy (`dataclasses.replace(row, messages=...)`), or why it is left out.

        Reasons are counted by what stands before a colon.
        """
        return row

    def left_out(self, rows: Rows) -> dict[int, str]:
        """Return the indices of the rows to leave out, each with the reason."""
        return {}


# One of the two has to be defined, which `abstractmethod` cannot say; the class itself is no choice of `--help`.
Step.__abstractmethods__ = frozenset({"row", "left_out"})


@dataclass(frozen=True)
class Dropped:
    """A row that a step left out."""

    place: str
    """`file:line`."""
    reason: str


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: str
    """Name of its class."""
    settings: dict[str, object]
    """Its fields."""
    rows: int
    """Rows that it was given."""
    changed: int
    """Rows that it changed."""
    dropped: int
    """Rows that it left out."""
    left_out: list[Dropped]
    """Those rows, in order."""
    reasons: dict[str, int]
    """How many were left out for each reason, the most frequent first."""


def clean(rows: Rows, steps: Sequence[Step], held_out: bool = False) -> tuple[Rows, list[StepReport]]:
    """Put rows through steps, one after the other.

    Args:
        rows: left as they are; what is returned has the same places. Rows that no step changes stay where they lie,
            the others go to a file without a name, so that no number of them needs memory.
        steps: in the order in which they apply.
        held_out: whether the rows are a held-out split, of which steps leave rows out only where they are set to.
    """
    reports = []
    for step in steps:
        rows, report = _apply(rows, step, keeps_all=held_out and not step.held_out)
        reports.append(report)
    return rows, reports


def summary(reports: Sequence[StepReport]) -> str:
    """Return which steps left rows out, how many, and of each the first with its reason."""
    return ", ".join(
        f"{report.step} left out {report.dropped:,} (first {report.left_out[0].place}: {report.left_out[0].reason})"
        for report in reports
        if report.left_out
    )


def _apply(rows: Rows, step: Step, keeps_all: bool) -> tuple[Rows, StepReport]:
    compares = type(step).left_out is not Step.left_out and not keeps_all
    reasons = dict(step.left_out(rows)) if compares else {}
    done, changed = rows, 0
    if type(step).row is not Step.row:
        done, changed = _each_row(rows, step, reasons)
    if keeps_all:
        reasons.clear()  # those rows stay as they were
    kept = np.setdiff1d(np.arange(len(rows)), np.fromiter(reasons, np.int64, len(reasons)))
    left_out = [Dropped(rows.place(i), reasons[i]) for i in sorted(reasons)]
    counts = Counter(reason.partition(": ")[0] for reason in reasons.values())
    settings: dict[str, object] = dataclasses.asdict(step) if dataclasses.is_dataclass(step) else {}
    report = StepReport(
        type(step).__name__, settings, len(rows), changed, len(left_out), left_out, dict(counts.most_common())
    )
    return done.take(kept), report


def _each_row(rows: Rows, step: Step, reasons: dict[int, str]) -> tuple[Rows, int]:
    """Return the rows with the changed ones in place of the old, and how many those are; note why others go."""
    indices, start = rows.indices.copy(), rows.table.num_rows
    changed = 0

    def changes() -> Iterator[Row]:
        nonlocal changed
        for i, row in enumerate(tqdm(rows, f"cleaning: {type(step).__name__}", unit="row", delay=2, leave=False)):
            if i in reasons:
                continue
            outcome = step.row(row)
            if isinstance(outcome, str):
                reasons[i] = outcome
            elif outcome != row:
                indices[i] = start + changed
                changed += 1
                yield outcome

    more = _stored(changes())
    return (Rows(pa.concat_tables([rows.table, more]), indices) if changed else rows), changed


def _stored(rows: Iterator[Row]) -> pa.Table:
    """Return a table of rows that is mapped from a file, which goes when nobody reads it any more."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".cleaning-", dir=cache_folder()) as folder:
        file = Path(folder) / "rows.arrow"
        with pa.ipc.new_stream(file, SCHEMA) as stream:
            while batch := list(islice(rows, _BATCH)):
                stream.write_table(Rows.of(batch).table)
        return open_mapped(file)

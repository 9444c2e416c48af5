"""Preparation: sources into the rows of each split, cleaned, and no row on two sides. It knows nothing of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ftlab.data.formats import Format
from ftlab.data.mixture import Replay, join
from ftlab.data.quality.cleaning import Step, StepReport, clean
from ftlab.data.quality.leaks import Leaks, find_leaks, rows_to_drop
from ftlab.data.rows import Rows
from ftlab.data.sources import Source, named_sources, read_rows
from ftlab.data.splits import Split, split_rows
from ftlab.errors import FtlabError

Sources = str | Source | list[str | Source]
OnError = Literal["stop", "skip"]
OnLeak = Literal["stop", "drop", "warn"]

#: What tells a folder of prepared data.
CARD = "card.json"
#: The splits that a folder of prepared data may hold, a Parquet file each.
HELD_OUT = ("validation", "test")


@dataclass
class Prepared:
    """Rows to learn from and rows held out, and what was done to them."""

    rows: dict[str, Rows]
    """By split: `train`, `validation`, `test`, those that there are."""
    replayed: int = 0
    """How many of the training rows, the last ones, come from the source that is replayed."""
    skipped: list[str] = field(default_factory=list)
    """A line for each row at fault that was left out."""
    cleaning: dict[str, list[StepReport]] = field(default_factory=dict)
    """By split, what each step did."""
    leaks: Leaks = field(default_factory=Leaks)
    """Questions that stand on two sides."""
    leaked: list[str] = field(default_factory=list)
    """A line for each training row that was left out for that."""

    def left_out(self) -> list[str]:
        """Return a line for each row that was left out, and why."""
        cleaned = [
            f"{one.place}: {one.reason}" for steps in self.cleaning.values() for step in steps for one in step.left_out
        ]
        return [*self.skipped, *cleaned, *self.leaked]


def prepare(
    sources: Mapping[str, Sources],
    *,
    format: Format | None = None,
    on_error: OnError = "stop",
    steps: Sequence[Step] = (),
    split: Split | None = None,
    fold: str | None = None,
    replay: Replay | None = None,
    on_leak: OnLeak = "stop",
    held_out: Mapping[str, Rows] | None = None,
) -> Prepared:
    """Read, clean and split data, and look for leaks.

    Args:
        sources: where each split comes from; validation and test may be missing.
        format: what each record is; None finds out.
        on_error: whether a row at fault ends it.
        steps: what cleans the rows, before they are split.
        split: how validation and test are taken out of the training rows.
        fold: `2/5` makes the second of five parts the validation rows.
        replay: what is learnt besides the training rows.
        on_leak: what happens to a question that is on both sides.
        held_out: further rows that must not be learnt, by name: the exam's questions.

    Raises:
        FtlabError: a source or a row is at fault, or there is a leak.
    """
    done = Prepared({})
    for name, source in sources.items():
        rows = read_rows(source, format, on_error, done.skipped, split=name)
        done.rows[name], done.cleaning[name] = clean(rows, steps)
        if not len(done.rows[name]):
            raise FtlabError(f"data.clean: no row of data.{name} is left; loosen the steps")
    if split or fold:
        for name, rows in split_rows(done.rows.pop("train"), split or Split(), fold).items():
            if name in done.rows:
                raise FtlabError(f"data.{name}: there are {name} data already; leave them or data.split out")
            done.rows[name] = rows
    done.rows = {name: done.rows[name] for name in ("train", *HELD_OUT) if name in done.rows}
    if "train" in done.rows:
        if replay:
            source = replay.source if isinstance(replay.source, Source) else Source(replay.source)
            rows = read_rows(replace(source, name=source.name or "replay"), format, on_error, done.skipped)
            more, done.cleaning["replay"] = clean(rows, steps)
            done.rows["train"], done.replayed = join(done.rows["train"], more), len(more)
        done.leaks = find_leaks({**done.rows, **(held_out or {})})
        _leave_out(done, rows_to_drop(done.leaks, on_leak))
        if not len(done.rows["train"]):
            raise FtlabError(f"data.on_leak: no training row is left; first {done.leaked[0]}")
    return done


def _leave_out(done: Prepared, leaked: Sequence[int]) -> None:
    """Leave out training rows that leak."""
    rows = done.rows["train"]
    done.leaked = [f"{rows.place(i)}: its question is in the held-out data too" for i in leaked]
    done.replayed -= sum(i >= len(rows) - done.replayed for i in leaked)
    done.rows["train"] = rows.take(np.delete(np.arange(len(rows)), leaked))


def is_prepared(source: Sources | None) -> bool:
    """Return whether this is a folder that `ftlab data prepare` wrote: read, cleaned and split already."""
    return isinstance(source, str) and Path(source, CARD).is_file()


def with_prepared_folder(sources: Mapping[str, Sources | None]) -> dict[str, Sources]:
    """Return the sources that are set, with what a folder of prepared training data holds out beside it."""
    found = {name: source for name, source in sources.items() if source is not None}
    paths = [Path(each.path) for each in named_sources(found["train"])] if "train" in found else []
    for name in HELD_OUT:
        files = [path / f"{name}.parquet" for path in paths if (path / "train.parquet").is_file()]
        if held_out := [Source(str(file), name=str(file)) for file in files if file.is_file()]:
            found.setdefault(name, [*held_out])
    return found

"""Preparation: sources into the rows of each split, cleaned, and no row on two sides. It knows nothing of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ftlab.data.formats import Format
from ftlab.data.mixture import Replay, join
from ftlab.data.quality.cleaning import Step, StepReport, clean, summary
from ftlab.data.quality.leaks import Leaks, find_leaks, rows_to_drop
from ftlab.data.rows import Rows
from ftlab.data.sources import CARD, Source, drawn_sources, named_sources, read_rows
from ftlab.data.splits import Split, split_rows
from ftlab.errors import FtlabError, SettingError

Sources = str | Source | list[str | Source]
OnError = Literal["stop", "skip"]
OnLeak = Literal["stop", "drop", "warn"]

#: The splits that a folder of prepared data may hold, a Parquet file each.
HELD_OUT = ("validation", "test")


@dataclass
class Prepared:
    """Rows to learn from and rows held out, and what was done to them."""

    rows: dict[str, Rows]
    """By split: `train`, `validation`, `test`, those that there are."""
    sources: list[Source] = field(default_factory=list)
    """Those of the training rows, each named, with what a mixture draws of it."""
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
        steps: what cleans the rows, before they are split; those held out lose no row to a step that is not set so.
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
        done.rows[name] = _read(done, name, source, format, on_error, steps)
        if name == "train":
            done.sources = drawn_sources(source, done.rows[name].sources)
    if (split and not is_prepared(sources.get("train"))) or fold:
        for name, rows in split_rows(done.rows.pop("train"), split or Split(), fold).items():
            if name in done.rows:
                raise FtlabError(f"data.{name}: there are {name} data already; leave them or data.split out")
            done.rows[name] = rows
    done.rows = {name: done.rows[name] for name in ("train", *HELD_OUT) if name in done.rows}
    if "train" in done.rows:
        if replay:
            source = replay.source if isinstance(replay.source, Source) else Source(replay.source)
            more = _read(done, "replay", replace(source, name=source.name or "replay"), format, on_error, steps)
            done.rows["train"], done.replayed = join(done.rows["train"], more), len(more)
        done.leaks = find_leaks({**done.rows, **(held_out or {})})
        _leave_out(done, rows_to_drop(done.leaks, on_leak))
        if not len(done.rows["train"]):
            raise FtlabError(f"data.on_leak: no training row is left; first {done.leaked[0]}")
    return done


def _read(
    done: Prepared, name: str, source: Sources, format: Format | None, on_error: OnError, steps: Sequence[Step]
) -> Rows:
    """Return cleaned rows, and note what was left out; what is prepared has been read by these settings already."""
    if is_prepared(source):
        format, steps = None, ()
    rows = read_rows(source, format, on_error, done.skipped, split=name if name in HELD_OUT else "train")
    left, done.cleaning[name] = clean(rows, steps, held_out=name in HELD_OUT)
    if not len(left):
        what = f"no row of data.{name} is left: {summary(done.cleaning[name])}"
        raise SettingError("data.clean", f"{what}; loosen the steps")
    return left


def _leave_out(done: Prepared, leaked: Sequence[int]) -> None:
    """Leave out training rows that leak."""
    rows = done.rows["train"]
    leaks = {leak.row: leak for leak in done.leaks.found if leak.split == "train"}
    done.leaked = [f"{rows.place(i)}: asks what {leaks[i].into_place} ({leaks[i].into}) asks" for i in leaked]
    done.replayed -= sum(i >= len(rows) - done.replayed for i in leaked)
    done.rows["train"] = rows.take(np.delete(np.arange(len(rows)), leaked))


def is_prepared(source: Sources | None) -> bool:
    """Return whether all of this is what `ftlab data prepare` wrote: read, cleaned and split already."""
    paths = [Path(each.path) for each in named_sources(source)] if source is not None else []
    return bool(paths) and all(((path if path.is_dir() else path.parent) / CARD).is_file() for path in paths)


def with_prepared_folder(sources: Mapping[str, Sources | None]) -> dict[str, Sources]:
    """Return the sources that are set, with what a folder of prepared training data holds out beside it."""
    found = {name: source for name, source in sources.items() if source is not None}
    paths = [Path(each.path) for each in named_sources(found["train"])] if "train" in found else []
    for name in HELD_OUT:
        files = [path / f"{name}.parquet" for path in paths if (path / "train.parquet").is_file()]
        if held_out := [str(file) for file in files if file.is_file()]:
            found.setdefault(name, [*held_out])
    return found

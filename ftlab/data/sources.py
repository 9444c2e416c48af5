"""Sources: files, folders, globs and Hub ids into rows. It knows nothing of tokens."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ftlab.carried import carried
from ftlab.data.columns import numbers
from ftlab.data.files import COMPRESSIONS, KINDS, DataFile, kind_of, known_endings
from ftlab.data.formats import Format
from ftlab.data.formats.prepared import _PreparedRows
from ftlab.data.hub import ID, hub_file
from ftlab.data.reading import Reader
from ftlab.data.rows import SCHEMA, Rows
from ftlab.errors import FtlabError

#: What tells a folder of prepared data, and what it says of each source there.
CARD, DRAWN = "card.json", ("name", "weight", "weight_end", "count")


@dataclass
class Source:
    """One of several places that data come from."""

    path: str
    """A file, a folder, a glob (`data/*.jsonl.gz`), or the id of a data set on the Hub. What the package carries, such
    as `ftlab/tiny/retention.jsonl`, is found from any folder."""
    format: Format | None = None
    """What each record is; null finds out by its columns."""
    name: str | None = None
    """What logs and the report call it; null takes the file's name without its suffix."""
    weight: float | None = None
    """Its share of the mixture, relative to the other sources' weights."""
    weight_end: float | None = None
    """Its share at the end of the run, if that moves from `weight`."""
    count: int | None = None
    """Its number of rows in each epoch; drawn, repeated where it has fewer."""
    split: str | None = None
    """Split of a data set on the Hub, or of a folder that holds several; null takes the one that it is named for."""
    subset: str | None = None
    """Configuration of a data set on the Hub."""


def read_rows(
    source: str | Path | Source | Sequence[str | Source],
    format: Format | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    skipped: list[str] | None = None,
    need_answer: bool = True,
    split: str = "train",
    setting: str = "data.format",
) -> Rows:
    """Read sources.

    Args:
        source: one or several.
        format: what each record is, where the source itself does not say; None finds out by the columns.
        on_error: whether the first row at fault ends it, or is left out.
        skipped: collects one line for each row left out.
        split: which split of sources that hold several, where the source itself does not say.
        need_answer: whether a chat without an assistant turn is at fault: it teaches nothing, but may be a prompt.
        setting: where the format is named, as errors say it.

    Raises:
        FtlabError: named by file and line.
    """
    files: list[str] = []
    names: list[pa.DictionaryArray] = []
    tables: list[pa.Table] = []
    alone = _alone(source)
    for each in named_sources(source):
        reader = Reader(each.format or format, need_answer, on_error == "stop", setting)
        try:
            found = _files(each, split)
        except OSError as error:
            raise FtlabError(f"{each.path}: cannot be looked into ({error.strerror}); check the path") from error
        for file in found:
            table, faults = reader.table(file)
            if skipped is not None:
                skipped += [f"{file.shown}:{place}: {reason}" for place, reason in faults]
            files.append(file.shown)
            own = _own_names(file) if alone else None
            names.append(_repeated([each.name or ""], [table.num_rows]) if own is None else own.take(_numbers(table)))
            tables.append(table)
    shown = _repeated(files, [table.num_rows for table in tables])
    table = pa.concat_tables(tables).append_column(SCHEMA.field("file"), shown)
    return Rows(table.append_column(SCHEMA.field("source"), pa.chunked_array(names, SCHEMA.field("source").type)))


def drawn_sources(source: str | Source | Sequence[str | Source], names: Sequence[str]) -> list[Source]:
    """Return what a mixture draws from: the sources, or those that a folder of prepared data was made of.

    Args:
        source: one or several.
        names: of the sources of their rows, as `read_rows` returned them.
    """
    named = named_sources(source)
    if set(names) <= {each.name for each in named}:
        return named
    [folder] = named
    path = Path(folder.path).expanduser()
    card = (path if path.is_dir() else path.parent) / CARD
    settings = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    known = {each["name"]: each for each in settings.get("sources", [])}
    return [Source(folder.path, **({"name": name} | known.get(name, {}))) for name in dict.fromkeys([*known, *names])]


def _alone(source: str | Path | Source | Sequence[str | Source]) -> bool:
    """Return whether the rows may keep sources of their own: there is one entry, and it was given no name."""
    several = [source] if isinstance(source, (str, Path, Source)) else source
    return len(several) == 1 and not (isinstance(several[0], Source) and several[0].name)


def _own_names(file: DataFile) -> pa.DictionaryArray | None:
    """Return the source of each row of a file of prepared data, None of any other file."""
    if len(file.parts) > 1 or file.parts[0].suffix.lower() != ".parquet":
        return None
    if {*pq.read_schema(file.parts[0]).names} != {*_PreparedRows.columns, "record", "source"}:
        return None
    return pq.read_table(file.parts[0], columns=["source"])["source"].dictionary_encode().combine_chunks()


def _numbers(table: pa.Table) -> pa.Array:
    """Return the numbers that the rows of a table's file have there, from 0 on."""
    return _array(numbers(table["line"]) - 1, pa.int64())


def _repeated(names: list[str], counts: list[int]) -> pa.DictionaryArray:
    ids = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    return pa.DictionaryArray.from_arrays(_array(ids, pa.int32()), _texts(names))


def _texts(values: list[str]) -> pa.Array:
    """Return `pa.array(values)`, which would import pandas: a quarter of a second at each start."""
    texts = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return `pa.array(values)` of numbers without gaps, without pandas too."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def named_sources(source: str | Path | Source | Sequence[str | Source]) -> list[Source]:
    """Return one or several sources, each with a name of its own.

    Raises:
        FtlabError: there are none, or two were given one name.
    """
    several = [source] if isinstance(source, (str, Path, Source)) else list(source)
    made = [each if isinstance(each, Source) else Source(str(each)) for each in several]
    if not made:
        raise FtlabError("data: the list of sources is empty; name a file")
    stems = Counter(each.name or _stem(each.path) for each in made)
    named = [each if each.name else replace(each, name=_own_name(each.path, stems)) for each in made]
    for each in named:
        if not each.path.strip():
            raise FtlabError("data: the path of a source is empty; name a file")
        if sum(other.name == each.name for other in named) > 1:
            raise FtlabError(f"{each.path}: two sources are called {each.name}; give each a name of its own")
    return named


def _own_name(path: str, stems: Counter[str]) -> str:
    return _stem(path) if stems[_stem(path)] == 1 else path


def _stem(path: str) -> str:
    """Return a path's last part without the endings that say what it holds."""
    name = Path(path).name
    for endings in (COMPRESSIONS, KINDS):
        if Path(name).suffix.lower() in endings:
            name = Path(name).stem
    return name


def _files(source: Source, split: str) -> list[DataFile]:
    """Return the files of a source, in order."""
    path = Path(source.path).expanduser()
    if (own := carried(source.path)) and own.is_file():
        return [DataFile(source.path, (own,))]
    if path.is_file():
        return [_file(path)]
    if path.is_dir():
        return _folder(path, source.split or split)
    if any(sign in source.path for sign in "*?[") and not source.path.startswith(("[", "{")):
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
        files = [_file(Path(each)) for each in found if Path(each).is_file()]
        if not files:
            raise FtlabError(f"{source.path}: no file is so called; globs are relative to {Path.cwd()}")
        return files
    if ID.fullmatch(source.path) and not kind_of(path) and not path.parent.is_dir():
        return [hub_file(source.path, source.split or split, source.subset)]
    if source.path.startswith(("[", "{")):
        settings = ", ".join(field.name for field in fields(Source))
        raise FtlabError(
            f"{source.path}: neither a path nor a list; an entry is a path, or {{path: ...}} with ({settings})"
        )
    raise FtlabError(f"{source.path}: no such data file; paths are relative to {Path.cwd()}")


def _file(path: Path) -> DataFile:
    if not kind_of(path):
        raise FtlabError(f"{path}: its name does not say what it holds; the endings known are {known_endings()}")
    return DataFile(str(path), (path,))


def _folder(folder: Path, split: str) -> list[DataFile]:
    """Return the data files of a folder; of one that ftlab or datasets wrote, those of the split."""
    if (prepared := folder / f"{split}.parquet").is_file():
        return [_file(prepared)]
    if (folder / "dataset_dict.json").is_file():
        if not (folder / split).is_dir():
            there = sorted(each.name for each in folder.iterdir() if each.is_dir())
            raise FtlabError(f"{folder}: no split is called {split}; those there are {', '.join(there)}")
        folder = folder / split
    if (state := folder / "state.json").is_file():
        try:
            listed = [item["filename"] for item in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
            return [_file(folder / Path(name).name) for name in listed]
        except (ValueError, KeyError, TypeError) as error:
            raise FtlabError(f"{state}: not what datasets writes beside its files; write the folder again") from error
    files = [
        _file(path) for path in sorted(folder.iterdir()) if path.is_file() and kind_of(path) and path.name[0] != "."
    ]
    if not files:
        raise FtlabError(f"{folder}: no data file in this folder; the endings known are {known_endings()}")
    return files

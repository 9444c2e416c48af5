"""Describing: what there is in some rows, and what is wrong with it, in numbers and places. It draws nothing."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ftlab.data.cache import cached
from ftlab.data.quality import duplicates
from ftlab.data.quality.answers import Answers
from ftlab.data.quality.description import Description, Found, Histogram, Lengths
from ftlab.data.quality.text import answer, script
from ftlab.data.quality.warnings import warnings
from ftlab.data.rows import DOCUMENT, Rows

#: Groups whose places are listed, and places of each.
_GROUPS, _PLACES = 20, 10
_BINS = 24
_NEAR_AMONG = 100_000


def describe(rows: Rows, lengths: np.ndarray, supervised: np.ndarray, max_length: int, learnt: bool) -> Description:
    """Describe some rows, once: a run on data that are known begins at once.

    Args:
        rows: the rows of one split.
        lengths: number of tokens of each row.
        supervised: learnt tokens of each row.
        max_length: the most tokens that fit.
        learnt: whether it is the split that is trained on.
    """
    digest = hashlib.sha256(repr((rows.fingerprint, rows.origin, max_length, learnt)).encode())
    digest.update(lengths.tobytes() + supervised.tobytes())

    def write(folder: Path) -> None:
        found = asdict(_describe(rows, lengths, supervised, max_length, learnt))
        (folder / "description.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")

    folder = cached("descriptions", digest.hexdigest()[:32], write)
    return Description.parse(json.loads((folder / "description.json").read_text(encoding="utf-8")))


def _describe(rows: Rows, lengths: np.ndarray, supervised: np.ndarray, max_length: int, learnt: bool) -> Description:
    prints = duplicates.prints(rows)
    exact, normalised = duplicates.groups(prints.exact), duplicates.groups(prints.normalised)
    repeated = {later for later, _ in duplicates.firsts(exact)}
    normalised = [group for group in (_without(group, repeated) for group in normalised) if len(group) > 1]
    repeated |= {later for later, _ in duplicates.firsts(normalised)}
    single = np.setdiff1d(np.arange(len(rows)), np.fromiter(repeated, np.int64, len(repeated)))
    if len(single) > _NEAR_AMONG:
        single = single[np.linspace(0, len(single) - 1, _NEAR_AMONG).astype(np.int64)]
    near = [single[group] for group in duplicates.near_groups(rows.take(single))]
    conflicting = duplicates.conflicts(prints)

    turns: Counter[int] = Counter()
    characters: Counter[str] = Counter()
    answers = Answers()
    for i, row in enumerate(tqdm(rows, "describing rows", unit="row", delay=2, leave=False)):
        if row.messages[0]["role"] != DOCUMENT:
            turns[sum(message["role"] in ("user", "assistant") for message in row.messages)] += 1
        for message in row.messages:
            characters.update(message.get("content") or "")
        if (text := answer(row)) is not None:
            answers.add(i, text)

    description = Description(
        rows=len(rows),
        sources={name: int(count) for name, count in zip(*_named(rows), strict=True) if count},
        turns=dict(sorted(turns.items())),
        tokens=_lengths(lengths, max_length),
        supervised_share=_share(float(supervised.sum()), float(lengths.sum())),
        scripts=_scripts(characters),
        exact=_repeated(rows, exact, len(rows)),
        normalised=_repeated(rows, normalised, len(rows)),
        near=_repeated(rows, near, min(len(rows), max(1, len(single) + len(repeated)))),
        conflicts=_found(rows, conflicting, sum(map(len, conflicting)), len(rows)),
        empty=_alone(rows, answers.empty),
        short=_alone(rows, answers.short),
        cut_off=_alone(rows, answers.cut_off),
        classes=answers.classes,
        warnings=[],
    )
    return replace(description, warnings=warnings(description, learnt))


def _without(group: np.ndarray, rows: set[int]) -> np.ndarray:
    return np.array([i for i in group.tolist() if i not in rows], np.int64)


def _named(rows: Rows) -> tuple[list[str], np.ndarray]:
    return rows.sources, np.bincount(rows.source_ids, minlength=len(rows.sources))


def _lengths(lengths: np.ndarray, limit: int) -> Lengths:
    lengths = lengths if len(lengths) else np.zeros(1, np.int64)
    top = max(int(lengths.max()), 1)
    edges = np.unique(np.linspace(0, top, min(_BINS, top) + 1).round())
    counts, _ = np.histogram(lengths, edges)
    p50, p95 = np.quantile(lengths, [0.5, 0.95])
    beyond = int((lengths > limit).sum())
    return Lengths(
        total=int(lengths.sum()),
        mean=float(lengths.mean()),
        p50=float(p50),
        p95=float(p95),
        max=int(lengths.max()),
        limit=limit,
        beyond=beyond,
        beyond_share=beyond / len(lengths),
        histogram=Histogram(edges.tolist(), counts.tolist()),
    )


def _scripts(characters: Counter[str]) -> dict[str, float]:
    letters: Counter[str] = Counter()
    for character, count in characters.items():
        if unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo"):
            letters[script(character)] += count
    return {name: count / letters.total() for name, count in letters.most_common()}


def _repeated(rows: Rows, groups: Sequence[np.ndarray], among: int) -> Found:
    return _found(rows, groups, sum(len(group) - 1 for group in groups), among)


def _alone(rows: Rows, indices: Iterable[int]) -> Found:
    groups = [np.array([i]) for i in indices]
    return _found(rows, groups, len(groups), len(rows))


def _found(rows: Rows, groups: Sequence[np.ndarray], count: int, among: int) -> Found:
    places = [[rows.place(int(i)) for i in group[:_PLACES]] for group in groups[:_GROUPS]]
    return Found(count, _share(count, among), len(groups), places)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

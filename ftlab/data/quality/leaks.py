"""Leaks: questions of held-out rows that stand in the training rows too. They know nothing of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tqdm import tqdm

from ftlab.data.quality.neighbours import Held, Kind
from ftlab.data.quality.text import compared_answer, compared_question
from ftlab.data.quality.wording import Said, Wording, sample
from ftlab.data.rows import Row, Rows
from ftlab.errors import FtlabError

#: What is learnt from comes first, then what decides; the rest, test data and exams, may be one file.
LEARNT, DECIDES = "train", "validation"


@dataclass(frozen=True)
class Leak:
    """One question that two splits share."""

    kind: Kind
    """How alike the two are; the first kind that holds."""
    split: str
    """The split that is learnt from, or selected by: `train`, or `validation` where the other one is test or exam."""
    row: int
    """Index of the row in that split."""
    place: str
    """`file:line` of that row."""
    into: str
    """The held-out split that it leaks into."""
    into_row: int
    """Index of the row in the held-out split."""
    into_place: str
    """`file:line` of the held-out row."""
    similarity: float
    """Share of what the two questions say that both say, from 0 to 1; 1 for the kinds other than `near`."""
    same_answer: bool
    """Whether the answers are the same too, case and punctuation aside."""

    def __str__(self) -> str:
        """Return `train.jsonl:3 (train) asks what exam.jsonl:5 (exam) asks (near, 0.93 alike, same answer)`."""
        alike = f"{self.kind.replace('_', '-')}, {self.similarity:.2f} alike" if self.kind == "near" else self.kind
        told = f"{alike.replace('_', '-')}, {'the same' if self.same_answer else 'another'} answer"
        what = "nearly what" if self.kind == "near" else "what"
        return f"{self.place} ({self.split}) asks {what} {self.into_place} ({self.into}) asks ({told})"


@dataclass(frozen=True)
class Leaks:
    """What two or more splits share."""

    found: list[Leak] = field(default_factory=list)
    """At most one of each row and each held-out split: the closest."""
    templates: dict[str, int] = field(default_factory=dict)
    """By held-out split, how many of its questions are close to one of an earlier split, and yet no leaks."""

    def __len__(self) -> int:
        """Return the number of leaks."""
        return len(self.found)


def find_leaks(splits: Mapping[str, Rows]) -> Leaks:
    """Find the questions that splits share.

    A question is the prompt without what the system says. Equal questions are leaks (`exact`, and `normalised`: case,
    punctuation and white space aside). Close ones differ in their numbers only (`number_masked`), or have most of their
    words and pairs of words in common (`near`). They are leaks where their answers speak for one question. With other
    numbers: the answers are the same, and no more than half of the numbers differ, or one. With the same numbers: the
    answers come to the same (their last numbers are equal, or all of them where there are none), or 0.9 is in common.

    Even so a pair is no leak where it does not stand out: where the data hold three or more other fillings of the
    wording, with other numbers or another outcome, that are about 0.6 times as alike. That is what a generator of
    exercises makes of two draws. The bar is lower in a split where hardly any close pair stands out, and higher in one
    where most do. Close pairs that are no leaks are counted apart, as templates.

    Args:
        splits: rows by `train`, `validation`, `test`, `exam` and further exams, any of which may be missing.
    """
    order = sorted(splits, key=lambda name: (name != LEARNT, name != DECIDES, name != "test"))
    known = {name: splits[name] for name in order if len(splits[name])}
    held = Held([name for name in known if name != LEARNT])
    if not held.splits or len(known) < 2:
        return Leaks()
    wording = Wording(compared_question(row) for rows in known.values() for row in sample(rows))
    total = sum(len(rows) for name, rows in known.items() if name != LEARNT)
    with _bar(total + sum(map(len, known.values())), "looking for leaks") as bar:
        for name in held.splits:
            for i, row in enumerate(known[name]):
                held.add(name, i, _said(row, wording))
                bar.update()
        held.freeze()
        pairs = []
        for name, i, said in _stream(known, wording, bar):
            into = [split for split in held.splits if split != name] if name in (LEARNT, DECIDES) else []
            pairs += [_Pair(name, i, *found) for found in held.meet(said, into)]
    bars = held.as_alike()
    found, leaking = [], set()
    for pair in pairs:
        if held.stands_out(pair.kind, pair.held, pair.similarity, bars[held.split_of(pair.held)]):
            found.append(_leak(pair, held, known))
            leaking.add(pair.held)
    templates = dict.fromkeys(held.splits, 0)
    for at in held.closest.keys() - leaking:
        templates[held.split_of(at)] += 1
    return Leaks(found, templates)


def twins(rows: Rows) -> list[tuple[int, int]]:
    """Return pairs of close rows that would be leaks if a split parted them."""
    wording = Wording(map(compared_question, sample(rows)))
    held = Held(["rows"])
    with _bar(2 * len(rows), "looking for near questions") as bar:
        for i, row in enumerate(rows):
            held.add("rows", i, _said(row, wording))
            bar.update()
        held.freeze()
        pairs = []
        for i in range(len(rows)):
            pairs += [(i, other) for other in held.twins(i)]
            bar.update()
    return pairs


def rows_to_drop(leaks: Leaks, on_leak: Literal["stop", "drop", "warn"] = "stop") -> list[int]:
    """Return the indices of the training rows to leave out, in order.

    Args:
        leaks: what was found.
        on_leak: `stop` raises, `drop` leaves out the training rows that leak, `warn` leaves out none.

    Raises:
        FtlabError: there is a leak and the run is to stop; both places are named.
    """
    if on_leak == "stop" and leaks.found:
        hint = "ftlab data check CONFIG --html FILE lists them"
        others = f", and {len(leaks) - 1} more ({hint})" if len(leaks) > 1 else ""
        raise FtlabError(
            f"{leaks.found[0]}{others}: a score on it would be a lie; "
            "set data.on_leak: drop to train without such rows, or warn to go on"
        )
    return sorted({leak.row for leak in leaks.found if leak.split == LEARNT}) if on_leak == "drop" else []


@dataclass(frozen=True)
class _Pair:
    split: str
    row: int
    kind: Kind
    held: int
    similarity: float
    same_answer: bool


def _said(row: Row, wording: Wording) -> Said:
    return wording(compared_question(row), compared_answer(row))


def _leak(pair: _Pair, held: Held, splits: Mapping[str, Rows]) -> Leak:
    into, into_row = held.split_of(pair.held), held.row_of(pair.held)
    one, other = splits[pair.split], splits[into]
    return Leak(
        kind=pair.kind,
        split=pair.split,
        row=pair.row,
        place=one.place(pair.row),
        into=into,
        into_row=into_row,
        into_place=other.place(into_row),
        similarity=pair.similarity if pair.kind == "near" else 1.0,
        same_answer=pair.same_answer,
    )


def _stream(splits: Mapping[str, Rows], wording: Wording, bar: tqdm) -> Iterator[tuple[str, int, Said]]:
    for name, rows in splits.items():
        for i, row in enumerate(rows):
            yield name, i, _said(row, wording)
            bar.update()


def _bar(total: int, what: str) -> tqdm:
    return tqdm(total=total, desc=what, unit="row", delay=2, leave=False)

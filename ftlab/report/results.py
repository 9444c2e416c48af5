"""Results: what an exam comes to, in words and figures: scores, difference, parts, totals. They draw nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftlab.exam.outcome import compare_sittings, describe_retention, describe_score
from ftlab.exam.sitting import Sitting, few_shot
from ftlab.exam.statistics import Score, base_with, format_kept, format_p
from ftlab.report.facts import Fact, dig
from ftlab.report.units import count, short


@dataclass(frozen=True)
class Taken:
    """A score, whose it is, and the colour of COLOURS that it is drawn in."""

    name: str
    colour: str
    score: Score


@dataclass(frozen=True)
class Table:
    """Figures in rows and columns."""

    title: str
    corner: str
    """What the rows are, and what the columns."""
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    shares: list[list[float]] | None = None
    """How strongly each cell is tinted, from 0 to 1."""


@dataclass(frozen=True)
class Totals:
    """Figures of a grader over all answers."""

    grader: str
    facts: list[Fact]
    tables: list[Table]


@dataclass(frozen=True)
class Result:
    """What an exam has come to so far, as a run's summary holds it."""

    found: Mapping[str, Any]

    @property
    def questions(self) -> int:
        """How many questions it has, 0 where that is not known."""
        return int(dig(self.found, "questions") or 0)

    @property
    def taken(self) -> list[Taken]:
        """The scores of base, base with examples, and tuned model; what was not sat is left out."""
        shots = dig(self.found, "shots") or {}
        named = [("base", "before", dig(self.found, "before"))]
        named += [(base_with(int(n)), "shots", shots[n]) for n in sorted(shots, key=int)]
        named += [("tuned", "after", dig(self.found, "after"))]
        return [Taken(name, colour, self._score(told)) for name, colour, told in named if told]

    @property
    def before(self) -> Score | None:
        """The base's score."""
        return next((taken.score for taken in self.taken if taken.colour == "before"), None)

    @property
    def verdict(self) -> str:
        """The verdict as the run has it, as a sentence."""
        said = str(dig(self.found, "verdict") or "")
        return f"{said[:1].upper()}{said[1:]}"

    @property
    def difference(self) -> str:
        """Say what was gained: `Tuned minus base: +63.7 points (50.7 to 75.2), p < 0.001`."""
        found, p = dig(self.found, "difference"), dig(self.found, "p_value")
        if not found:
            return ""
        points = f"{_signed(found['points'])} points ({_signed(found['low'])} to {_signed(found['high'])})"
        return f"Tuned minus base: {points}{'' if p is None else f', {format_p(p)}'}"

    @property
    def kept(self) -> str:
        """Say how much of an ability was kept: `kept 94 % (90 to 98)`."""
        return "" if dig(self.found, "after") is None else format_kept(dig(self.found, "kept"))

    @property
    def scale(self) -> str:
        """Say what the scores are: `Points of 100 over 200 questions, with their 95 % intervals.`."""
        over = f" over {count(self.questions)} question{'' if self.questions == 1 else 's'}" if self.questions else ""
        return f"Points of 100{over}, with their 95 % intervals."

    @property
    def parts(self) -> list[Taken]:
        """The tuned model's scores by section, and by each further grader."""
        return [Taken(name, "after", self._score(told)) for name, told in (dig(self.found, "parts") or {}).items()]

    @property
    def totals(self) -> list[Totals]:
        """Figures of the tuned model over all answers, by grader."""
        return [_totals(grader, figures) for grader, figures in (dig(self.found, "totals") or {}).items()]

    def _score(self, told: Mapping[str, float]) -> Score:
        return Score(told["score"], told["low"], told["high"], self.questions)


def result(summary: dict[str, Any], name: str, sittings: Mapping[str, Sitting]) -> Result:
    """Return what an exam has come to: what the summary says, or while there is none, the sittings so far.

    Args:
        summary: the run's, empty while the run is under way.
        name: of the exam's metrics, `exam` or `retention/<name>`.
        sittings: of the exam, by name.
    """
    return Result(dig(summary, *name.split("/", 1)) or _so_far(name, sittings))


def _so_far(name: str, sittings: Mapping[str, Sitting]) -> dict[str, Any]:
    told = {when: sitting for when, sitting in sittings.items() if sitting.answers and not when.startswith("step-")}
    if {"before", "after"} <= told.keys():
        return compare_sittings(told) if name == "exam" else describe_retention(told["before"], told["after"])
    found: dict[str, Any] = {when: describe_score(told[when].score) for when in ("before", "after") if when in told}
    questions = max((len(sitting.answers) for sitting in told.values()), default=0)
    return found | {
        "shots": {str(n): describe_score(one.score) for n, one in few_shot(told).items()},
        "questions": questions,
    }


def _totals(grader: str, figures: Mapping[str, Any]) -> Totals:
    facts, tables = [], []
    for key, value in figures.items():
        name = key.replace("_", " ")
        if not isinstance(value, Mapping):
            facts.append(Fact(name, _figure(value)))
        elif {"labels", "matrix"} <= value.keys():
            tables.append(_confusion(value["labels"], value["matrix"]))
        else:
            columns = list(dict.fromkeys(column for row in value.values() for column in row))
            rows = [(str(label), [_figure(row.get(column)) for column in columns]) for label, row in value.items()]
            tables.append(Table(name.capitalize(), "", columns, rows))
    return Totals(grader, facts, tables)


def _confusion(labels: list[str], matrix: list[list[int]]) -> Table:
    """Return how often each label was given where each was right, tinted by the share of the row."""
    rows = [(label, [count(cell) for cell in row]) for label, row in zip(labels, matrix, strict=False)]
    shares = [[cell / max(1, sum(row)) for cell in row] for row in matrix]
    return Table("Confusion matrix", "right ↓ given →", list(labels), rows, shares)


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return count(value) if isinstance(value, int) else "none" if value is None else str(value)


def _signed(number: float) -> str:
    """Return `+63.7`, `-3`, `0`."""
    return f"+{short(number)}" if round(number, 1) > 0 else short(number) if round(number, 1) else "0"

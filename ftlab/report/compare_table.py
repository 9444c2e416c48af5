"""Compare table: the cells of a comparison as text, and as lines of a terminal. It knows no page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftlab.comparison import Comparison, Group, closing
from ftlab.comparison.settings import short_names
from ftlab.exam.statistics import Score, SeedMean, format_p, verdict
from ftlab.report.units import count, duration, share, short, size

#: A longer setting, such as a path, is shown by its end.
_LONGEST = 28
#: Figures of the table that are told with their own unit: their titles, and how they are told.
_FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "exam_before": ("before", short),
    "validation_loss": ("validation loss", lambda loss: f"{loss:.4g}"),
    "train_loss": ("training loss", lambda loss: f"{loss:.3g}"),
    "trainable": ("trainable", share),
    "seconds": ("time", duration),
    "memory": ("memory", size),
    "tokens_per_second": ("tokens/s", count),
    "points_per_hour": ("points per hour", lambda points: f"{points:,.3g}" if points < 100 else count(points)),
    "points_per_gigabyte": ("points per GB", lambda points: f"{points:.3g}"),
}


@dataclass(frozen=True)
class Column:
    """A column, and whether it is of numbers."""

    title: str
    number: bool = True


@dataclass(frozen=True)
class Cell:
    """A text, what helps to read it, and the number that sorts it."""

    text: str = ""
    note: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """The columns, and a row for each configuration in the order of the comparison."""

    columns: list[Column]
    rows: list[list[Cell]]


def table(comparison: Comparison) -> Table:
    """Return the table of a comparison: the exam, what differs, what else came out; no column is empty.

    Args:
        comparison: of one configuration or more.
    """
    names = short_names(comparison.keys)
    columns: list[tuple[Column, Callable[[Group], Cell]]] = [(Column("configuration", False), _name)]
    columns += [(Column("exam of 100"), lambda group: _score(group.exam))]
    columns += [(Column("against the best", False), lambda group: _against(comparison, group))]
    columns += [(Column(names[key], False), _setting(key)) for key in comparison.keys]
    columns += [
        (Column(f"base, {name.removeprefix('shots-')} shots"), _figure(name, short))
        for name in comparison.names
        if name.startswith("shots-")
    ]
    columns += [(Column(f"retention {name}"), _retention(name)) for name in comparison.retention]
    columns += [(Column("state", False), _states)]
    columns += [(Column(title), _figure(name, tell)) for name, (title, tell) in _FIGURES.items()]
    cells = [(column, [cell(group) for group in comparison.groups]) for column, cell in columns]
    kept = [(column, own) for column, own in cells if any(cell.text for cell in own)]
    return Table([column for column, _ in kept], [list(row) for row in zip(*(own for _, own in kept), strict=True)])


def lines(comparison: Comparison) -> list[str]:
    """Return a comparison as it is printed: the table, what was left out, warnings, and what it comes to.

    Args:
        comparison: of one configuration or more.
    """
    found = table(comparison)
    plain = ([f"{cell.text} {cell.note}".strip() for cell in row] for row in found.rows)
    grid = [[column.title for column in found.columns], *plain]
    widths = [max(map(len, texts)) for texts in zip(*grid, strict=True)]
    shown = []
    for row in grid:
        cells = zip(row, widths, found.columns, strict=True)
        shown.append("  ".join(text.rjust(w) if column.number else text.ljust(w) for text, w, column in cells).rstrip())
    shown += ["", *(f"left out   {folder}: {why}" for folder, why in comparison.left_out.items())]
    shown += [f"warning    {warning}" for warning in comparison.warnings]
    return [*shown, *(f"{title:10} {sentence}" for title, sentence in closing(comparison).items())]


def _name(group: Group) -> Cell:
    return Cell(group.label, f"{len(group.entries)} seeds" if len(group.entries) > 1 else "")


def _setting(key: str) -> Callable[[Group], Cell]:
    def cell(group: Group) -> Cell:
        text = group.values[key]
        try:
            return Cell(text, value=float(text))
        except ValueError:
            return Cell(text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}")

    return cell


def _figure(name: str, tell: Callable[[float], str]) -> Callable[[Group], Cell]:
    def cell(group: Group) -> Cell:
        value = group.figure(name)
        return Cell() if value is None else Cell(tell(value), value=value)

    return cell


def _score(score: Score | SeedMean | None) -> Cell:
    if score is None:
        return Cell()
    return Cell(short(score.score), f"({short(score.low)} to {short(score.high)})", score.score)


def _retention(name: str) -> Callable[[Group], Cell]:
    def cell(group: Group) -> Cell:
        score, kept = _score(group.retention(name)), group.figure(f"kept/{name}")
        return Cell(
            score.text, f"{score.note}, kept {100 * kept:.0f} %" if kept is not None else score.note, score.value
        )

    return cell


def _against(comparison: Comparison, group: Group) -> Cell:
    if group is comparison.best:
        return Cell("the best" if comparison.against else "", value=0.0)
    found = comparison.against.get(group.label)
    if found is None:
        return Cell()
    word = verdict(found).word if found.shown else "not shown"
    return Cell(f"{found} {word}", format_p(found.p_value), found.points)


def _states(group: Group) -> Cell:
    told = [state if number == len(group.entries) else f"{number} {state}" for state, number in group.states.items()]
    return Cell(", ".join(told))

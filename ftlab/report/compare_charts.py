"""Compare charts: curves of several runs laid over each other, and exam against cost. They know no page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ftlab.comparison import COSTS, Comparison, Entry, Group
from ftlab.report.picture import COLOURS, picture
from ftlab.report.units import count, duration, share, short, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Curve = tuple[np.ndarray, np.ndarray]

#: Height of a chart in points.
_HEIGHT = 230
#: More points than these say no more at the width of a chart.
_POINTS = 200
#: A training loss of more points is a mean over a twentieth of them.
_FEW = 60
#: Above these ratios of largest to smallest an axis is logarithmic.
_LOGARITHMIC_LOSS, _LOGARITHMIC_COST = 50, 20
#: Hues that are told apart well, for the first configurations; the others go on by the golden angle.
_HUES = (255, 45, 150, 320, 20, 195, 95, 290)
_GOLDEN = 137.5
_DASHES: tuple[Any, ...] = ("solid", (0, (4, 2)), (0, (1, 1.5)))
_UNITS = {"seconds": duration, "memory": size, "trainable": share}


@dataclass(frozen=True)
class Chart:
    """A picture and its heading."""

    title: str
    svg: Markup


def hue(place: int) -> float:
    """Return the hue of a configuration by its place in the comparison, in degrees."""
    return _HUES[place] if place < len(_HUES) else round(_GOLDEN * place % 360, 1)


def curve_charts(comparison: Comparison) -> list[Chart]:
    """Draw training loss, validation loss and exam over steps, a colour for each configuration.

    A colour is the page's `--g<place>`, or `--g<place>-line` where the page sets it, to hide a curve.

    Args:
        comparison: whose runs.
    """
    drawn = [
        _curves(comparison, "train", "Training loss", _train),
        _curves(comparison, "validation", "Validation loss", _validation),
        _curves(comparison, "exam", "Exam score", _exam),
    ]
    return [chart for chart in drawn if chart]


def cost_charts(comparison: Comparison) -> list[Chart]:
    """Draw the exam against what each configuration costs; a line joins those that no cheaper one reaches.

    Args:
        comparison: whose configurations.
    """
    return [chart for cost, title in COSTS.items() if (chart := _cost(comparison, cost, title))]


def _curves(comparison: Comparison, key: str, title: str, of: Callable[[Entry], Curve]) -> Chart | None:
    curves = [(i, of(entry)) for i, group in enumerate(comparison.groups) for entry in group.entries]
    curves = [(i, curve) for i, curve in curves if len(curve[0])]
    if not curves:
        return None
    width = 1.6 if len(curves) <= 12 else 1.0

    def draw(axes: Axes) -> None:
        for i, (steps, values) in reversed(curves):  # the best on top
            marker = "o" if len(steps) == 1 or (key != "train" and len(steps) <= 20 and len(curves) <= 12) else None
            dashes = _DASHES[i // len(_HUES) % len(_DASHES)]
            axes.plot(steps, values, color=_stand_in(i), lw=width, ls=dashes, marker=marker, markersize=3.5)
        everything = np.concatenate([values for _, (_, values) in curves])
        if key != "exam" and everything.min() > 0 and everything.max() / everything.min() > _LOGARITHMIC_LOSS:
            axes.set_yscale("log")
        if key == "exam":
            axes.set_ylim(-2, 102)
        last = max(steps[-1] for _, (steps, _) in curves)
        axes.set(xlabel="step", xlim=(-0.02 * last, 1.04 * last))
        _ticks(axes, count)

    told = f"{len(curves)} runs of {len({i for i, _ in curves})} configurations"
    ends = [values[-1] for _, (_, values) in curves]
    description = f"{title} over steps: {told}, at the end from {min(ends):.3g} to {max(ends):.3g}."
    svg = picture(f"curves-{key}", _HEIGHT, title, description, draw)
    return Chart(title, _coloured(svg, comparison, "var(--g{0}-line, var(--g{0}))"))


def _train(entry: Entry) -> Curve:
    series = entry.curves.train.finite
    steps, values = series.steps, series.values
    if len(values) >= _FEW:
        window = np.ones(len(values) // 20)
        values = np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")
    return _thinned(steps, values)


def _validation(entry: Entry) -> Curve:
    series = entry.curves.validation.finite
    return _thinned(series.steps, series.values)


def _exam(entry: Entry) -> Curve:
    """Return the scores while training, from the one before on."""
    series = entry.curves.exam.finite
    before = entry.figure("exam", "before", "score")
    if before is None or not len(series):
        return series.steps, series.values
    return np.insert(series.steps, 0, 0), np.insert(series.values, 0, before)


def _thinned(steps: np.ndarray, values: np.ndarray) -> Curve:
    if len(steps) <= _POINTS:
        return steps, values
    chosen = np.linspace(0, len(steps) - 1, _POINTS).astype(int)
    return steps[chosen], values[chosen]


def _cost(comparison: Comparison, cost: str, title: str) -> Chart | None:
    front = comparison.front(cost)
    places = [(i, group) for i, group in enumerate(comparison.groups) if _spot(group, cost)]
    if len(places) < 2:
        return None
    spots = {i: spot for i, group in places if (spot := _spot(group, cost))}
    reached = {i for i, group in places if group in front}

    def draw(axes: Axes) -> None:
        line = [spots[i] for group in front for i in [comparison.groups.index(group)]]
        axes.step(*zip(*line, strict=True), where="post", color=COLOURS["ink"], linewidth=1, linestyle=(0, (3, 3)))
        for i, group in reversed(places):
            x, y = spots[i]
            if group.exam:
                axes.vlines(x, group.exam.low, group.exam.high, color=_stand_in(i), linewidth=2.5, alpha=0.3)
            size = 8 if i in reached else 5
            edge = COLOURS["ink"] if i in reached else _stand_in(i)
            axes.plot(x, y, "o", color=_stand_in(i), markersize=size, markeredgecolor=edge, markeredgewidth=1.2)
        costs = [x for x, _ in spots.values()]
        if min(costs) > 0 and max(costs) / min(costs) > _LOGARITHMIC_COST:
            axes.set_xscale("log")
        axes.margins(x=0.08)
        axes.set(ylim=(-4, 104), xlabel=title)
        _ticks(axes, _UNITS[cost])

    told = ", ".join(f"{group.label} ({_UNITS[cost](group.figure(cost) or 0)})" for group in front)
    description = f"Exam score against {title}; no cheaper one reaches {told}."
    svg = picture(f"cost-{cost}", _HEIGHT, f"Exam against {title}", description, draw)
    return Chart(f"Exam against {title}", _coloured(svg, comparison, "var(--g{0})"))


def _spot(group: Group, cost: str) -> tuple[float, float] | None:
    value = group.figure(cost)
    return (value, group.exam.score) if value is not None and group.exam else None


def _ticks(axes: Axes, tell: Callable[[float], str]) -> None:
    """Give the axes few ticks, told as people read them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.grid(axis="y")
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=tell is count))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tell(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value) if value >= 10 else f"{value:g}"))


def _stand_in(place: int) -> str:
    """Return a colour that stands for a configuration until the picture is on the page."""
    return f"#a{place:05x}"


def _coloured(svg: Markup, comparison: Comparison, variable: str) -> Markup:
    """Put the page's variables for the colours of the configurations."""
    text = str(svg)
    for place in range(len(comparison.groups)):
        text = text.replace(_stand_in(place), variable.format(place))
    return Markup(text)  # what picture() made, with other colours

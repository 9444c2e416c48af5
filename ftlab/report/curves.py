"""Curves: the charts of one run, drawn from its logged metrics and exam scores. They do not know the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from ftlab.exam.statistics import Score
from ftlab.report.picture import COLOURS, picture
from ftlab.report.units import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = list[dict[str, float]]

#: Height of a chart in points.
_HEIGHT = 200
#: A curve of fewer points is drawn as it is; a longer one gets a mean over a twentieth of its length.
_FEW = 60
#: So many learning rates have a colour each; more are shades of one.
_RATE_COLOURS = ("train", "validation", "after")
#: Of the exam, and of each exam of what is to be kept, from the first again where there are more.
_EXAM_COLOURS = ("after", "validation", "train", "shots")
#: Above this ratio of largest to smallest, a linear axis would press one end of the curve flat.
_LOGARITHMIC = 50


@dataclass(frozen=True)
class Chart:
    """A picture, its heading, and its legend: names and the colours of COLOURS they go with."""

    title: str
    legend: list[tuple[str, str]]
    svg: Markup


@dataclass(frozen=True)
class _Series:
    """The finite values of one metric, one for each step, in order."""

    steps: np.ndarray
    values: np.ndarray

    def __bool__(self) -> bool:
        return len(self.steps) > 0

    def describe(self, name: str) -> str:
        """Return `training loss from 2.31 at step 1 to 0.12 at step 250`."""
        first, last = f"{self.values[0]:.3g}", f"{self.values[-1]:.3g}"
        return f"{name} from {first} at step {count(self.steps[0])} to {last} at step {count(self.steps[-1])}"


def charts(rows: Rows, best: float | None, before: Mapping[str, Score]) -> list[Chart]:
    """Draw every chart that the metrics have values for.

    Args:
        rows: the logged rows, as `Run.metrics` returns them.
        best: the step whose weights were kept, None where it is not known.
        before: scores before training, drawn at step 0, by `exam` or `retention/<name>`.
    """
    drawn = [_loss(rows, best), _exams(rows, best, before), _perplexity(rows, best), _rates(rows, best)]
    return [chart for chart in drawn if chart]


def _loss(rows: Rows, best: float | None) -> Chart | None:
    train, validation = _series(rows, "train/loss"), _series(rows, "validation/loss")
    shown = [s for s in (train, validation) if s]
    if not shown:
        return None
    told, legend = [], []
    width = len(train.values) // 20 if len(train.values) >= _FEW else 1
    if train:
        told.append(train.describe("training loss"))
        legend.append((f"training, mean of {width} values" if width > 1 else "training", "train"))
    if validation:
        told.append(validation.describe("validation loss"))
        legend.append(("validation", "validation"))

    def draw(axes: Axes) -> None:
        if width > 1:
            axes.plot(train.steps, train.values, color=COLOURS["train"], linewidth=0.8, alpha=0.35)
        _plot(axes, _Series(train.steps, _rolling_mean(train.values, width)), "train")
        _plot(axes, validation, "validation")
        _finish(axes, rows, best, shown)

    return _chart("loss", "Loss", legend, told, draw, best)


def _exams(rows: Rows, best: float | None, before: Mapping[str, Score]) -> Chart | None:
    """Draw the scores of the exam and of what is to be kept, each from the base's at step 0 on."""
    metrics = sorted({key for row in rows for key in row})
    names = [found[1] for metric in metrics if (found := re.fullmatch(r"(exam|retention/[^/]+)/score", metric))]
    if not names:
        return None
    first: dict[str, float] = {"step": 0.0}
    for name in names:
        if score := before.get(name):
            first |= {f"{name}/score": score.score, f"{name}/low": score.low, f"{name}/high": score.high}
    rows = [first, *rows]
    colours = dict(zip(names, cycle(_EXAM_COLOURS), strict=False))
    scores = {name: _series(rows, f"{name}/score") for name in names}

    def draw(axes: Axes) -> None:
        for name, colour in colours.items():
            low, high = _series(rows, f"{name}/low"), _series(rows, f"{name}/high")
            steps, at_low, at_high = np.intersect1d(low.steps, high.steps, assume_unique=True, return_indices=True)
            axes.vlines(steps, low.values[at_low], high.values[at_high], color=COLOURS[colour], alpha=0.35, linewidth=4)
            _plot(axes, scores[name], colour)
        _finish(axes, rows, best, [])
        axes.set_ylim(-2, 102)

    told = [series.describe("exam score" if name == "exam" else f"score of {name}") for name, series in scores.items()]
    legend = [(name.replace("/", " "), colour) for name, colour in colours.items()]
    if names == ["exam"]:
        return _chart("score", "Exam score", [("score of 100, with its 95 % interval", "after")], told, draw, best)
    return _chart("score", "Exam and retention, of 100", legend, told, draw, best)


def _perplexity(rows: Rows, best: float | None) -> Chart | None:
    series, title = _series(rows, "validation/perplexity"), "Perplexity of the validation data"
    if not series:
        return None

    def draw(axes: Axes) -> None:
        _plot(axes, series, "validation")
        _finish(axes, rows, best, [series])

    return _chart("perplexity", title, [], [series.describe(title.lower())], draw, best)


def _rates(rows: Rows, best: float | None) -> Chart | None:
    """Draw the learning rate of each group of parameters, groups of one rate as one curve, the highest first."""
    found: dict[tuple[float, ...], tuple[_Series, list[str]]] = {}
    for metric in dict.fromkeys(key for row in rows for key in row if key.startswith("lr/")):
        if series := _series(rows, metric):
            found.setdefault((*series.steps, *series.values), (series, []))[1].append(metric.removeprefix("lr/"))
    rates = sorted(found.values(), key=lambda rate: -rate[0].values.max())
    if not rates:
        return None
    names = [_joined(groups) for _, groups in rates]
    told = [series.describe(f"learning rate of {name}") for (series, _), name in zip(rates, names, strict=True)]
    few = len(rates) <= len(_RATE_COLOURS)
    if few:
        legend = list(zip(names, _RATE_COLOURS, strict=False))
    else:
        legend = [(f"{len(rates)} rates, from {names[0]} down to {names[-1]}", "train")]
        told = [told[0], told[-1]]
    if len(rates) == 1:
        legend, told = [], [rates[0][0].describe("learning rate")]

    def draw(axes: Axes) -> None:
        for i, (series, _) in reversed(list(enumerate(rates))):
            shade = 1.0 if few else 1 - 0.75 * i / (len(rates) - 1)
            _plot(axes, series, _RATE_COLOURS[i] if few else "train", shade)
        _finish(axes, rows, best, [])
        axes.set_ylim(bottom=0)

    return _chart("rates", "Learning rate", legend, told, draw, best)


def _joined(names: list[str]) -> str:
    """Return `head, block.11 and 3 more`."""
    return ", ".join(names) if len(names) < 4 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _chart(
    key: str,
    title: str,
    legend: list[tuple[str, str]],
    told: list[str],
    draw: Callable[[Axes], None],
    best: float | None,
) -> Chart:
    best_told = [] if best is None else [f"best step {count(best)}"]
    description = "; ".join([*told, *best_told])
    return Chart(title, legend, picture(key, _HEIGHT, title, f"{description[0].upper()}{description[1:]}.", draw))


def _series(rows: Iterable[dict[str, float]], metric: str) -> _Series:
    """Collect a metric; where a resumed run logged a step again, the later value counts."""
    points = {row["step"]: row[metric] for row in rows if "step" in row and np.isfinite(row.get(metric, np.nan))}
    steps = sorted(points)
    return _Series(np.array(steps), np.array([points[step] for step in steps]))


def _rolling_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Average each value with its neighbours; at the ends, with those there are."""
    if width < 2:
        return values
    window = np.ones(width)
    return np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")


def _plot(axes: Axes, series: _Series, colour: str, shade: float = 1.0) -> None:
    """Draw a curve, with its points where they are few enough to be told apart."""
    marker = "o" if len(series.steps) < 2 or (colour != "train" and len(series.steps) <= 40) else None
    axes.plot(series.steps, series.values, color=COLOURS[colour], alpha=shade, marker=marker, markersize=4.5)


def _finish(axes: Axes, rows: Rows, best: float | None, spread: list[_Series]) -> None:
    """Give a chart its axes, the same steps in all charts of a run, and the mark of the best step.

    Args:
        axes: what the curves are drawn on.
        rows: all rows of the run, for the last step.
        best: the step to mark.
        spread: the curves that may make the axis logarithmic.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    last = max([row["step"] for row in rows if "step" in row] + [best or 0, 1])
    axes.set(xlim=(0 - 0.02 * last, 1.02 * last), xlabel="step")
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: count(step)))
    values = np.concatenate([series.values for series in spread]) if spread else np.zeros(1)
    if values.min() > 0 and values.max() / values.min() > _LOGARITHMIC:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if best is not None:
        axes.axvline(best, color=COLOURS["ink"], linewidth=1, linestyle=(0, (3, 3)))
        side = "right" if best > 0.8 * last else "left" if best < 0.2 * last else "center"
        above = axes.get_xaxis_transform()
        axes.text(best, 1.03, f"best: step {count(best)}", transform=above, ha=side, fontsize=9, color=COLOURS["ink"])

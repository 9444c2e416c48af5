"""Survey charts: histograms of data, drawn from a survey. They do not know the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftlab.report.curves import Chart
from ftlab.report.picture import COLOURS, picture
from ftlab.report.survey import Survey
from ftlab.report.units import count, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Edges, and the counts between them.
Bins = tuple[list[float], list[int]]

#: Height of a histogram in points.
_HEIGHT = 170
#: A colour for each split, in order.
_SPLIT_COLOURS = {"train": "train", "validation": "validation", "test": "after"}


def histograms(survey: Survey) -> list[Chart]:
    """Draw the histograms of tokens per row and, where there are chats, of turns per row, all splits in one picture."""
    lengths: dict[str, Bins] = {}
    turns: dict[str, Bins] = {}
    told, turned = [], []
    for split, one in survey.descriptions.items():
        tokens, histogram = one.tokens, one.tokens.histogram
        first = next((i for i, number in enumerate(histogram.counts) if number), 0)
        lengths[split] = (histogram.edges[first:], histogram.counts[first:])
        told.append(f"{split} up to {count(tokens.max)}, median {count(tokens.p50)}")
        if not one.turns:  # documents
            continue
        numbers = range(min(one.turns), max(one.turns) + 1)
        turns[split] = ([n - 0.5 for n in (*numbers, numbers[-1] + 1)], [one.turns.get(n, 0) for n in numbers])
        turned.append(f"{split} {span(one.turns)}")
    limit = next(iter(survey.descriptions.values())).tokens.limit
    charts = [_chart("tokens", "Tokens per row", "tokens", told, lengths, limit)]
    if turns:
        charts.append(_chart("turns", "User and assistant turns per row", "turns", turned, turns))
    return charts


def _chart(
    key: str,
    title: str,
    unit: str,
    told: list[str],
    bins: dict[str, Bins],
    limit: int | None = None,
) -> Chart:
    def draw(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        for split, (edges, counts) in bins.items():
            shares = [100 * one / max(sum(counts), 1) for one in counts]
            colour = COLOURS[_SPLIT_COLOURS[split]]
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.25)
            axes.stairs(shares, edges, color=colour, linewidth=1.2)
        axes.set(xlabel=unit, ylabel="% of rows", ylim=(0, None))
        axes.grid(axis="y")
        longest = max(edges[-1] for edges, _ in bins.values())
        shortest = min(edges[0] for edges, _ in bins.values())
        if longest - shortest < 4:  # one lone bar would fill the picture
            axes.set_xlim((shortest + longest) / 2 - 2, (shortest + longest) / 2 + 2)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
        if limit is not None and limit <= 2 * longest:
            axes.axvline(limit, color=COLOURS["ink"], linewidth=1, linestyle=(0, (3, 3)))
            above = axes.get_xaxis_transform()
            axes.text(limit, 1.03, f"max_length {count(limit)}", transform=above, ha="center", fontsize=9)

    legend = [(split, _SPLIT_COLOURS[split]) for split in bins] if len(bins) > 1 else []
    return Chart(title, legend, picture(key, _HEIGHT, title, f"{'; '.join(told).capitalize()}.", draw))

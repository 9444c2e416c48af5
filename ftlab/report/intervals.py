"""Intervals: scores side by side with their uncertainty, as a picture. It does not know the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from ftlab.report.picture import COLOURS, picture
from ftlab.report.results import Taken
from ftlab.report.units import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def interval_picture(key: str, title: str, taken: list[Taken]) -> Markup:
    """Draw scores on a line from 0 to 100, with their 95 % intervals, the first on top.

    Args:
        key: name of the picture, unique on the page.
        title: what the picture is called.
        taken: the scores.
    """

    def draw(axes: Axes) -> None:
        for row, one in enumerate(reversed(taken)):
            colour, score = COLOURS[one.colour], one.score
            axes.plot([score.low, score.high], [row, row], color=colour, linewidth=7, alpha=0.35)
            axes.plot(score.score, row, "o", color=colour, markersize=9)
        axes.set_yticks(range(len(taken)), [one.name.removeprefix("base with ") for one in reversed(taken)])
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.set(xlim=(-2, 102), ylim=(-0.6, len(taken) - 0.4), xlabel="points of 100, with the 95 % interval")
        axes.grid(axis="x")

    scores = [(one.name, one.score) for one in taken]
    told = [f"{name} {short(s.score)}, between {short(s.low)} and {short(s.high)}" for name, s in scores]
    description = "; ".join(told)
    return picture(key, 62 + 28 * len(taken), title, f"{description[0].upper()}{description[1:]}.", draw)

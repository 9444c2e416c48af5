"""Sparkline: a curve in one line of text. It knows no losses."""

from __future__ import annotations

import numpy as np

from ftlab.diagnosis.curves import Series

_BARS = "▁▂▃▄▅▆▇█"

#: Highest by lowest value above which bars are logarithms: what happens near zero would all be the lowest bar.
_LOGARITHMIC = 50


def sparkline(series: Series, last: float, low: float, high: float, width: int = 48) -> str:
    """Return a curve as bars, each the median of the points in its part of the steps, else the one before.

    Args:
        series: the points; those that are no number are drawn as `×`.
        last: step at the right edge.
        low: value of the lowest bar.
        high: value of the highest bar.
        width: number of bars.
    """
    values = series.values
    if low > 0 and high / low > _LOGARITHMIC:
        with np.errstate(invalid="ignore"):
            low, high, values = np.log(low), np.log(high), np.log(values)
    place = np.clip((series.steps / max(last, 1.0) * width).astype(int), 0, width - 1)
    bars: list[str] = []
    for i in range(width):
        here = values[place == i]
        if not len(here):
            bars.append(bars[-1] if bars else " ")
        elif not np.isfinite(here).all():
            bars.append("×")
        else:
            level = (float(np.median(here)) - low) / max(high - low, 1e-12)
            bars.append(_BARS[int(np.clip(level * len(_BARS), 0, len(_BARS) - 1))])
    return "".join(bars)

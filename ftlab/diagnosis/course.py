"""Course: one loss curve in figures: where it began and ended, its best, what it still falls, and the noise of each.

It knows no state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftlab.diagnosis.curves import Series
from ftlab.diagnosis.robust import MAD, block_medians, noise, rolling_median, slope

#: The end of a run whose slope is asked for, as a share of its way.
TAIL = 1 / 3

#: Fewer points than these tell nothing about their own noise; then a share of their level stands for it.
_FEW, _ASSUMED = 5, 0.01

#: Up to these many, their noise is held between these shares of it.
_MANY, _LEAST, _MOST = 12, 0.003, 0.03


def way(series: Series, rates: Series, last: float) -> np.ndarray:
    """Return how far a run had come at each point, from 0 to 1: its share of the sum of all learning rates.

    Without rates, its share of the steps.

    Args:
        series: whose points.
        rates: learning rate per step.
        last: the last step of the run.
    """
    rates = rates.finite
    if len(rates) < 3 or rates.values.max() <= 0:
        return series.steps / max(last, 1.0)
    steps = np.concatenate([[0.0], rates.steps, [max(last, rates.steps[-1])]])
    values = np.concatenate([rates.values[:1], rates.values, rates.values[-1:]])
    done = np.concatenate([[0.0], np.cumsum(np.diff(steps) * (values[1:] + values[:-1]) / 2)])
    return np.interp(series.steps, steps, done / done[-1])


@dataclass(frozen=True)
class Course:
    """A loss curve in figures."""

    series: Series
    """The points that are numbers."""
    smooth: np.ndarray
    """Rolling medians of the points."""
    start: float
    """Level of the first points."""
    end: float
    """Level of the last points."""
    end_noise: float
    """Standard error of the end."""
    noise: float
    """Standard deviation of a point, near the end."""
    best: float
    """Lowest level."""
    best_step: float
    """Where it was lowest."""
    fall: float
    """What it falls over the tail; below 0 it rises."""
    fall_noise: float
    """Standard error of the fall."""

    @classmethod
    def of(cls, series: Series, rates: Series, last: float, averaged: bool) -> Course | None:
        """Return the course of a curve, None where it has less than two points.

        Args:
            series: losses.
            rates: learning rate per step.
            last: the last step of the run.
            averaged: whether each point is a mean over many rows, as a validation loss is; of few such points each is
                taken at its word.
        """
        series = series.finite
        count = len(series)
        if count < 2:
            return None
        x, values = way(series, rates, last), series.values
        first = max(0, min(int(np.searchsorted(x, 1 - TAIL)), count - (2 if averaged else 5), count - count // 6))
        if first and x[-1] - x[first] < TAIL / 2:  # the last validation may follow close upon the one before
            first -= 1
        tail = slice(first, None)
        own = _own_noise(values, averaged)
        width = max(1, count // 10) if count >= 30 else 3 if count >= (6 if averaged else 4) else 1
        smooth = rolling_median(values, width)
        ends = (1 if count < _FEW else min(3, count // 4)) if averaged and count < 20 else max(3, count // 10)
        best = int(np.argmin(smooth))
        found, error = slope(x[tail], values[tail], own)
        length = min(TAIL, x[-1] - x[tail][0]) if x[-1] > x[tail][0] else TAIL
        return cls(
            series=series,
            smooth=smooth,
            start=float(np.median(values[: max(1, count // 50)])),
            end=float(np.median(values[-ends:])),
            end_noise=float(1.2533 * own / np.sqrt(ends)) if ends > 2 else own / np.sqrt(ends),
            noise=own,
            best=min(float(smooth[best]), float(np.median(values[-ends:]))),
            best_step=float(series.steps[best]),
            fall=float(np.clip(-found * length, -np.ptp(values[tail]), np.ptp(values[tail]))),
            fall_noise=error * length,
        )

    def at(self, step: float) -> float:
        """Return the level at a step."""
        return float(np.interp(step, self.series.steps, self.smooth))

    def swing(self) -> float:
        """Return how far the points of the last half lie apart, a tenth at either end and their trend left aside."""
        half = self.series.values[len(self.series) // 2 :]
        x = np.arange(len(half), dtype=float)
        rest = half - slope(x, half)[0] * x
        low, high = np.quantile(rest, [0.1, 0.9])
        return float(high - low)

    def spikes(self, least: float) -> list[float]:
        """Return the steps at which the loss jumps above both what was before and what comes after.

        A spike stands out by eight standard deviations of its surroundings, of the loss and of its logarithm: losses
        near zero vary by factors.

        Args:
            least: height above its surroundings.
        """
        values, steps = self.series.values, self.series.steps
        count = len(values)
        if count < 8:
            return []
        reach = int(np.clip(count // 40, 2, 25))
        padded = np.pad(values, reach, constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach)
        before, after = windows[:count], windows[reach + 1 :]
        with np.errstate(all="ignore"):
            sides = np.stack([_median(before), _median(after)])
        base = np.nanmax(sides, axis=0)
        base[:2] = np.inf  # the first steps fall, they do not spike
        high = values - base
        near = 2 * reach + 1 if count >= 20 else 3
        local = rolling_median(np.abs(values - rolling_median(values, near)), max(9, count // 5))
        out = (high > least) & (high > 8 * MAD * np.maximum(local, 1e-3 * np.abs(base)))
        if (values > 0).all():
            logs = np.log(values)
            spread = MAD * float(np.median(np.abs(logs - rolling_median(logs, near))))
            with np.errstate(all="ignore"):
                out &= logs - np.log(base) > 8 * max(spread, 1e-3)
        return [float(step) for step in steps[out]]

    @property
    def above_start(self) -> float:
        """Share of the points that lie above the start."""
        return float(np.mean(self.series.values > 1.05 * self.start))

    @property
    def rough(self) -> float:
        """The noise of a median of the points, of which there are at most 160, where it is larger."""
        values = self.series.values
        return max(self.noise, noise(values[: len(values) // 2])) / np.sqrt(self._block)

    def surged(self, sure: float) -> bool:
        """Return whether it once stood above its start by a tenth and its noise, for two points at least.

        The noise of the start is taken to be in proportion to that of the end.

        Args:
            sure: standard deviations.
        """
        if len(self.series) < 6:
            return False
        values, medians = self.series.values, self._medians()
        level = max(abs(float(np.median(values[len(values) // 2 :]))), 1e-12)
        highest = float(np.minimum(medians[:-1], medians[1:]).max())
        return highest > self.start + abs(self.start) * (0.1 + sure * self.noise / level / np.sqrt(self._block))

    @property
    def _block(self) -> int:
        return max(1, len(self.series) // 80) if len(self.series) >= 160 else 1

    def _medians(self) -> np.ndarray:
        return block_medians(self.series.values, self._block)

    def turns(self, least: float) -> int:
        """Return how often the curve, in at most 160 medians, rises by more than `least` and falls by as much again."""
        values = self._medians()
        low = high = values[0]
        rising, turns = False, 0
        for value in values[1:]:
            low, high = min(low, value), max(high, value)
            if not rising and value - low > least:
                rising, high = True, value
            elif rising and high - value > least:
                rising, low, turns = False, value, turns + 1
        return turns


def _own_noise(values: np.ndarray, averaged: bool) -> float:
    """Return the standard deviation of a point near the end.

    A few validation losses tell little: they bend as much as they vary, so their noise is kept within what is usual for
    a mean over many rows.
    """
    count, level = len(values), abs(float(values[-1]))
    if not averaged or count >= _MANY:
        return noise(values[-max(9, count // 2) :])
    if count < _FEW:
        return _ASSUMED * level
    return float(np.clip(min(noise(values), noise(values, 3)), _LEAST * level, _MOST * level))


def _median(windows: np.ndarray) -> np.ndarray:
    """Return the median of each row's numbers, NaN where there is none."""
    empty = np.isnan(windows).all(axis=1)
    found = np.nanmedian(np.where(empty[:, None], 0.0, windows), axis=1)
    return np.where(empty, np.nan, found)

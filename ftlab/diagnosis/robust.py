"""Robust: slopes and noise that a few wild points do not move. It knows nothing of losses."""

from __future__ import annotations

import math

import numpy as np

#: The median absolute deviation of a normal distribution times this is its standard deviation.
MAD = 1.4826

#: More points than these are summed up by medians of blocks: pairs grow with the square.
_MOST = 60


def noise(values: np.ndarray, order: int = 2) -> float:
    """Return the standard deviation of what changes from point to point, a trend left aside.

    From differences: of second order they leave out a straight trend, of third order also its bend.

    Args:
        values: in order.
        order: of the differences.
    """
    if len(values) <= order:
        return 0.0
    return float(MAD * np.median(np.abs(np.diff(values, order))) / np.sqrt(math.comb(2 * order, order)))


def block_medians(values: np.ndarray, size: int) -> np.ndarray:
    """Return the medians of blocks of so many points; the first block may be longer, by the points that are left over.

    Args:
        values: in order.
        size: of a block, at most as long as the values.
    """
    left = len(values) % size
    medians = np.median(values[left:].reshape(-1, size), axis=1)
    medians[0] = np.median(values[: left + size])
    return medians


def rolling_median(values: np.ndarray, width: int) -> np.ndarray:
    """Return the median of each point and its neighbours; at the ends, of those there are.

    Wide windows are medians of medians of blocks, or long curves would take seconds.
    """
    if width < 3 or len(values) < 3:
        return values
    if (size := width // 10) > 1:
        middles = block_medians(np.arange(len(values), dtype=float), size)
        return np.interp(np.arange(len(values)), middles, rolling_median(block_medians(values, size), 10))
    half = width // 2
    padded = np.concatenate([values[half - 1 :: -1], values, values[: -half - 1 : -1]])  # mirrored at the ends
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def slope(x: np.ndarray, y: np.ndarray, least_noise: float = 0.0) -> tuple[float, float]:
    """Return the Theil-Sen slope and its standard error.

    Theil (1950), Sen (1968), pairs weighted by their distance in x, so that points close together count as one.

    Args:
        x: where.
        y: what.
        least_noise: of the points, from elsewhere: few points lie on a line by chance.
    """
    sigma = least_noise
    if len(x) > _MOST:
        width = len(x) // _MOST
        x, y = block_medians(x, width), block_medians(y, width)
        sigma *= 1.2533 / np.sqrt(width)  # the standard error of a median
    i, j = np.triu_indices(len(x), 1)
    distance = x[j] - x[i]
    i, j, distance = i[distance > 0], j[distance > 0], distance[distance > 0]
    if not len(distance):
        return 0.0, np.inf
    slopes = (y[j] - y[i]) / distance
    order = np.argsort(slopes)
    weight = np.cumsum(distance[order])
    found = float(slopes[order][np.searchsorted(weight, weight[-1] / 2)])
    rest = y - found * x
    spread = MAD * float(np.median(np.abs(rest - np.median(rest)))) * np.sqrt(len(x) / max(1, len(x) - 2))
    error = max(spread, sigma) / np.sqrt(np.sum((x - x.mean()) ** 2))
    return found, float(error)

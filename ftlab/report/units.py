"""Units: numbers as a person reads them. It does not know what they measure."""

from __future__ import annotations

from collections.abc import Iterable


def count(number: float) -> str:
    """Return a whole number with its thousands apart: `162,816`."""
    return f"{number:,.0f}"


def short(number: float) -> str:
    """Return a score with a decimal only where it has one: `91`, `99.6`."""
    return f"{round(number, 1):g}"


def duration(seconds: float) -> str:
    """Return seconds in their two largest units: `7.2 s`, `1 min 30 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(number: float) -> str:
    """Return bytes in decimal units: `657 kB`, `1.29 GB`."""
    for unit in ("bytes", "kB", "MB"):
        if round(number) < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB" if number < 1000 else f"{number:,.0f} GB"


def share(part: float) -> str:
    """Return a part of 1 in percent, with three digits: `40 %`, `1.25 %`, `0.04 %`."""
    return f"{100 * part:.3g} %" if part < 0.9995 else f"{100 * part:.0f} %" if part == 1 else "99.9 %"


def span(numbers: Iterable[float]) -> str:
    """Return the smallest and the largest of some whole numbers: `2 to 12`, or `2` where there is but one."""
    several = list(numbers)
    return " to ".join(dict.fromkeys(map(count, (min(several), max(several))))) if several else ""

"""Carried: what the package carries under names that begin with `ftlab/`. It knows neither models nor data."""

from __future__ import annotations

from pathlib import Path


def carried(name: str) -> Path | None:
    """Return where something lies that the package carries, whatever folder one works in; None where it carries none.

    Args:
        name: `ftlab/tiny`, or a file in it such as `ftlab/tiny/retention.jsonl`.
    """
    first, *rest = Path(name).parts or ("",)
    if first != "ftlab" or rest[:1] != ["tiny"] or ".." in rest:
        return None
    place = Path(__file__).parent.joinpath(*rest)
    return place if place.exists() else None

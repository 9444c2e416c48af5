"""Detection: the format of a record by its columns. It knows no format but the plain text by name."""

from __future__ import annotations

from collections.abc import Collection

from ftlab.data.formats.base import Format
from ftlab.data.formats.text import Text
from ftlab.plugins import registered


def formats_of(columns: Collection[str]) -> tuple[type[Format], ...]:
    """Return the formats whose columns are there; else those whose first column, the prompt's, is.

    One that needs more columns goes before one that needs some of them. A text beside them does not count: many data
    sets carry the rendered chat along.
    """
    known = [cls for cls in registered(Format).values() if cls.columns]
    whole = [cls for cls in known if set(cls.columns) <= set(columns)]
    exact = [cls for cls in whole if not any(set(cls.columns) < set(other.columns) for other in whole)]
    found = [cls for cls in exact if cls is not Text]
    return tuple(found or [cls for cls in known if cls.columns[0] in columns])


def find_format(columns: Collection[str]) -> Format:
    """Return the format of a source by the columns of a record.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = formats_of(columns)
    if len(found) == 1:
        return found[0]()
    listed = ", ".join(map(repr, sorted(columns)[:12])) or "none"
    if not found:
        known = "; ".join(
            f"{name}: {', '.join(cls.columns)}" for name, cls in registered(Format).items() if cls.columns
        )
        raise ValueError(f"no format has these columns ({listed}); name one in data.format, with its columns ({known})")
    names = " or ".join(cls.__name__ for cls in found)
    raise ValueError(f"these columns ({listed}) may be {names}; say which in data.format")

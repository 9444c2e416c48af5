"""Detection: the format of a record by its columns. By name it knows plain text and prepared rows."""

from __future__ import annotations

from collections.abc import Collection

from ftlab.data.formats.base import Format
from ftlab.data.formats.prepared import _PreparedRows
from ftlab.data.formats.text import Text
from ftlab.plugins import registered


def formats_of(columns: Collection[str]) -> tuple[type[Format], ...]:
    """Return the formats whose columns are there; else those whose first column, the prompt's, is.

    One that needs more columns goes before one that needs some of them. A text beside them does not count: many data
    sets carry the rendered chat along.
    """
    known: list[type[Format]] = [cls for cls in registered(Format).values() if cls.columns]
    known.append(_PreparedRows)
    whole = [cls for cls in known if set(cls.columns) <= set(columns)]
    exact = [cls for cls in whole if not any(set(cls.columns) < set(other.columns) for other in whole)]
    found = [cls for cls in exact if cls is not Text]
    return tuple(found or [cls for cls in known if cls.columns[0] in columns])


def find_format(columns: Collection[str], setting: str = "data.format") -> Format:
    """Return the format of a source by the columns of a record.

    Args:
        columns: what the record has.
        setting: where a format is named for the source.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = formats_of(columns)
    if len(found) == 1:
        return found[0]()
    listed = ", ".join(map(repr, sorted(columns)[:12])) or "none"
    if found:
        names = " or ".join(cls.__name__ for cls in found)
        raise ValueError(f"these columns ({listed}) may be {names}; choose one: --{setting} {found[0].__name__}")
    known = "; ".join(f"{name}: {', '.join(cls.columns)}" for name, cls in registered(Format).items() if cls.columns)
    example = f"--{setting} QuestionAnswer --{setting}.question COLUMN --{setting}.answer COLUMN"
    raise ValueError(f"no format has these columns ({listed}); name one with your columns: {example} ({known})")

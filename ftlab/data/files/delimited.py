"""Delimited: CSV and TSV as records. They know nothing of formats."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ftlab.data.files.blocks import BrokenError, Fault
from ftlab.data.places import Place

csv.field_size_limit(sys.maxsize)


def cells_of(stream: Iterable[bytes], delimiter: str) -> Iterator[tuple[Place, Any, int]]:
    """Yield the rows of a CSV; quoted cells may go over several lines, and a row's line is its first.

    Raises:
        BrokenError: the header is none, or a quote goes over several lines and ends wrongly: rows are lost in it.
    """
    last = ""

    def lines() -> Iterator[str]:
        nonlocal last
        for raw in stream:
            last = raw.decode("utf-8", "surrogateescape")
            yield last

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
            size = len("".join(cells).encode())
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > line:
                what = f"a cell from here to line {reader.line_num} is not closed by a quote of its own ({error})"
                raise BrokenError(f"{what}; close it, and double the quotes inside cells", Place(line)) from error
            fault = Fault(f"not CSV ({error}); quote cells that hold a comma, a quote or a line end, and double quotes")
        except UnicodeEncodeError:
            fault = Fault("not UTF-8; save the file as UTF-8")
        else:
            if len(cells) <= 1 and not last.strip():  # a quoted empty cell is a row
                continue
            if not header:
                header = _header(cells, line)
            elif len(cells) == len(header):
                yield Place(line), dict(zip(header, cells, strict=True)), size
            else:
                count = f"{len(cells)} cells, but the header has {len(header)}"
                yield Place(line), Fault(f"{count}; quote cells that hold a comma or a line end"), size
            continue
        if not header:
            raise BrokenError(str(fault), Place(line))
        yield Place(line), fault, 0


def _header(cells: list[str], line: int) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if not name or names.count(name) > 1:
            what = f"two columns are called {name!r}" if name else "a column has no name"
            raise BrokenError(f"{what}; the first line names the columns, each differently", Place(line))
    return names

"""The command `ftlab data show`: rows as the model sees them, on the terminal or as a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser

from ftlab.cli.data.settings import open_data, read_settings
from ftlab.errors import FtlabError
from ftlab.report.data_page import write_rows_page
from ftlab.report.row_text import has_colour, legend, row_text
from ftlab.report.shown import show_rows

DESCRIPTION = """\
Show rows as the model sees them, through its chat template and tokenizer: what is learnt in colour (in brackets where
there is no terminal, or NO_COLOR is set), special tokens, white space, weights other than 1.
"""

#: How many rows are shown where none is named, on a terminal and on a page.
FEW, MANY = 3, 100


def show(args: Sequence[str]) -> None:
    """Show rows.

    Raises:
        FtlabError: a setting or a row is at fault, or there is no such row.
    """
    settings = read_settings("show", DESCRIPTION, args, _add_options)
    data = open_data(settings, whole=False)
    splits = data.prepare().rows
    if settings.split not in splits:
        raise FtlabError(f"--split: there are no {settings.split} data; choose one of ({', '.join(splits)})")
    count = len(splits[settings.split])
    numbers = settings.row or list(range(1, min(MANY if settings.html else FEW, count) + 1))
    if wrong := [number for number in numbers if not 1 <= number <= count]:
        raise FtlabError(f"--row: there is no row {wrong[0]}; the {settings.split} data have the rows 1 to {count}")
    shown = show_rows(data, settings.model.load_chat(), settings.split, numbers)
    if settings.html:
        subtitle = {"Model": settings.model.base, "Split": settings.split, "Rows": f"{len(numbers):,} of {count:,}"}
        print(f"page       {write_rows_page(shown, subtitle, Path(settings.html))}")
        return
    colour = has_colour(sys.stdout)
    print(f"{settings.split}: {len(numbers):,} of {count:,} rows, as {settings.model.base} sees them")
    print(legend(colour, settings.tokens))
    for one in shown:
        print(f"\n{row_text(one, colour, settings.tokens)}", end="")


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--row", type=int, nargs="+", default=[], metavar="N", help="Numbers of rows, counted from 1.")
    parser.add_argument(
        "--split", type=Literal["train", "validation", "test"], default="train", help="Which rows, after splitting."
    )
    parser.add_argument("--tokens", action="store_true", help="Draw the bounds of tokens and list them with their ids.")
    parser.add_argument(
        "--html", type=str | None, default=None, metavar="FILE", help="Write a page to this file instead."
    )

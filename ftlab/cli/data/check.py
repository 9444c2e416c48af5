"""The command `ftlab data check`: what is in the data and what is wrong with them, on one screen or as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from ftlab.cli.data.settings import open_data, read_settings, run_epochs
from ftlab.data.quality.leaks import rows_to_drop
from ftlab.exam.generation import render
from ftlab.report.data_page import write_check_page
from ftlab.report.survey import survey
from ftlab.report.survey_text import screen
from ftlab.training.penalty import Penalty

DESCRIPTION = """\
Report on one screen what is in the data and what is wrong with them: lengths, scripts, duplicates, conflicts, empty and
cut off answers, leaks between train, validation, test and exam. Exit code 0 with warnings, 2 where fit would stop.
"""


def check(args: Sequence[str]) -> None:
    """Report on the data.

    Raises:
        FtlabError: a setting or a row is at fault, or there is something at which a run would stop.
    """
    settings = read_settings("check", DESCRIPTION, args, _add_options)
    on_leak = settings.data.on_leak
    data = open_data(settings, whole=False)
    chat = settings.model.load_chat()
    found = survey(data, chat, on_leak)
    print(f"data       as {settings.model.base} sees them, max_length {data.max_length:,}")
    for line in screen(found):
        print(line)
    if settings.html:
        about = {"Model": settings.model.base, "max_length": f"{data.max_length:,}"}
        print(f"page       {write_check_page(found, about, Path(settings.html))}")
    # What follows stops where fit does: at a leak, a question or a row that is refused, a mixture that cannot be made,
    # a source of the regularizer that cannot be learnt.
    rows_to_drop(found.prepared.leaks, on_leak)
    if settings.exam:
        render(data.held_out["exam"], chat)
    data.load(chat, "fit", run_epochs(settings))
    Penalty(settings.regularizer).draw(data, chat)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--html", type=str | None, default=None, metavar="FILE", help="Write a page with all places to this file too."
    )

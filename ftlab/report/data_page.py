"""Data page: rows as the model sees them, and what is wrong with data, as one HTML file. It does not know whence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ftlab.report.html import write_page
from ftlab.report.shown import Shown
from ftlab.report.survey import TRAITS, Survey
from ftlab.report.survey_charts import histograms
from ftlab.report.units import count, share, span

_STYLES = ["page.css", "data.css"]
#: What the leaks do to a run, by `data.on_leak`, in a few words.
NOTICES = {"stop": "A run would stop.", "drop": "Rows were left out.", "warn": "A run would learn held-out questions."}


def write_rows_page(shown: Sequence[Shown], about: Mapping[str, str], file: Path) -> Path:
    """Write a page of rows; pointing at a token tells its position, id and weight.

    Args:
        shown: the examples, in order.
        about: what the page is of, by name.
        file: where to.
    """
    return write_page(file, "rows.html", styles=_STYLES, script="rows.js", shown=shown, about=about)


def write_check_page(survey: Survey, about: Mapping[str, str], file: Path) -> Path:
    """Write a page of what is in the data and what is wrong with them, with histograms and all places.

    Args:
        survey: the numbers.
        about: what the page is of, by name.
        file: where to.
    """
    train = next(iter(survey.descriptions.values()))
    acted, idle = survey.steps
    return write_page(
        file,
        "check.html",
        styles=_STYLES,
        survey=survey,
        about=about,
        train=train,
        limit=train.tokens.limit,
        sides=len(survey.descriptions) + len(survey.held_out),
        charts=histograms(survey),
        leaks=survey.prepared.leaks.found,
        notice=NOTICES[survey.on_leak],
        templates=survey.prepared.leaks.templates,
        steps=[*acted, *idle],
        nothing_found=not any(one.count for split in survey.descriptions for one in survey.found(split).values()),
        traits=TRAITS,
        turns=lambda one: span(one.turns) or "-",
        count=count,
        share=share,
    )

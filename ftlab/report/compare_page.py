"""Compare page: a comparison as one HTML file, with the answers of all runs. It does not know how runs are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ftlab.comparison import Comparison, closing
from ftlab.report.compare_charts import cost_charts, curve_charts, hue
from ftlab.report.compare_table import table
from ftlab.report.html import write_page
from ftlab.report.units import count, short


def write_comparison(comparison: Comparison, file: Path) -> Path:
    """Write the page of a comparison: table, curves, costs, and the answers to each question side by side.

    Args:
        comparison: of one configuration or more.
        file: where to.
    """
    entries = [entry for group in comparison.groups for entry in group.entries]
    about = {"Runs": count(len(entries)), "Configurations": count(len(comparison.groups))}
    return write_page(
        file,
        "compare.html",
        styles=["page.css", "data.css", "compare.css"],
        script="compare.js",
        about=about,
        comparison=comparison,
        closing=closing(comparison),
        table=table(comparison),
        hues=[hue(place) for place in range(len(comparison.groups))],
        curves=curve_charts(comparison),
        costs=cost_charts(comparison),
        answers=_block(answers(comparison) | {"pair": _first_pair(comparison)}),
        asked=any(entry.points for entry in entries),
        short=short,
    )


def answers(comparison: Comparison) -> dict[str, Any]:
    """Return all runs and questions; of each question the texts that were answered, and for each run which, and points.

    Args:
        comparison: whose runs, in their order.
    """
    members = [(group, entry) for group in comparison.groups for entry in group.entries]
    questions: dict[tuple[str, str, str], dict[str, Any]] = {}
    for place, (_, entry) in enumerate(members):
        for answer in entry.sitting.answers if entry.sitting else ():
            found = questions.setdefault(
                (answer.id, answer.question, answer.reference),
                {"texts": {}, "which": [None] * len(members), "points": [None] * len(members)},
            )
            found["which"][place] = found["texts"].setdefault(answer.answer, len(found["texts"]))
            found["points"][place] = answer.points
    return {
        "runs": [f"{group.label}, seed {entry.seed}" for group, entry in members],
        "questions": [
            {"id": id, "question": question, "reference": reference, **found, "texts": list(found["texts"])}
            for (id, question, reference), found in questions.items()
        ],
    }


def _first_pair(comparison: Comparison) -> list[int]:
    """Return the runs that are shown first: one of the first configuration, and one of the next."""
    seeds = len(comparison.groups[0].entries)
    return [0, seeds if len(comparison.groups) > 1 else min(1, seeds - 1)]


def _block(data: dict[str, Any]) -> Markup:
    """Return data as JSON that stands in a page and cannot end its element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))

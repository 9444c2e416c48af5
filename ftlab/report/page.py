"""Page: the report of one run, one HTML file made from the run's folder alone. It does not know how runs are made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftlab.report import curves, facts, questions, units
from ftlab.report.html import write_page
from ftlab.report.intervals import interval_picture
from ftlab.report.results import result

if TYPE_CHECKING:
    from ftlab.runs import Run


def write_report(run: Run) -> Path:
    """Write `report.html` into a run's folder, from what the folder holds so far.

    Args:
        run: a run that has ended, or one under way; it need not have an exam or validation data.

    Returns:
        The file. It needs no other file and no network, and shows the contents of answers as text only.
    """
    summary, config, metrics = run.summary, run.config or {}, run.metrics()
    kept = (f"retention/{name}" for name in summary.get("retention") or {})
    sittings = {exam: run.sittings(exam, steps=False) for exam in dict.fromkeys(["exam", *run.exams(), *kept])}
    results = {exam: result(summary, exam, sat) for exam, sat in sittings.items()}
    before = {exam: found.before for exam, found in results.items() if found.before}
    rows = questions.question_rows(sittings["exam"])
    return write_page(
        run.report_file,
        "page.html",
        styles=["page.css"],
        script="page.js",
        run=run,
        under_way=not summary,
        origin=facts.origin(summary, config),
        exam=results.pop("exam"),
        retention={exam.partition("/")[2]: found for exam, found in results.items() if found.taken},
        interval_picture=interval_picture,
        state=facts.state(summary),
        next_file=run.folder / "next.yaml",
        headlines=facts.headlines(summary, metrics),
        details=facts.details(summary),
        charts=curves.charts(metrics, facts.dig(summary, "best", "step"), before),
        rows=rows,
        group_names=questions.GROUPS,
        counts=questions.count_groups(rows),
        groups=questions.groups,
        change=questions.change,
        config=run.config_file.read_text(encoding="utf-8"),
        grade=questions.grade,
        grade_label=questions.grade_label,
        short=units.short,
    )

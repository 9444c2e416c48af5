"""Compare: the command that holds runs against each other. It reads no run and computes nothing itself."""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftlab.cli.commands import Parser
from ftlab.errors import FtlabError

DESCRIPTION = """Hold runs against each other: what differs in their settings and what came out, runs that differ in
nothing but the seed joined, each configuration tested against the best one, and whether that is shown to be best."""

EPILOG = """RUN is a folder runs/<name>/<stamp>, one above runs (runs/quickstart, a sweep's folder, runs), or a pattern.
The test is paired over questions and over seeds, with Holm's correction for the choice of the best. Points per hour and
per GB are points of the exam gained, for an hour of training and a gigabyte of peak memory.

example: ftlab compare runs/quickstart runs/dora --html compare.html"""


def run_compare(args: Sequence[str]) -> int:
    """Print the comparison, write what was asked for; return the exit code.

    Raises:
        FtlabError: there is no run at a place, or none that could be compared.
    """
    parser = Parser(
        "ftlab compare",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs or above runs, or patterns")
    parser.add_argument("--sort", metavar="KEY", help="figure or setting to sort by, such as seconds (default: exam)")
    parser.add_argument("--html", metavar="FILE", type=Path, help="page with table, curves, costs and all answers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="the comparison as data")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="a row for each run")
    parser.add_argument("--wandb", metavar="PROJECT", nargs="?", const="ftlab", help="log it to W&B (default: ftlab)")
    options = parser.parse_args(args)

    from ftlab.comparison import compare, find_runs, read_entries
    from ftlab.comparison.record import record, rows
    from ftlab.report.compare_table import lines

    comparison = compare(*read_entries(find_runs(options.runs)), sort=options.sort)
    print("\n".join(lines(comparison)))
    if options.html:
        from ftlab.report.compare_page import write_comparison

        print(f"page       {write_comparison(comparison, options.html)}")
    if options.json:
        text = json.dumps(_finite(record(comparison)), indent=2, ensure_ascii=False) + "\n"
        _write(options.json, text)
        print(f"data       {options.json}")
    if options.csv:
        _write_csv(options.csv, rows(comparison))
        print(f"data       {options.csv}")
    if options.wandb:
        from ftlab.report.compare_wandb import track_comparison
        from ftlab.tracking import place_line

        print(place_line(track_comparison(comparison, options.wandb, Path())))
    return 0


def _finite(value: Any) -> Any:
    """Return data without numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FtlabError(f"{file}: cannot be written ({error.strerror}); name another place") from error


def _write_csv(file: Path, found: list[dict[str, Any]]) -> None:
    import io

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    _write(file, text.getvalue())

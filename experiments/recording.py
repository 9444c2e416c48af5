"""Recording: what the comparisons of runs are asked for, and where their results go. It knows no run."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fitting import ROOT


def comparison_parser(description: str | None, home: Path, plot: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every comparison has: seeds, options, folder, results.

    Args:
        description: the script's docstring.
        home: the script's folder, where results go unless said otherwise.
        plot: name of its plot.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 1, 2])
    parser.add_argument("--options", nargs="*", default=[], help="further options of ftlab fit, such as name=value")
    parser.add_argument("--folder", type=Path, default=ROOT, help="a clone of the repository, for its runs/")
    parser.add_argument("--results", type=Path, default=home, help=f"folder for results.json and {plot}")
    return parser


def record(results: dict[str, Any], table: str, folder: Path, readmes: Sequence[Path], mark: str) -> None:
    """Write results.json, print the table, and put it into the READMEs where the results are the recorded ones.

    Args:
        results: by name.
        table: the same in Markdown.
        folder: where results.json goes.
        readmes: the first of which lies in the folder of the recorded results.
        mark: name of the table in the READMEs.
    """
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if folder == readmes[0].parent:
        for readme in readmes:
            put_table(readme, mark, table)
    print(table)


def put_table(readme: Path, mark: str, table: str) -> None:
    """Write a table between `<!-- mark -->` and `<!-- end -->`."""
    place = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->\n)", flags=re.DOTALL)
    text = readme.read_text(encoding="utf-8")
    readme.write_text(place.sub(lambda found: found[1] + table + found[2], text), encoding="utf-8")

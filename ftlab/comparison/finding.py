"""Finding: the folders of runs that paths and patterns mean. It reads none of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from ftlab.errors import FtlabError


def find_runs(places: Iterable[str]) -> list[Path]:
    """Return the folders of runs at some places, each once, in the order of the places and then of their names.

    Args:
        places: a run's folder, a folder above runs (an experiment's, a sweep's, `runs`), or a pattern of such.

    Raises:
        FtlabError: a place holds no run.
    """
    found: dict[Path, Path] = {}
    for place in places:
        matches = [place] if Path(place).exists() else sorted(glob.glob(place, recursive=True))  # noqa: PTH207 - absolute too
        folders = [run for match in matches for run in _below(Path(match))]
        if not folders:
            missing = "there is no such folder" if not matches else "no run in it, that is no config.yaml"
            raise FtlabError(f"{place}: {missing}; name folders runs/<name>/<stamp>, one above them, or a pattern")
        for folder in folders:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    """Return the runs in a folder; runs are not searched, nor is what W&B keeps, which has a config.yaml of its own."""
    runs = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {"wandb"})
        if "config.yaml" in files:
            runs.append(Path(place))
            folders.clear()
    return runs

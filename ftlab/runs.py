"""A run: the folder that holds the truth about one training, and how to open it again. It knows no training loop."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

import ftlab
from ftlab.errors import FtlabError, require
from ftlab.exam.sitting import Sitting


class Run:
    """The folder `runs/<name>/<stamp>/`.

    Holds `config.yaml` (resolved; `fit` takes it again), `metrics.csv`, `exam/*.jsonl` (the answers of each sitting),
    `retention/<name>/*.jsonl` (those of exams of general ability),
    `best/` (the method's own format, for LoRA a plain PEFT folder), `last/` (to resume from), `summary.json`,
    `report.html`, `plugins/` (the sources of those that it used), `examined/<stamp>/` (what `ftlab exam` found later),
    and W&B's files.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def create(cls, name: str, config: dict[str, Any], root: str | Path = "runs") -> Run:
        """Make a new folder, never one that exists: two runs that start at once get two.

        Args:
            name: the experiment's name, the folder's parent.
            config: the resolved settings.
            root: where all runs are kept.
        """
        parts = Path(name).parts
        require(bool(parts) and ".." not in parts and not Path(name).is_absolute(), "name", name, "a name for a folder")
        run = cls(new_folder(Path(root) / name))
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        run.config_file.write_text(f"# ftlab {ftlab.__version__}\n{text}", encoding="utf-8")
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open an existing run.

        Raises:
            FtlabError: the folder is not a run.
        """
        run = cls(folder)
        if not run.config_file.is_file():
            raise FtlabError(f"{folder}: not a run, it has no config.yaml; name a folder runs/<name>/<stamp>")
        return run

    @classmethod
    def newest(cls, name: str, holding: str, root: str | Path = "runs") -> Run:
        """Return the youngest run of a name that holds a file or folder, such as `last/last.ckpt`.

        Raises:
            FtlabError: there is none.
        """
        runs = [cls(folder) for folder in (Path(root) / name).glob("*") if (folder / holding).exists()]
        if not runs:
            raise FtlabError(f"--ckpt_path: no run in {Path(root) / name} has {holding}; give the path of one")
        return max(runs, key=lambda run: run.config_file.stat().st_mtime_ns)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.folder.parent.name

    @property
    def config_file(self) -> Path:
        """The resolved settings."""
        return self.folder / "config.yaml"

    @property
    def best(self) -> Path:
        """Folder of the best weights, in the method's format."""
        return self.folder / "best"

    @property
    def last(self) -> Path:
        """The newest checkpoint, to resume from."""
        return self.folder / "last" / "last.ckpt"

    @property
    def plugins(self) -> Path:
        """Folder of the sources of the plugins that it used."""
        return self.folder / "plugins"

    @property
    def report_file(self) -> Path:
        """The report, one HTML page."""
        return self.folder / "report.html"

    @property
    def config(self) -> dict[str, Any]:
        """The resolved settings."""
        return yaml.load(self.config_file.read_text(encoding="utf-8"), yaml.CSafeLoader)

    @property
    def summary(self) -> dict[str, Any]:
        """What came out, as `write_summary` wrote it; empty while the run is under way."""
        file = self.folder / "summary.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        (self.folder / "summary.json").write_text(text, encoding="utf-8")

    def metrics(self) -> list[dict[str, float]]:
        """Return the logged rows in order, each with `step`, `epoch` and the metrics logged then.

        The history of a run that was resumed comes first. A last line that is still being written is left out.
        """
        rows: list[dict[str, float]] = []
        for file in (self.folder / "history.csv", self.folder / "metrics.csv"):
            if file.is_file():
                with file.open(newline="", encoding="utf-8") as lines, contextlib.suppress(ValueError, TypeError):
                    for row in csv.DictReader(lines):
                        rows.append({key: float(value) for key, value in row.items() if value})
        return rows

    def sitting_file(self, name: str, exam: str = "exam") -> Path:
        """Return the file of a sitting: `before`, `shots-<n>`, `step-<n>` or `after`.

        Args:
            name: of the sitting.
            exam: `exam`, or `retention/<name>`.
        """
        return self.folder / exam / f"{name}.jsonl"

    def exams(self) -> list[str]:
        """Return which exams were sat: `exam`, then each `retention/<name>`."""
        folders = [self.folder / "exam", *sorted((self.folder / "retention").glob("*"))]
        return [str(folder.relative_to(self.folder)) for folder in folders if folder.is_dir()]

    def sittings(self, exam: str = "exam", steps: bool = True) -> dict[str, Sitting]:
        """Return the sittings of an exam by name, in the order in which they were sat.

        Args:
            exam: `exam`, or `retention/<name>`.
            steps: those at steps too; there may be many.
        """
        files = (file for file in (self.folder / exam).glob("*.jsonl") if steps or not file.stem.startswith("step-"))
        ordered = sorted(files, key=lambda file: file.stat().st_mtime_ns)
        return {file.stem: Sitting.read(file) for file in ordered}

    def sitting(self, name: str, exam: str = "exam") -> Sitting | None:
        """Return a sitting of an exam, None where it was not sat."""
        file = self.sitting_file(name, exam)
        return Sitting.read(file) if file.is_file() else None

    def go_on_from(self, old: Run) -> None:
        """Copy what a resumed run goes on from: the best so far, and the history of metrics."""
        if old.best.is_dir():
            shutil.copytree(old.best, self.best)
        if rows := old.metrics():
            with (self.folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
                writer.writeheader()
                writer.writerows(rows)


def new_folder(above: Path) -> Path:
    """Make a folder named by the time, never one that exists.

    Raises:
        FtlabError: a thousand were made within one second.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for suffix in ["", *(f"_{i}" for i in range(2, 1000))]:
        folder = above / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FtlabError(f"{above}: a thousand runs began within one second; wait a moment")

"""Entry: one run as a comparison sees it, read from its folder when first asked for. It compares nothing."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ftlab.comparison.settings import Settings, flatten
from ftlab.diagnosis import Curves, diagnose
from ftlab.errors import FtlabError
from ftlab.exam.sitting import Sitting
from ftlab.exam.statistics import Score
from ftlab.runs import Run

#: What comes of a file that was cut off or written by hand.
_BROKEN = (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError)

#: A question is the same only where its text and its reference are: ids may be line numbers.
Question = tuple[str, str, str]


class Entry:
    """A run, its settings and its figures. Each file is read once, and none before it is needed."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def label(self) -> str:
        """What tells the run from others: `quickstart/2026-11-22_18-24-30`."""
        return "/".join(self.run.folder.resolve().parts[-2:])

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved settings."""
        config = self.run.config
        if not isinstance(config, dict):
            raise FtlabError(f"{self.run.config_file}: no settings in it")
        return config

    @cached_property
    def settings(self) -> Settings:
        """The same under dotted keys."""
        return flatten(self.config)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What came out; empty where the run has not ended."""
        return self.run.summary

    @cached_property
    def metrics(self) -> list[dict[str, float]]:
        """The logged rows."""
        return self.run.metrics()

    @cached_property
    def curves(self) -> Curves:
        """Losses and exam scores over steps."""
        return Curves.of_rows(self.metrics, self.config, self.summary)

    @cached_property
    def state(self) -> str:
        """The state of training, empty where too little was logged to name one."""
        try:
            return diagnose(self.curves).state
        except FtlabError:
            return ""

    @cached_property
    def sitting(self) -> Sitting | None:
        """The exam after training."""
        return self.run.sitting("after")

    @cached_property
    def points(self) -> dict[Question, float]:
        """Points of each question after training."""
        answers = self.sitting.answers if self.sitting else []
        return {(answer.id, answer.question, answer.reference): answer.points for answer in answers}

    @cached_property
    def score(self) -> Score | None:
        """The exam's score after training."""
        exam = self.summary.get("exam")
        if exam and exam.get("after"):
            return Score(**exam["after"], questions=exam["questions"])
        return self.sitting.score if self.points and self.sitting else None

    @cached_property
    def shots(self) -> dict[str, Score]:
        """Scores of the base with so many examples in its prompt."""
        exam = self.summary.get("exam") or {}
        return {n: Score(**score, questions=exam["questions"]) for n, score in (exam.get("shots") or {}).items()}

    @cached_property
    def retention(self) -> dict[str, tuple[Score, Score]]:
        """Scores before and after of each exam of general ability, by name."""
        return {
            name: (Score(**exam["before"], questions=n), Score(**exam["after"], questions=n))
            for name, exam in (self.summary.get("retention") or {}).items()
            for n in [exam["questions"]]
        }

    @property
    def seed(self) -> int:
        """The seed; without one a run takes 0."""
        return self.config.get("seed_everything") or 0

    @property
    def data(self) -> str:
        """Fingerprint of what was learnt; empty where the summary has none."""
        return str((self.summary.get("data") or {}).get("fingerprint") or "")

    @cached_property
    def weights(self) -> str:
        """Fingerprint of the base; empty where it is not known, or made anew from the seed."""
        file = self.run.best / "ftlab.json"
        if self.settings.get("model.from_scratch") or not file.is_file():
            return ""
        return str(json.loads(file.read_text(encoding="utf-8")).get("weights") or "")

    @property
    def version(self) -> str:
        """The version of ftlab that made the run."""
        return str(self.summary.get("ftlab", ""))

    def figure(self, *path: str) -> float | None:
        """Return a number of the summary, None where it is not there or not finite.

        Args:
            path: its keys, such as `seconds`, `train`.
        """
        found: Any = self.summary
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        number = isinstance(found, (int, float)) and not isinstance(found, bool) and np.isfinite(found)
        return float(found) if number else None

    @property
    def tokens(self) -> float | None:
        """Tokens that training has seen, padding not counted."""
        speed, seconds = self.figure("tokens_per_second"), self.figure("seconds", "train")
        return speed * seconds if speed is not None and seconds is not None else None

    def trouble(self) -> str:
        """Read what every comparison needs; return why the run cannot be compared, empty where it can."""
        try:
            settings, summary, points = self.settings, self.summary, self.points
            _ = self.state, self.score, self.retention, self.shots, self.weights, self.data
            if not summary:
                return f"not finished, {self._so_far()}"
        except FtlabError as error:
            return str(error)
        except _BROKEN as error:
            return f"broken ({type(error).__name__}: {' '.join(str(error).split())[:120]})"
        return "its exam has no answers" if settings.get("exam") == "given" and not points else ""

    def _so_far(self) -> str:
        told = [f"step {self.curves.steps:.0f}"]
        told += [f"validation loss {loss:.3g}" for loss in self.curves.validation.finite.values[-1:]]
        return ", ".join([*told, self.state] if self.state else told)


def read_entries(folders: list[Path]) -> tuple[list[Entry], dict[str, str]]:
    """Return the runs that can be compared, and why others cannot be, by their folders.

    Args:
        folders: of runs.
    """
    from tqdm import tqdm

    entries, left_out = [], {}
    for folder in tqdm(folders, "runs", delay=2, leave=False):
        entry = Entry(Run(folder))
        if trouble := entry.trouble():
            left_out[str(folder)] = trouble
        else:
            entries.append(entry)
    return entries, left_out

"""Tracker: the W&B run of a training, as Lightning's logger. It knows no settings of W&B."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class Tracker(Logger):
    """Logs metrics to a W&B run that begins with the first of them.

    A training then takes its first step before W&B is imported and its service started, which takes seconds; one that
    ends before it has logged anything leaves no run behind. Lightning's own logger begins with the Trainer.

    Args:
        start: begins the run and returns it.
        folder: the run's folder.
    """

    def __init__(self, start: Callable[[], Any], folder: Path) -> None:
        super().__init__()
        self._start = start
        self._folder = folder

    @cached_property
    def run(self) -> Any:
        """The W&B run; begins it where nothing has been logged yet."""
        return self._start()

    @property
    def name(self) -> str:
        """What it is called among the Trainer's loggers."""
        return "wandb"

    @property
    def version(self) -> None:
        """None: the folder tells one run from another."""
        return

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row of metrics, under the name for the step that W&B's charts of Lightning know."""
        self.run.log({**metrics, "trainer/global_step": step})

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run begins with all settings."""

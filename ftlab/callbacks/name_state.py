"""NameState: says in a line what state the training is in, whenever that changes. It knows no rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl

from ftlab.callbacks.sit_exam import SitExam
from ftlab.diagnosis import Curves, diagnose, state_line

#: Share of the steps before which nothing is said: a warmup looks like a training that does not begin.
EARLIEST = 0.2


class NameState(pl.Callback):
    """Diagnoses the curves so far after each validation.

    Args:
        rows: returns what was logged so far.
        config: the run's resolved settings.
        exam: what sits the exam of the task, None where there is none.
        tell: gets the line.
    """

    def __init__(
        self,
        rows: Callable[[], Sequence[Mapping[str, float]]],
        config: Mapping[str, Any],
        exam: SitExam | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.rows = rows
        self.exam = exam
        self.config = config
        self.tell = tell
        self.state: str | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the curves; the first process does."""
        early = trainer.global_step < EARLIEST * trainer.estimated_stepping_batches
        if trainer.sanity_checking or early or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        curves = Curves.of_rows(self.rows(), self.config, before=self.exam.before if self.exam else None)
        if not curves.enough:
            return
        diagnosis = diagnose(curves)
        if diagnosis.state != self.state:
            self.state = diagnosis.state
            self.tell(state_line(diagnosis))

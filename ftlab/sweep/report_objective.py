"""ReportObjective: tells a judge the objective at each validation, and stops where it says so. It knows no study."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from ftlab.callbacks.keep_best import KeepBest
from ftlab.callbacks.sit_exam import has_validation
from ftlab.sweep.judge import Judge


class ReportObjective(pl.Callback):
    """Reports while a trial trains.

    Args:
        judge: gets the values.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.validations = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report what was measured."""
        if not trainer.sanity_checking:
            self._report(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Without validation data the end of an epoch takes the validation's place."""
        if not has_validation(trainer):
            self._report(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        [keep] = [callback for callback in trainer.callbacks if isinstance(callback, KeepBest)]  # type: ignore[attr-defined]
        value = keep.metrics(trainer).get(self.judge.objective)
        if value is None:
            return
        self.validations += 1
        stops: Any = None
        if trainer.is_global_zero:
            last = trainer.should_stop or trainer.global_step >= trainer.estimated_stepping_batches
            stops = self.judge.stops(value, self.validations, last)
        trainer.should_stop = trainer.strategy.broadcast(stops) or trainer.should_stop

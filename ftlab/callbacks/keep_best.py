"""KeepBest: writes `best/` at each new best and `last/` always. It knows no method's format and no grading."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from ftlab.callbacks.sit_exam import SitExam, has_validation


class KeepBest(pl.Callback):
    """Keeps the best weights and the newest checkpoint.

    Best is the highest exam score where the exam is sat while training, a tie going to the lower validation loss;
    else, and until the first sitting, the lowest validation loss; else, with nothing to compare by, the newest.

    Args:
        best: folder for the best weights, in the method's own format.
        last: file for the newest checkpoint, with the optimizer's state.
        exam: the exam sat while training, if any.
    """

    def __init__(self, best: Path, last: Path, exam: SitExam | None) -> None:
        self.best = best
        self.last = last
        self.exam = exam if exam is not None and exam.exam.every else None
        self.rank: list[float] | None = None
        self.kept: dict[str, Any] = {}
        self.checks_since = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best so far; keep a checkpoint in mid-epoch too."""
        if trainer.sanity_checking:
            return
        self._compare(trainer, pl_module)
        # At the end of an epoch on_train_epoch_end writes it, with the epoch counted as finished; between accumulated
        # batches there is nothing to resume from, as their gradients are not in a checkpoint.
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if not trainer.is_last_batch and batches % trainer.accumulate_grad_batches == 0:
            trainer.save_checkpoint(self.last, weights_only=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep a checkpoint; without validation data the comparison is made here."""
        if not has_validation(trainer):
            self._compare(trainer, pl_module)
        if not self.kept or self.kept["by"] == "newest":  # nothing was compared yet
            self._keep(trainer, pl_module, "newest", None)
        trainer.save_checkpoint(self.last, weights_only=False)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run compares with."""
        return {"rank": self.rank, "kept": self.kept, "checks_since": self.checks_since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.rank, self.kept = state_dict["rank"], state_dict["kept"]
        self.checks_since = state_dict["checks_since"]
        if not self.best.is_dir():  # resumed from a checkpoint whose best did not come along
            self.rank, self.kept, self.checks_since = None, {}, 0

    def _metrics(self, trainer: pl.Trainer) -> dict[str, float]:
        """Return this validation's exam score and loss; an exam sat at an earlier one does not count."""
        found = {}
        if self.exam is not None and self.exam.latest is not None and self.exam.latest[0] == trainer.global_step:
            found["exam/score"] = self.exam.latest[1]
        if "validation/loss" in trainer.callback_metrics:
            found["validation/loss"] = float(trainer.callback_metrics["validation/loss"])
        return found

    def _compare(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = self._metrics(trainer)
        by = "exam/score" if "exam/score" in metrics else "validation/loss"
        if by not in metrics or (by != "exam/score" and self.kept.get("by") == "exam/score"):
            return
        loss = metrics.get("validation/loss", 0.0)
        # Any sitting beats what was kept by its loss before the first one.
        score = metrics.get("exam/score", 0.0 if self.exam is None else -math.inf)
        rank = [score, -loss if math.isfinite(loss) else -math.inf]
        if self.rank is None or rank > self.rank:
            self.rank, self.checks_since = rank, 0
            self._keep(trainer, pl_module, by, metrics[by], metrics.get("validation/loss"))
        else:
            self.checks_since += 1

    def _keep(
        self, trainer: pl.Trainer, pl_module: Any, by: str, value: float | None, validation_loss: float | None = None
    ) -> None:
        self.kept = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch + 1,
            "by": by,
            "value": value,
            "validation_loss": validation_loss,
        }
        if trainer.is_global_zero:
            # A kill while writing must not cost the old best: it makes way only when the new one is complete.
            fresh, old = self.best.with_name("best.new"), self.best.with_name("best.old")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
            pl_module.save(fresh)
            if self.best.is_dir():
                self.best.rename(old)
            fresh.rename(self.best)
            shutil.rmtree(old, ignore_errors=True)


class StopEarly(pl.Callback):
    """Stops when the best has not been beaten for some checks in a row.

    Args:
        best: what compares.
        patience: checks to wait.
    """

    def __init__(self, best: KeepBest, patience: int) -> None:
        self.best = best
        self.patience = patience
        self.stopped = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the trainer to stop."""
        self._check(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Without validation data, ask here."""
        if not has_validation(trainer):
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self.best.checks_since >= self.patience:
            self.stopped = trainer.should_stop = True

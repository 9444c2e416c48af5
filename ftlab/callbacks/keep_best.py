"""KeepBest: writes `best/` at each new best and `last/` always. It knows no method's format and no grading."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from ftlab.callbacks.condition import LOWER_IS_BETTER, BestRule, Condition
from ftlab.callbacks.sit_exam import SitExam, has_validation
from ftlab.errors import require


class KeepBest(pl.Callback):
    """Keeps the best weights and the newest checkpoint.

    Best is the highest exam score where the exam is sat while training, a tie going to the lower validation loss;
    else, and until the first sitting, the lowest validation loss; else, with nothing to compare by, the newest. A rule
    may name another metric, and a condition without which a checkpoint is kept only as long as none meets it.

    Args:
        best: folder for the best weights, in the method's own format.
        last: file for the newest checkpoint, with the optimizer's state.
        exams: those that are sat while training.
        rule: what decides; None is the exam's score.
    """

    def __init__(self, best: Path, last: Path, exams: Sequence[SitExam] = (), rule: BestRule | None = None) -> None:
        self.best = best
        self.last = last
        self.exams = exams
        self.rule = rule or BestRule("exam/score")
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

    def metrics(self, trainer: pl.Trainer) -> dict[str, float]:
        """Return this validation's scores and losses, in all processes those of the first, so that they decide alike.

        An exam sat at an earlier validation does not count. With several exams of general ability `retention/score` is
        their mean.
        """
        found = {str(name): float(value) for name, value in trainer.callback_metrics.items() if "/score" not in name}
        sat = {e.key: e.latest[1] for e in self.exams if e.latest is not None and e.latest[0] == trainer.global_step}
        return trainer.strategy.broadcast(found | named_scores(sat))

    def before(self) -> dict[str, float]:
        """Return the scores before training, by the same names."""
        return named_scores({e.key: e.before for e in self.exams if e.before is not None})

    def _compare(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics, decides = self.metrics(trainer), self.rule.metric
        by = decides if decides in metrics else "validation/loss"
        if by not in metrics or (by != decides and self.kept.get("by") == decides):
            return
        loss = metrics.get("validation/loss", 0.0)
        # Any value of what decides beats what was kept by its loss before the first one.
        value = _higher_is_better(decides, metrics[decides]) if decides in metrics else -math.inf
        held = True if self.rule.condition is None else self.rule.condition.holds(metrics, self.before())
        surely = 0.5 if held is None else float(held)  # what was not measured may have broken it
        rank = [float(decides in metrics), surely, value, -loss if math.isfinite(loss) else -math.inf]
        if self.rank is None or rank > self.rank:
            self.rank, self.checks_since = rank, 0
            self._keep(trainer, pl_module, by, metrics[by], metrics.get("validation/loss"))
            if self.rule.condition is not None:
                self.kept["condition_held"] = held
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


@dataclass
class EarlyStopping:
    """Stop when the best checkpoint has not been beaten for a while."""

    patience: int = 3
    """Validations in a row without a new best after which training stops."""
    only_while: str | None = None
    """Stop at once when this no longer holds, as in `retention/score >= 0.9 of before`."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.patience >= 1, "early_stopping.patience", self.patience, "1 or more")
        _ = self.condition  # one that says nothing is refused

    @property
    def condition(self) -> Condition | None:
        """What `only_while` says."""
        return Condition.parse(self.only_while, "early_stopping.only_while") if self.only_while else None


class StopEarly(pl.Callback):
    """Stops when the best has not been beaten for some checks in a row, or a condition no longer holds.

    Args:
        best: what compares.
        settings: how long to wait, and the condition.
    """

    def __init__(self, best: KeepBest, settings: EarlyStopping) -> None:
        self.best = best
        self.patience = settings.patience
        self.condition = settings.condition
        self.stopped = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the trainer to stop."""
        self._check(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Without validation data, ask here."""
        if not has_validation(trainer):
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        held = self.condition.holds(self.best.metrics(trainer), self.best.before()) if self.condition else None
        if held is False or self.best.checks_since >= self.patience:
            self.stopped = trainer.should_stop = True


def named_scores(by_exam: dict[str, float]) -> dict[str, float]:
    """Return scores by the names of their metrics."""
    found = {f"{key}/score": value for key, value in by_exam.items()}
    if retained := [value for key, value in by_exam.items() if key.startswith("retention/")]:
        found["retention/score"] = sum(retained) / len(retained)
    return found


def _higher_is_better(metric: str, value: float) -> float:
    lower = not LOWER_IS_BETTER.isdisjoint(metric.split("/"))
    return (-value if lower else value) if math.isfinite(value) else -math.inf

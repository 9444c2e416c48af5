"""SitExam: sits the exam before training and at validations, keeps the answers. It knows no grading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from ftlab.exam.exam import Exam
from ftlab.exam.sitting import Sitting


class SitExam(pl.Callback):
    """Sits an exam with the model in training.

    Args:
        exam: the exam.
        file: names the file for the answers of a sitting (`before`, `step-180`, `after`).
        tell: gets one line about each sitting.
    """

    def __init__(self, exam: Exam, file: Callable[[str], Path], tell: Callable[[str], None] = print) -> None:
        self.exam = exam
        self.file = file
        self.tell = tell
        self.validations = 0
        self.latest: tuple[int, float] | None = None  # step and score of the newest sitting at a validation
        self.seconds = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sit the exam with the untrained model; a resumed run has done so."""
        if trainer.global_step == 0:
            self.sit(pl_module, "before")

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sit the exam where it is due, and log its score."""
        if not trainer.sanity_checking:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Without validation data the end of an epoch takes the validation's place."""
        if not has_validation(trainer):
            self._check(trainer, pl_module)

    def sit(self, pl_module: Any, name: str) -> Sitting:
        """Sit the exam now and keep the answers under a name."""
        start = perf_counter()
        sitting = self.exam.sit(pl_module.model, pl_module.chat, title=f"exam {name}")
        rank_zero_only(sitting.write)(self.file(name))
        self.tell(f"exam       {name}: {sitting.score} of 100")
        self.seconds += perf_counter() - start
        return sitting

    def _check(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.exam.every:
            return
        self.validations += 1
        if self.validations % self.exam.every == 0:
            score = self.sit(pl_module, f"step-{trainer.global_step}").score
            self.latest = (trainer.global_step, score.score)
            scores = {"exam/score": score.score, "exam/low": score.low, "exam/high": score.high}
            pl_module.log_dict({**scores, "step": float(trainer.global_step)})

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run goes on from."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.validations = state_dict["validations"]


def has_validation(trainer: pl.Trainer) -> bool:
    """Return whether this run validates while it trains; Lightning looks at the data only when a validation is due."""
    return trainer.enable_validation and "validation" in trainer.datamodule.examples  # type: ignore[attr-defined]

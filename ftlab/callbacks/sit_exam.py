"""SitExam: sits an exam with the base and at validations, keeps the answers. It knows no grading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from ftlab.data.chat import Chat
from ftlab.data.rows import Row
from ftlab.exam.exam import Exam
from ftlab.exam.sitting import Sitting, few_shot_name


class SitExam(pl.Callback):
    """Sits an exam with the model in training.

    Args:
        exam: the exam.
        file: names the file for the answers of a sitting (`before`, `shots-4`, `step-180`, `after`).
        tell: gets one line about each sitting.
        key: what its metrics are called, `exam` or `retention/<name>`.
    """

    def __init__(
        self, exam: Exam, file: Callable[[str], Path], tell: Callable[[str], None] = print, key: str = "exam"
    ) -> None:
        self.exam = exam
        self.file = file
        self.tell = tell
        self.key = key
        self.validations = 0
        self.latest: tuple[int, float] | None = None  # step and score of the newest sitting at a validation
        self.before: float | None = None
        self.seconds = 0.0

    @property
    def state_key(self) -> str:
        """Tell several exams of one run apart in a checkpoint."""
        return f"SitExam {self.key}"

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sit the exam where it is due, and log its score."""
        if not trainer.sanity_checking:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Without validation data the end of an epoch takes the validation's place."""
        if not has_validation(trainer):
            self._check(trainer, pl_module)

    def sit_base(self, base: Any, chat: Chat, identity: str, examples: Sequence[Row]) -> None:
        """Sit the exam with the base, and with examples in its prompt where the exam asks for them.

        Args:
            base: the model before the method is applied.
            chat: its chat rendering.
            identity: a hash of what the base is and how it was loaded; its answers are kept under it.
            examples: rows to draw examples from.
        """
        for shots in dict.fromkeys([0, *self.exam.shots]):
            sitting = self._sit(base, chat, few_shot_name(shots), shots, examples, identity)
            if not shots:
                self.before = sitting.score.score

    def sit(self, pl_module: Any, name: str) -> Sitting:
        """Sit the exam now and keep the answers under a name."""
        return self._sit(pl_module.model, pl_module.chat, name)

    def _sit(
        self, model: Any, chat: Chat, name: str, shots: int = 0, examples: Sequence[Row] = (), key: str | None = None
    ) -> Sitting:
        start = perf_counter()
        sitting = self.exam.sit(model, chat, f"{self.key} {name}", shots, examples, key)
        rank_zero_only(sitting.write)(self.file(name))
        self.tell(f"{self.key:10} {name}: {sitting.score} of 100")
        self.seconds += perf_counter() - start
        return sitting

    def _check(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.exam.every:
            return
        self.validations += 1
        if self.validations % self.exam.every == 0:
            score = self.sit(pl_module, f"step-{trainer.global_step}").score
            self.latest = (trainer.global_step, score.score)
            scores = {"score": score.score, "low": score.low, "high": score.high}
            logged = {f"{self.key}/{name}": value for name, value in scores.items()}
            pl_module.log_dict({**logged, "step": float(trainer.global_step)})

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run goes on from."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.validations = state_dict["validations"]


def has_validation(trainer: pl.Trainer) -> bool:
    """Return whether this run validates while it trains; Lightning looks at the data only when a validation is due."""
    return trainer.enable_validation and "validation" in trainer.datamodule.examples  # type: ignore[attr-defined]

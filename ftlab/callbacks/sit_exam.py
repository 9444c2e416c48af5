"""SitExam: sits an exam with the base and at validations, keeps the answers. It knows no grading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl

from ftlab.callbacks.first_process import by_the_first
from ftlab.callbacks.memory import peak_bytes, reset_peak
from ftlab.data.chat import Chat
from ftlab.data.rows import Row
from ftlab.exam.exam import Exam
from ftlab.exam.sitting import Sitting, UngradedError, few_shot_name


class SitExam(pl.Callback):
    """Sits an exam with the model in training; of several processes the first one sits it, and all know its score.

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
        self.peak_bytes = 0

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

        Raises:
            UngradedError: a grader gave up.
        """

        def sit() -> float:
            each = dict.fromkeys([0, *self.exam.shots])
            sat = {n: self._sit(base, chat, few_shot_name(n), n, examples, identity) for n in each}
            return sat[0].score.score

        self.before = by_the_first(sit)

    def sit(self, pl_module: Any, name: str) -> Sitting:
        """Sit the exam now and keep the answers under a name.

        Raises:
            UngradedError: a grader gave up.
        """
        return self._sit(pl_module.model, pl_module.chat, name)

    def sit_or_go_on(self, pl_module: Any, name: str) -> Sitting | None:
        """Sit the exam, and where a grader gives up keep the ungraded answers: hours of training must not end by it."""
        try:
            return self.sit(pl_module, name)
        except UngradedError as error:
            file = error.write(self.file(name))
            self.tell(f"{self.key:10} {name}: not graded ({error}); the answers are kept in {file}")
            return None

    def _sit(
        self, model: Any, chat: Chat, name: str, shots: int = 0, examples: Sequence[Row] = (), key: str | None = None
    ) -> Sitting:
        start = perf_counter()
        reset_peak()
        try:
            sitting = self.exam.sit(model, chat, f"{self.key} {name}", shots, examples, key)
        finally:
            self.peak_bytes = max(self.peak_bytes, peak_bytes())
            self.seconds += perf_counter() - start
        sitting.write(self.file(name))
        self.tell(f"{self.key:10} {name}: {sitting.score} of 100")
        return sitting

    def _check(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.exam.every:
            return
        self.validations += 1
        if self.validations % self.exam.every == 0:
            sitting = by_the_first(lambda: self.sit_or_go_on(pl_module, f"step-{trainer.global_step}"))
            if sitting is None:
                return
            score = sitting.score
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

"""Meter: tokens per second, time and memory of training. It knows nothing of losses."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import lightning.pytorch as pl

from ftlab.callbacks.memory import peak_bytes, reset_peak
from ftlab.training.figures import log_figures


class Meter(pl.Callback):
    """Measures the training alone: validations and exams stop the clock, and their memory is not counted."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seconds = 0.0
        self.peak_bytes = 0
        self.peak_is_alone = True  # false where the system keeps but one peak, that of loading and exams too
        self._running_since: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the tokens of this rank's batch, padding not counted, and log."""
        self.tokens += int(batch["attention_mask"].sum())
        self._read_clock()
        logs = trainer.global_step % max(1, trainer.log_every_n_steps) == 0  # type: ignore[attr-defined]
        if logs or trainer.is_last_batch or trainer.global_step == trainer.max_steps:  # before an exam counts anew
            self.peak_bytes = max(self.peak_bytes, peak_bytes())
        if logs:
            speed = self.tokens_per_second(trainer)
            log_figures(pl_module, {"train/tokens_per_second": speed, "memory/peak_bytes": float(self.peak_bytes)})

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._read_clock()
        self.peak_bytes = max(self.peak_bytes, peak_bytes())
        self._running_since = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again."""
        self._start()

    def tokens_per_second(self, trainer: pl.Trainer) -> float:
        """Return real tokens of all devices per second of training."""
        return self.tokens * trainer.world_size / self.seconds if self.seconds else 0.0

    def memory(self, exams: Sequence[int]) -> dict[str, Any]:
        """Return the peak of training, and that of the exams, where the system tells them apart.

        Args:
            exams: the peak of each.
        """
        if not self.peak_is_alone:
            return {"peak_bytes": self.peak_bytes, "peak_of": "all", "exam_bytes": None}
        return {"peak_bytes": self.peak_bytes, "peak_of": "training", "exam_bytes": max(exams, default=None)}

    def _start(self) -> None:
        self.peak_is_alone = reset_peak()
        self._running_since = perf_counter()

    def _read_clock(self) -> None:
        now = perf_counter()
        if self._running_since is not None:
            self.seconds += now - self._running_since
            self._running_since = now

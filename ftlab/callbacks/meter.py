"""Meter: tokens per second, time and memory of training. It knows nothing of losses."""

from __future__ import annotations

import resource
import sys
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import torch


class Meter(pl.Callback):
    """Measures the training alone: validations and exams stop the clock."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seconds = 0.0
        self._running_since: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._running_since = perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the tokens of this rank's batch, padding not counted, and log."""
        self.tokens += int(batch["attention_mask"].sum())
        self._read_clock()
        if trainer.global_step % max(1, trainer.log_every_n_steps) == 0:  # type: ignore[attr-defined]
            pl_module.log("train/tokens_per_second", self.tokens_per_second(trainer))
            pl_module.log("memory/peak_bytes", float(peak_bytes()))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._read_clock()
        self._running_since = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again."""
        self._running_since = perf_counter()

    def tokens_per_second(self, trainer: pl.Trainer) -> float:
        """Return real tokens of all devices per second of training."""
        return self.tokens * trainer.world_size / self.seconds if self.seconds else 0.0

    def _read_clock(self) -> None:
        now = perf_counter()
        if self._running_since is not None:
            self.seconds += now - self._running_since
            self._running_since = now


def peak_bytes() -> int:
    """Return the largest memory so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

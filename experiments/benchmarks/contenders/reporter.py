"""Reporter: measures a run of `ftlab fit` from inside, as a callback that its YAML names."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from meter import Meter


class Reporter(pl.Callback):
    """Prints what the meter of every contender prints.

    Args:
        warmup: First steps, which are not measured.
        threads: Threads of PyTorch.
    """

    def __init__(self, warmup: int = 4, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self.meter = Meter(warmup)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the model, and at the memory before the run's own meter lets the peak begin anew."""
        self.meter.model(pl_module)
        self.meter.look()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> None:
        """Count the batch."""
        self.meter.batch(batch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step."""
        self.meter.step(float(outputs["loss"]))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print."""
        self.meter.report(["torch", "transformers", "peft", "lightning", "ftlab"])

"""Overhead reporter: a callback of `ftlab fit` that takes each step once more, bare, and counts both in CPU seconds."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import lightning.pytorch as pl
import torch


class OverheadReporter(pl.Callback):
    """Holds each step of a run against the same step without Lightning, callbacks, logging and loader.

    Both take their turn in one process: forward, backward, clipping and AdamW on the same batch. The bare one comes
    first at every other step, for kernels are prepared for each new length by whoever comes first.

    Args:
        warmup: First steps, which are not measured.
    """

    def __init__(self, warmup: int = 20) -> None:
        self.warmup = warmup
        self.optimizer: torch.optim.Optimizer
        self.began = 0.0
        self.whole: list[float] = []
        self.bare: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make an optimizer for the bare steps that moves nothing far, of the kind that the run has."""
        trained = [parameter for parameter in pl_module.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-9, weight_decay=0.0, fused=True)
        self.began = time.process_time()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> None:
        """Take the bare step first, at every other step."""
        if batch_idx % 2:
            self.take(pl_module, batch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> None:
        """End the run's step; take the bare one now if it was not taken before."""
        whole = time.process_time() - self.began
        if batch_idx % 2:
            whole -= self.bare[-1]
        else:
            self.take(pl_module, batch)
        self.whole.append(whole)
        self.began = time.process_time()

    def take(self, module: Any, batch: dict[str, torch.Tensor]) -> None:
        """Take a bare step, and count it."""
        begin = time.process_time()
        (module.way.losses(batch).total / batch["step_tokens"]).backward()
        torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.bare.append(time.process_time() - begin)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the medians of both, and of their difference in either order, in seconds a step."""
        pairs = list(zip(self.whole, self.bare, strict=True))[self.warmup :]
        rest = [whole - bare for whole, bare in pairs]
        found = {
            "steps": len(pairs),
            "whole": statistics.median(whole for whole, _ in pairs),
            "bare": statistics.median(bare for _, bare in pairs),
            "overhead": (statistics.median(rest[::2]) + statistics.median(rest[1::2])) / 2,
        }
        print("\n" + json.dumps(found), flush=True)

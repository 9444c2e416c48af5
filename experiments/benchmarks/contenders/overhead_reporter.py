"""Overhead reporter: a callback of `ftlab fit` that takes each step once more, bare, and counts both in CPU seconds."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch


class OverheadReporter(pl.Callback):
    """Holds each step of a run against the same step without Lightning, callbacks, logging and loader.

    Both take their turn in one process: forward, backward, clipping and AdamW on the same batch. The bare one comes
    first at every other step, for kernels are prepared for each new length by whoever comes first. Figures are means of
    the steps from one row of the logs to the next, of which the median is taken, so that writing the row counts.

    Args:
        warmup: First steps, which are not measured.
    """

    def __init__(self, warmup: int = 20) -> None:
        self.warmup = warmup
        self.optimizer: torch.optim.Optimizer
        self.began = 0.0
        self.seconds: dict[str, list[float]] = {"whole": [], "bare": []}
        self.parts: dict[str, list[float]] = {"loader": [], "figures": [], "loggers": [], "progress bar": []}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Make an optimizer for the bare steps that moves nothing far, of the kind that the run has."""
        trained = [parameter for parameter in pl_module.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-9, weight_decay=0.0, fused=True)
        for seconds in self.parts.values():
            seconds.append(0.0)
        self.count("loader", trainer.train_dataloader, "_collate")
        self.count("figures", pl_module, "on_before_optimizer_step")
        self.count("progress bar", trainer.progress_bar_callback, "on_train_batch_end")
        for logger in trainer.loggers:
            self.count("loggers", logger, "log_metrics")
            self.count("loggers", logger, "save")
        self.began = time.process_time()

    def count(self, part: str, owner: Any, name: str) -> None:
        """Count a method's seconds among those of a part of the run."""
        method: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            begin = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self.parts[part][-1] += time.process_time() - begin

        setattr(owner, name, counted)

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
            whole -= self.seconds["bare"][-1]
        else:
            self.take(pl_module, batch)
        self.seconds["whole"].append(whole)
        for seconds in self.parts.values():
            seconds.append(0.0)
        self.began = time.process_time()

    def take(self, module: Any, batch: dict[str, torch.Tensor]) -> None:
        """Take a bare step, and count it."""
        begin = time.process_time()
        self.optimizer.zero_grad()
        (module.way.losses(batch).total / batch["step_tokens"]).backward()
        torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
        self.optimizer.step()
        self.seconds["bare"].append(time.process_time() - begin)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print seconds a step: of both, of what is neither computation nor loader, and of parts."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        rest = [whole - bare for whole, bare in zip(*self.seconds.values(), strict=True)]
        parts = {name: self.median(seconds[:-1], every) for name, seconds in self.parts.items()}
        found = {
            "steps": len(rest) - self.warmup,
            **{name: self.median(seconds, every) for name, seconds in self.seconds.items()},
            "overhead": self.median(rest, every) - parts["loader"],
            "parts": parts,
        }
        print("\n" + json.dumps(found), flush=True)

    def median(self, seconds: Sequence[float], every: int) -> float:
        """Return the median of the means of so many steps each, the first steps left out."""
        begins = range(self.warmup, len(seconds) - every + 1, every)
        return statistics.median(statistics.mean(seconds[begin : begin + every]) for begin in begins)

"""Seldom: what Lightning does at every step though nobody sees it, done seldom or not at all. It knows no run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.profilers import PassThroughProfiler

#: Seconds between two pictures of the bar.
INTERVAL = 0.5

#: Hooks of a step, which few callbacks have.
STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


class SeldomBar(TQDMProgressBar):
    """Lightning's progress bar, which draws itself twice at every step however short; this one twice a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the bar if it is time."""
        now, bar = monotonic(), self.train_progress_bar
        bar.n = batch_idx + 1
        if now >= self._next or bar.n == bar.total:
            self._next = now + INTERVAL
            bar.set_postfix(self.get_metrics(trainer, pl_module))

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return what the bar shows, without the number of a logger's version, which runs do not have."""
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown


class NoProfiler(PassThroughProfiler):
    """Lightning's profiler that measures nothing, without making a context for each of 60 actions a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Return a context that does nothing."""
        return self._nothing


class SeldomChecked(pl.LightningModule):
    """A module that does not look for parameters in the name of the hook, which Lightning sets 40 times a step."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        put = object.__setattr__ if name == "_current_fx_name" else pl.LightningModule.__setattr__
        put(self, name, value)


def without_idle_hooks(callback: pl.Callback) -> pl.Callback:
    """Return a callback whose hooks of a step that do nothing are None, which Lightning leaves out.

    It looks each of them up and calls it, for every callback at every step.
    """
    for hook in STEP_HOOKS:
        if hook not in vars(callback) and getattr(type(callback), hook, None) is getattr(pl.Callback, hook):
            setattr(callback, hook, None)
    return callback

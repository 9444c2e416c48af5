"""Trainer: Lightning's, with ftlab's defaults and its own checkpoints and batch plan. It knows no run."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import TQDMProgressBar

from ftlab.errors import FtlabError, SettingError
from ftlab.training.checkpoint_io import SafeCheckpointIO
from ftlab.training.epoch_loop import EpochLoop

#: Trainer settings that differ from Lightning's own defaults.
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 3,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": 0,  # the exam before training already shows that evaluation works
    "enable_model_summary": False,
}

#: Beginnings of the names of strategies under which no process holds the whole model.
_SHARDED = ("fsdp", "deepspeed", "model_parallel", "modelparallel")


def make_trainer(options: dict[str, Any], loggers: list[Any], callbacks: list[pl.Callback]) -> pl.Trainer:
    """Return Lightning's Trainer with ftlab's defaults, epoch loop, loggers and callbacks beside the user's own.

    Raises:
        SettingError: the strategy spreads one copy of the weights over devices.
        FtlabError: Lightning refuses a setting.
    """
    strategy = options.get("strategy")
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    if name.lower().startswith(_SHARDED):
        reason = f"{name} spreads the weights over devices, which methods, checkpoints and exams cannot do; take ddp"
        raise SettingError("trainer.strategy", reason)
    bar = [TQDMProgressBar()] if options.get("enable_progress_bar") is not False else []
    own = {
        "logger": [*loggers, *_as_list(options.get("logger"))],
        "callbacks": [*callbacks, *bar, *_as_list(options.get("callbacks"))],
        "plugins": [SafeCheckpointIO(), *_as_list(options.get("plugins"))],
        "enable_checkpointing": False,  # KeepBest does it
        "use_distributed_sampler": False,  # the batch plan does it
    }
    try:
        trainer = pl.Trainer(**TRAINER_DEFAULTS | options | own)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise FtlabError(f"trainer: {str(error).strip().splitlines()[0]}") from error
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, min_steps=trainer.min_steps, max_steps=trainer.max_steps)
    return trainer


def _as_list(value: Any) -> list[Any]:
    """Return what the Trainer takes as one object, a list, or (for loggers) a truth value."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, bool) else [value]

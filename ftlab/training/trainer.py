"""Trainer: Lightning's, with ftlab's defaults and its own checkpoints and batch plan. It knows no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ftlab.errors import FtlabError, SettingError
from ftlab.training.checkpoint_io import SafeCheckpointIO
from ftlab.training.epoch_loop import EpochLoop
from ftlab.training.seldom import NoProfiler, SeldomBar, without_idle_hooks

#: Trainer settings that differ from Lightning's own defaults.
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 3,
    "log_every_n_steps": 10,
    "num_sanity_val_steps": 0,  # the exam before training already shows that evaluation works
    "enable_model_summary": False,
}

#: Beginnings of the names of strategies under which no process holds the whole model.
_SHARDED = ("fsdp", "deepspeed", "model_parallel", "modelparallel")


def make_trainer(
    options: dict[str, Any], loggers: list[Any], callbacks: list[pl.Callback], folder: Path | None = None
) -> pl.Trainer:
    """Return Lightning's Trainer with ftlab's defaults, epoch loop, loggers and callbacks beside the user's own.

    Args:
        options: the user's, by Lightning's names.
        loggers: of ftlab.
        callbacks: likewise.
        folder: where a profiler writes what it found, if it is not told another one.

    Raises:
        SettingError: the strategy spreads one copy of the weights over devices.
        FtlabError: Lightning refuses a setting.
    """
    strategy = options.get("strategy")
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    if name.lower().startswith(_SHARDED):
        reason = f"{name} spreads the weights over devices, which methods, checkpoints and exams cannot do; take ddp"
        raise SettingError("trainer.strategy", reason)
    bar = [SeldomBar()] if options.get("enable_progress_bar") is not False else []
    own = {
        "logger": [*loggers, *_as_list(options.get("logger"))],
        "callbacks": [without_idle_hooks(each) for each in (*callbacks, *bar, *_as_list(options.get("callbacks")))],
        "plugins": [SafeCheckpointIO(), *_as_list(options.get("plugins"))],
        "profiler": options.get("profiler") or NoProfiler(),
        "enable_checkpointing": False,  # KeepBest does it
        "use_distributed_sampler": False,  # the batch plan does it
    }
    try:
        trainer = pl.Trainer(**TRAINER_DEFAULTS | options | own)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise FtlabError(f"trainer: {str(error).strip().splitlines()[0]}") from error
    if folder is not None:
        profiler: Any = trainer.profiler  # type: ignore[attr-defined]
        profiler.dirpath = profiler.dirpath or folder
        profiler.filename = profiler.filename or "profile"
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, min_steps=trainer.min_steps, max_steps=trainer.max_steps)
    return trainer


def _as_list(value: Any) -> list[Any]:
    """Return what the Trainer takes as one object, a list, or (for loggers) a truth value."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, bool) else [value]

"""Tell: prints what a run does, a line for each stage. It decides nothing."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from ftlab.training.packed import parameter_counts

#: Rows left out that are named on the screen; the run's folder lists all of them.
NAMED_DROPS = 3


class Tell(pl.Callback):
    """Prints the model, and what is left out of the data, before the first step."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Print what the run trains."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        free, total = parameter_counts(pl_module.model)
        tell(f"model      {pl_module.base.base}: {pl_module.method.title} trains {free:,} of {total:,} parameters")
        if note := pl_module.way.note:
            tell(f"speed      {note}")
        profiler: Any = trainer.profiler  # type: ignore[attr-defined]
        if not isinstance(profiler, PassThroughProfiler):
            tell(f"profile    is written to {profiler.dirpath} when training ends")
        left_out = data.left_out()
        for fault in left_out[:NAMED_DROPS]:
            tell(f"dropped    {fault}")
        if (more := len(left_out) - NAMED_DROPS) > 0:
            tell(f"dropped    and {more} more, listed in the run's folder")


@rank_zero_only
def tell(line: str) -> None:
    """Print a line without tearing a progress bar; of several processes the first one speaks."""
    tqdm.write(line)

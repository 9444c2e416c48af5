"""Figures: logs what a step measures, at the cost of an assignment. It knows no metric and no logger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch


def log_figures(module: pl.LightningModule, figures: Mapping[str, Any], prog_bar: str | None = None) -> None:
    """Log figures of a training step as `LightningModule.log` does, which takes half a millisecond for each.

    It describes a figure anew and moves the description to a device whenever it is logged. Here it does so at the first
    step of an epoch; then the figure alone is replaced, wherever Lightning shows it.

    Args:
        module: whose hook, or a callback's, is running.
        figures: numbers or tensors of one element, by name.
        prog_bar: name of the one that the progress bar shows.
    """
    known: dict[str, Any] = module.trainer.fit_loop._results
    for name, figure in figures.items():
        held = known.get(f"{module._current_fx_name}.{name}")
        if held is None or held.has_reset:
            module.log(name, figure, prog_bar=name == prog_bar, on_step=True, on_epoch=False)
        else:
            held._forward_cache = torch.as_tensor(figure, dtype=torch.float32).detach()

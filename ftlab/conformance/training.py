"""Checks of whole trainings: it learns, a resumed run is the same run, the best checkpoint is what was examined."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from ftlab.conformance.bench import BATCH, RATES, ROWS, Bench
from ftlab.conformance.findings import hold
from ftlab.data.module import ChatData
from ftlab.exam.exam import Exam
from ftlab.experiment import Experiment
from ftlab.methods.base import trainable
from ftlab.runs import Run
from ftlab.tracking import WandB
from ftlab.training.optimizer import Optimizer
from ftlab.training.tuner import FineTuner

#: Steps within which a method must have learnt eight rows by heart.
STEPS = 300


def it_learns_by_heart(bench: Bench) -> str:
    """At one of the usual learning rates, the loss of eight rows falls below a tenth."""
    tried = []
    for rate in RATES:
        losses = bench.train(bench.tuner(rate=rate), STEPS, enough=0.1)
        tried.append(f"{losses[0]:.2f} to {losses[-1]:.2f} in {len(losses)} steps at {rate:g}")
        if losses[-1] <= 0.1 * losses[0]:
            return tried[-1]
    return hold(False, "; ".join(tried))


def resumed_is_uninterrupted(bench: Bench) -> str:
    """A run resumed after its first epoch ends with the weights and the optimizer of one left alone, bit for bit."""
    whole = _fit(bench, "whole", callbacks=[_KeepFirst(bench.folder / "first")])
    resumed = _fit(bench, "resumed", resume=bench.folder / "first" / "x" / "last" / "last.ckpt")
    first, second = (torch.load(run.last, weights_only=True) for run in (whole, resumed))
    steps = 2 * ROWS // BATCH
    hold(first["global_step"] == second["global_step"] == steps, f"{second['global_step']} of {steps} steps")
    wrong = _differences(first["state_dict"], second["state_dict"])
    hold(not wrong, f"{wrong[0] if wrong else ''} differs after resuming")
    wrong = _differences(first["optimizer_states"], second["optimizer_states"])
    hold(not wrong, f"the optimizer's {wrong[0] if wrong else ''} differs after resuming")
    size, trained = whole.last.stat().st_size, sum(p.numel() * 4 for p in trainable(bench.trained.model).values())
    return hold(size <= 4 * trained + 100_000, f"bit-equal after {steps} steps; checkpoint of {size:,} bytes")


def best_is_what_was_examined(bench: Bench) -> str:
    """The exam after training, with the best weights loaded from disk, has the answers of the sitting at that step."""
    run = _fit(bench, "examined")
    step = run.summary["best"]["step"]
    after, then = run.sitting("after"), run.sitting(f"step-{step}")
    assert after is not None
    assert then is not None
    same = sum(a == b for a, b in zip(after.answers, then.answers, strict=True))
    return hold(same == len(then.answers), f"{same} of {len(then.answers)} answers equal those at step {step}")


class _KeepFirst(pl.Callback):
    """Keeps the run as it was after the first epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the run's folder."""
        if trainer.current_epoch == 0:
            [run] = Path("runs/whole").iterdir()
            shutil.copytree(run, self.folder / "x")


def _fit(bench: Bench, name: str, resume: Path | None = None, callbacks: list[Any] | None = None) -> Run:
    """Do a whole run of two epochs in the bench's folder, without a word."""
    tuner = FineTuner(bench.base, bench.method, Optimizer(lr=RATES[0]), seed=0)
    data = ChatData(str(bench.chats), str(bench.chats), batch_size=BATCH)
    exam = Exam(str(bench.chats), max_new_tokens=8, limit=BATCH)
    experiment = Experiment(tuner, data, exam, wandb=WandB(mode="off"), name=name)
    trainer = {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
    with contextlib.chdir(bench.folder), contextlib.redirect_stdout(io.StringIO()):
        run = experiment.fit({**trainer, "callbacks": callbacks or []}, resume=resume)
        return Run(run.folder.resolve())


def _differences(first: Any, second: Any, place: str = "") -> list[str]:
    """Return the places at which two nested structures of tensors and numbers differ."""
    if isinstance(first, torch.Tensor):
        return [] if isinstance(second, torch.Tensor) and torch.equal(first, second) else [place]
    if isinstance(first, dict):
        if not isinstance(second, dict) or first.keys() != second.keys():
            return [place]
        return [p for key in first for p in _differences(first[key], second[key], f"{place}.{key}".strip("."))]
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            return [place]
        pairs = enumerate(zip(first, second, strict=True))
        return [p for i, pair in pairs for p in _differences(*pair, f"{place}.{i}".strip("."))]
    return [] if first == second else [place]

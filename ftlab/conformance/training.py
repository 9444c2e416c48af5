"""Checks of whole trainings: it learns, a resumed run is the same run, the best checkpoint is what was examined."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from ftlab.conformance.bench import BATCH, RATES, ROWS, Bench, largest_difference
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
    """At one of the usual learning rates, the loss of eight rows falls below a tenth, and each answer is the row's.

    The answers are eight letters, so a method that does not see the questions knows one of them at most.
    """
    tried = []
    for rate in RATES:
        tuner = bench.tuner(rate=rate)

        def learnt(share: float, model: Any = tuner.model) -> bool:
            return share <= 0.1 and bench.known(model) == BATCH

        losses = bench.train(tuner, STEPS, enough=learnt)
        course = f"{losses[0]:.2f} to {losses[-1]:.2f} in {len(losses)} steps at {rate:g}"
        tried.append(f"{course}, {bench.known(tuner.model)} of {BATCH} answers")
        if learnt(losses[-1] / losses[0]):
            return tried[-1]
    return hold(False, "; ".join(tried))


def resumed_is_uninterrupted(bench: Bench) -> str:
    """A run resumed in or after its first epoch ends with the weights and the optimizer of one left alone, bit for bit.

    Dropout, where the method has some, is part of that.
    """
    steps, place = 2 * ROWS // BATCH, bench.folder / "places"
    whole = _fit(bench, "whole", callbacks=[_KeepPlaces(place)], val_check_interval=2)
    first = torch.load(whole.last, weights_only=True)
    for name, said in (("epoch", "after an epoch"), ("middle", "in mid-epoch")):
        resumed = _fit(bench, name, resume=place / name / "x" / "last" / "last.ckpt", val_check_interval=2)
        second = torch.load(resumed.last, weights_only=True)
        hold(first["global_step"] == second["global_step"] == steps, f"{second['global_step']} of {steps} steps")
        wrong = _differences(first["state_dict"], second["state_dict"])
        hold(not wrong, f"{wrong[0] if wrong else ''} differs after resuming {said}")
        wrong = _differences(first["optimizer_states"], second["optimizer_states"])
        hold(not wrong, f"the optimizer's {wrong[0] if wrong else ''} differs after resuming {said}")
    size, trained = whole.last.stat().st_size, sum(p.numel() * 4 for p in trainable(bench.trained.model).values())
    return hold(size <= 4 * trained + 100_000, f"bit-equal after {steps} steps; checkpoint of {size:,} bytes")


def best_is_what_was_examined(bench: Bench) -> str:
    """The best weights, loaded from disk onto new ones of another seed, are those that sat the exam at that step.

    Answers are equal, and so are logits, which tell also where all answers are alike.
    """
    notes = _NoteLogits(bench)
    run = _fit(bench, "examined", callbacks=[notes])
    step = run.summary["best"]["step"]
    after, then = run.sitting("after"), run.sitting(f"step-{step}")
    assert after is not None
    assert then is not None
    fresh = bench.tuner(seed=1)
    new = bench.logits(fresh.model)
    fresh.load(run.best)
    loaded, noted = bench.logits(fresh.model), notes.at[step]
    again = _exam(bench).sit(fresh.model, fresh.chat)
    for sitting, said in ((again, "loaded afresh"), (after, "loaded after training")):
        same = sum(a == b for a, b in zip(sitting.answers, then.answers, strict=True))
        count = len(then.answers)
        hold(same == count, f"of the best weights, {said}, {same} of {count} answers equal those at step {step}")
    hold(largest_difference(new, noted) > 0, "training changed no logit, so nothing is shown")
    difference = largest_difference(loaded, noted) / float(noted.abs().max())
    kinds = len({answer.answer for answer in then.answers})
    figure = f"{count} answers ({kinds} different) equal those at step {step}"
    return hold(difference <= 1e-5, f"{figure}; logits of the best weights differ by {difference:.1e} of the largest")


class _KeepPlaces(pl.Callback):
    """Keeps the run as it was in the middle of the first epoch, after a validation, and after that epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Copy the run's folder before the last batch of the first epoch, and before the first one of the second."""
        place = {(0, ROWS // BATCH - 1): "middle", (1, 0): "epoch"}.get((trainer.current_epoch, batch_idx))
        if place:
            [run] = Path("runs/whole").iterdir()
            shutil.copytree(run, self.folder / place / "x")


class _NoteLogits(pl.Callback):
    """Notes the logits at each validation by step."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.at: dict[int, torch.Tensor] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Compute them."""
        self.at[trainer.global_step] = self.bench.logits(pl_module.model)


def _exam(bench: Bench) -> Exam:
    return Exam(str(bench.chats), max_new_tokens=8, limit=BATCH)


def _fit(
    bench: Bench, name: str, resume: Path | None = None, callbacks: list[Any] | None = None, **trainer: Any
) -> Run:
    """Do a whole run of two epochs in the bench's folder, without a word."""
    tuner = FineTuner(bench.base, bench.method, Optimizer(lr=RATES[0]), seed=0)
    data = ChatData(str(bench.chats), str(bench.chats), batch_size=BATCH, on_leak="warn")  # learnt by heart on purpose
    experiment = Experiment(tuner, data, _exam(bench), wandb=WandB(mode="off"), name=name)
    trainer |= {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
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

"""Experiment: the whole way of one run, from settings to a summary. It joins the stages and does none of their work."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

import ftlab
from ftlab.callbacks.condition import BestRule
from ftlab.callbacks.keep_best import EarlyStopping, KeepBest, StopEarly
from ftlab.callbacks.meter import Meter
from ftlab.callbacks.name_state import NameState
from ftlab.callbacks.tell import Tell, tell
from ftlab.config import describe
from ftlab.data.module import ChatData
from ftlab.errors import FtlabError, SettingError
from ftlab.exam.exam import Exam
from ftlab.examination import Examination
from ftlab.plugins import keep
from ftlab.report.opening import opening
from ftlab.report.page import write_report
from ftlab.report.row_text import has_colour
from ftlab.runs import Run
from ftlab.summary import closing_lines, describe_data, describe_state, weights_bytes
from ftlab.tracking import WandB, track_results
from ftlab.training.base import Base
from ftlab.training.optimizer import Optimizer
from ftlab.training.packed import parameter_counts
from ftlab.training.row_packing import require_packable
from ftlab.training.speed import Speed
from ftlab.training.trainer import TRAINER_DEFAULTS, make_trainer
from ftlab.training.tuner import FineTuner

#: Arguments of the Trainer that are live objects in Python, which no YAML can hold.
LIVE_OBJECTS = ("callbacks", "logger", "plugins", "profiler", "strategy")

#: Tells the processes of further devices where the run's folder is.
FOLDER_VARIABLE = "FTLAB_RUN_FOLDER"


@dataclass
class Experiment:
    """Everything that one run is made of."""

    tuner: FineTuner
    data: ChatData
    exam: Exam | None = None
    early_stopping: EarlyStopping | None = None
    wandb: WandB | None = None
    name: str = "run"
    retention: dict[str, Exam] | None = None
    best: str | None = None
    memorisation: int = 50

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing."""
        self.examination = Examination(self.exam, self.retention or {}, self.memorisation)
        self.best_rule = BestRule.parse(self.best) if self.best else None
        self.examination.require_known(self.best_rule.metrics if self.best_rule else [], "best")
        if self.early_stopping and (condition := self.early_stopping.condition):
            self.examination.require_known([condition.metric], "early_stopping.only_while")

    def fit(self, trainer: dict[str, Any], config: dict[str, Any] | None = None, resume: Path | None = None) -> Run:
        """Fine-tune, keep the best, sit the exam before and after, write the report; return the run.

        Args:
            trainer: arguments of Lightning's Trainer.
            config: resolved settings for `config.yaml`; None takes them from the objects.
            resume: checkpoint of an earlier run to go on from.
        """
        start = perf_counter()
        pl.seed_everything(self.tuner.seed or 0, workers=True, verbose=False)
        config = config or self.describe(trainer)
        if int(os.environ.get("WORLD_SIZE", 1)) > 1 and FOLDER_VARIABLE not in os.environ:
            raise FtlabError("trainer.devices: start ftlab once; it starts a process for each device itself")
        # Faults in the Trainer's settings, the data or the questions show before a folder or a model is made.
        tried = make_trainer(trainer, loggers=[], callbacks=[])
        epochs = tried.max_epochs if tried.max_steps < 0 else None
        self.tuner.base.require_compilable()
        if self.data.packing:
            require_packable(self.tuner.method)
        self.examination.check(self.data, self.tuner.chat)
        self.data.load(self.tuner.chat, "fit", epochs)
        self.examination.examples(self.data)
        run = self._run(config, resume)

        sits = self.examination.callbacks(run, tell)
        self.tuner.on_base = partial(self.examination.examine_base, sits, self.tuner, self.data)
        keep = KeepBest(run.best, run.last, sits, self.best_rule)
        stop = StopEarly(keep, self.early_stopping) if self.early_stopping else None
        meter, state = (
            Meter(),
            NameState(run.metrics, config, sits[0] if self.exam else None, tell),
        )
        tags = [self.tuner.method.title, self.tuner.base.base]
        old = resume.parent.parent if resume else None
        tracker = (self.wandb or WandB()).start(run.folder, self.name, config, tags, old) if not _rank() else None
        lightning = make_trainer(
            trainer,
            loggers=[CSVLogger(str(run.folder), name="", version=""), *([tracker] if tracker else [])],
            callbacks=[*sits, *(callback for callback in (keep, stop, meter, Tell(), state) if callback)],
            folder=run.folder,
        )
        try:
            lightning.fit(self.tuner, datamodule=self.data, ckpt_path=resume, weights_only=True)
        except ValueError as error:
            if "val_check_interval" not in str(error):
                raise
            raise SettingError(
                "trainer.val_check_interval",
                f"an epoch has fewer than {lightning.val_check_interval} batches; take fewer, a share such as 0.5, or "
                "set trainer.check_val_every_n_epoch to null to count batches over all epochs",
            ) from error
        except SystemExit:
            if not lightning.interrupted:
                raise
            raise KeyboardInterrupt from None  # which Lightning turns into an exit with code 1
        fit_seconds = perf_counter() - start

        if not lightning.is_global_zero:
            return run
        self.tuner.model.to(lightning.strategy.root_device)
        self.tuner.load(run.best)
        for sit in sits:
            sit.sit_or_go_on(self.tuner, "after")
        trainable, total = parameter_counts(self.tuner.model)
        summary: dict[str, Any] = {
            "name": self.name,
            "ftlab": ftlab.__version__,
            "base": self.tuner.base.base,
            "method": self.tuner.method.title,
            "seed": self.tuner.seed,
            "resumed_from": str(resume) if resume else None,
            **self.examination.outcome(run),
            "memorisation": self.examination.memorised(self.tuner, self.data),
            "best": keep.kept,
            "parameters": {"trainable": trainable, "total": total},
            "adapter_bytes": weights_bytes(run.best),
            "data": describe_data(self.data),
            "steps": lightning.global_step,
            "epochs": lightning.current_epoch,
            "stopped_early": bool(stop and stop.stopped),
            "seconds": {
                "fit": fit_seconds,
                "train": meter.seconds,
                "exam": sum(sit.seconds for sit in sits),
                "total": perf_counter() - start,
            },
            "tokens_per_second": meter.tokens_per_second(lightning),
            "memory": meter.memory([sit.peak_bytes for sit in sits]),
        }
        self._finish(run, summary, tracker)
        return run

    def _run(self, config: dict[str, Any], resume: Path | None) -> Run:
        """Make the run's folder; the processes that Lightning starts for further devices join it."""
        if _rank():
            return Run(os.environ[FOLDER_VARIABLE])
        run = Run.create(self.name, config)
        os.environ[FOLDER_VARIABLE] = str(run.folder)
        if left_out := self.data.left_out():
            (run.folder / "dropped.txt").write_text("\n".join(left_out) + "\n", encoding="utf-8")
        tell(f"run        {run.folder}")
        for line in opening(self.data, self.tuner.chat, colour=has_colour(sys.stdout)):
            tell(line)
        data = self.data
        parts = (data.format, data.clean, data.train, data.validation, data.test, data.replay)
        keep([self.tuner.method, self.tuner.regularizer, self.exam, self.retention, *parts], run.plugins)
        if resume:
            run.go_on_from(Run(resume.parent.parent))
            tell(f"resumed    {resume}")
        return run

    def describe(self, trainer: dict[str, Any]) -> dict[str, Any]:
        """Return the settings as `config.yaml` holds them and `ftlab fit` takes them."""
        return {
            "name": self.name,
            "seed_everything": self.tuner.seed,
            "model": describe(self.tuner.base, known=Base),
            "method": describe(self.tuner.method),
            "optimizer": describe(self.tuner.optimizer, known=Optimizer),
            "regularizer": describe(self.tuner.regularizer),
            "speed": describe(self.tuner.speed, known=Speed),
            "data": describe(self.data, known=ChatData),
            "exam": describe(self.exam, known=Exam),
            "retention": {name: describe(exam, known=Exam) for name, exam in (self.retention or {}).items()} or None,
            "best": self.best,
            "memorisation": self.memorisation,
            "early_stopping": describe(self.early_stopping, known=EarlyStopping),
            "wandb": describe(self.wandb or WandB(), known=WandB),
            "trainer": describe({k: v for k, v in (TRAINER_DEFAULTS | trainer).items() if k not in LIVE_OBJECTS}),
        }

    def _finish(self, run: Run, summary: dict[str, Any], tracker: Any) -> None:
        """Write what remains of the run, and print it."""
        summary["diagnosis"] = describe_state(run.metrics(), run.config, summary, run.folder)
        summary["wandb"] = {"mode": "off"}
        if tracker:
            exams = {exam: run.sittings(exam) for exam in run.exams()}
            summary["wandb"] = track_results(tracker, summary, exams, run.best, asdict(self.tuner.identity))
        run.write_summary(summary)
        write_report(run)
        for line in closing_lines(summary, run.folder):
            tell(line)


def fit(
    tuner: FineTuner,
    data: ChatData,
    *,
    exam: Exam | None = None,
    early_stopping: EarlyStopping | None = None,
    wandb: WandB | None = None,
    name: str = "run",
    retention: dict[str, Exam] | None = None,
    best: str | None = None,
    memorisation: int = 50,
    **trainer: Any,
) -> Run:
    """Do from Python what `ftlab fit` does: fine-tune, keep the best, sit the exam, write the report.

    Args:
        tuner: base, method and optimizer.
        data: training and validation data.
        exam: the questions that decide which checkpoint is best; without an exam the validation loss does.
        early_stopping: when to stop waiting for a better one; None never stops early.
        wandb: Weights & Biases; None takes its defaults.
        name: folder below `runs/`.
        retention: exams of what the base could do before, by name.
        best: what decides which checkpoint is best, such as `exam/score if retention/score >= 0.9 of before`.
        memorisation: training questions that are changed and asked, to see whether answers come back; 0 asks none.
        trainer: arguments of Lightning's Trainer, such as `max_epochs`.
    """
    return Experiment(tuner, data, exam, early_stopping, wandb, name, retention, best, memorisation).fit(trainer)


def _rank() -> int:
    """Return which of the run's processes this is; known before the Trainer is made."""
    return getattr(rank_zero_only, "rank", None) or 0

"""Evaluation: a run's best weights on data, exam and prompts. It trains nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftlab.callbacks.sit_exam import SitExam
from ftlab.callbacks.tell import tell
from ftlab.data.rows import read_rows
from ftlab.errors import require
from ftlab.exam.exam import Exam
from ftlab.exam.generation import generate
from ftlab.experiment import Experiment
from ftlab.runs import Run
from ftlab.training.trainer import make_trainer


def load_best(experiment: Experiment, run: Run) -> None:
    """Put a run's best weights into the experiment's model."""
    experiment.tuner.configure_model()
    experiment.tuner.method.load(experiment.tuner.model, run.best)


def evaluate(experiment: Experiment, run: Run, stage: str, trainer: dict[str, Any]) -> dict[str, float]:
    """Measure the best weights: `validate` the loss, `test` the exam too; keep the figures in `<stage>.json`.

    Args:
        experiment: the settings.
        run: whose best weights.
        stage: `validate` or `test`.
        trainer: arguments of Lightning's Trainer.
    """
    if stage == "validate":
        require(
            experiment.data.validation is not None, "data.validation", None, "a file of chats to measure the loss on"
        )
    load_best(experiment, run)
    tuner = experiment.tuner
    lightning = make_trainer(trainer, loggers=[], callbacks=[])
    figures: dict[str, float] = {}
    if experiment.data.validation is not None:
        [figures] = getattr(lightning, stage)(tuner, datamodule=experiment.data, verbose=False)
    if stage == "test" and experiment.exam is not None:
        tuner.model.to(lightning.strategy.root_device)
        score = SitExam(experiment.exam, run.sitting_file, tell).sit(tuner, "test").score
        figures |= {"exam/score": score.score, "exam/low": score.low, "exam/high": score.high}
    for key, value in figures.items():
        tell(f"{key:24} {value:.4f}")
    (run.folder / f"{stage}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def predict(experiment: Experiment, run: Run, prompts: str, output: Path, trainer: dict[str, Any]) -> None:
    """Answer every prompt of a file with the best weights.

    Args:
        experiment: the settings; the exam's hold for the length and the batches of the answers.
        run: whose best weights.
        prompts: JSONL file of chats; a closing assistant turn is left out of the prompt.
        output: JSONL file to write: each chat's keys and `answer`.
        trainer: arguments of Lightning's Trainer, which chooses the device.
    """
    rows = read_rows(prompts)
    load_best(experiment, run)
    tuner = experiment.tuner
    tuner.model.to(make_trainer(trainer, loggers=[], callbacks=[]).strategy.root_device)
    limits = experiment.exam or Exam(questions=prompts)  # its defaults for length and batches
    asked = [tuner.chat.prompt(row.prompt) for row in rows]
    answers = generate(tuner.model, tuner.chat, asked, limits.max_new_tokens, limits.batch_size)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8") as file:
        for row, answer in zip(rows, answers, strict=True):
            file.write(json.dumps({**row.extra, "messages": row.messages, "answer": answer}, ensure_ascii=False) + "\n")
    tell(f"answers    {len(rows)} written to {output}")

"""Evaluation: a run's best weights on data, exam and prompts. It trains nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

import ftlab
from ftlab.callbacks.sit_exam import SitExam
from ftlab.callbacks.tell import tell
from ftlab.data.rows import Row
from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError, require
from ftlab.exam.exam import Exam
from ftlab.exam.generation import Generation, generate, render
from ftlab.exam.harness import Harness, Measures, compare_measures
from ftlab.exam.ways import describe_ways
from ftlab.experiment import Experiment
from ftlab.runs import Run, new_folder
from ftlab.tracking import WandB, track_exam
from ftlab.training.identity import Identity
from ftlab.training.share import shareable, shared_copy
from ftlab.training.trainer import make_trainer
from ftlab.training.tuner import FineTuner


def load_best(experiment: Experiment, run: Run) -> None:
    """Put a run's best weights into the experiment's model."""
    experiment.tuner.load(run.best)


def evaluate(experiment: Experiment, run: Run, stage: str, trainer: dict[str, Any]) -> dict[str, float]:
    """Measure the best weights: `validate` the loss, `test` the exam too; keep the figures in `<stage>.json`.

    Args:
        experiment: the settings.
        run: whose best weights.
        stage: `validate` or `test`.
        trainer: arguments of Lightning's Trainer.
    """
    held_out = experiment.data.prepare(stage).rows.keys() & {"validation", "test"}
    if stage == "validate":
        require("validation" in held_out, "data.validation", None, "a file of chats to measure the loss on")
    lightning = make_trainer(trainer, loggers=[], callbacks=[])
    with lightning.strategy.root_device:  # packed weights are made where they are used; their scales do not move
        load_best(experiment, run)
    tuner = experiment.tuner
    figures: dict[str, float] = {}
    if held_out:
        [figures] = getattr(lightning, stage)(tuner, datamodule=experiment.data, verbose=False)
        figures.pop("step", None)  # of the Trainer, which has trained nothing here
    if not lightning.is_global_zero:
        return figures
    if stage == "test" and experiment.exam is not None:
        tuner.model.to(lightning.strategy.root_device)
        score = SitExam(experiment.exam, run.sitting_file, tell).sit(tuner, "test").score
        figures |= {"exam/score": score.score, "exam/low": score.low, "exam/high": score.high}
    for key, value in figures.items():
        tell(f"{key:24} {value:.4f}")
    (run.folder / f"{stage}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def examine(
    experiment: Experiment,
    root: Path,
    trainer: dict[str, Any],
    run: Run | None = None,
    harness: Harness | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Sit the exams with the base, with examples in its prompt and with a run's best weights; train nothing.

    Args:
        experiment: the settings.
        root: folder to make a folder in for the answers and for `exam.json`, named by the time.
        trainer: arguments of Lightning's Trainer, which chooses the device.
        run: whose best weights; None asks only the base.
        harness: standard benchmarks to sit besides.

    Returns:
        The folder, and what came out, as it stands in `exam.json`.

    Raises:
        RefusedError: the weights were trained on another base.
        FtlabError: a question cannot be read, asked or graded, or there are too few examples.
    """
    start = perf_counter()
    examination, tuner, data = experiment.examination, experiment.tuner, experiment.data
    examination.check(data, tuner.chat)
    examination.examples(data)  # faults in the data show before a model is loaded
    measured: dict[str, Measures] = {}
    size = experiment.exam.batch_size if experiment.exam else Generation().batch_size
    with _device(trainer) as device:  # as a training loads it, so that both find each other's answers
        base = tuner.load_base().to(device)
        if run:
            Identity.read(run.best).require(tuner.identity, str(run.best))
        kept = Run(new_folder(root))
        sits = examination.callbacks(kept, tell)
        examination.examine_base(sits, tuner, data, base)
        if harness:
            measured["before"] = harness.sit(base, tuner.chat.tokenizer, size)
        if run:
            tuner.load(run.best, base)
    if run:
        tuner.model.to(device)
        for sit in sits:
            sit.sit(tuner, "after")
        if harness:
            measured["after"] = harness.sit(tuner.model, tuner.chat.tokenizer, size)
    found = {
        "ftlab": ftlab.__version__,
        "run": str(run.folder) if run else None,
        "base": tuner.base.base,
        "method": tuner.method.title if run else None,
        "exams": {
            name: {"grader": type(exam.graders[0]).__name__} | describe_ways(kept.sittings(name), name != "exam")
            for name, exam in examination
        },
        "harness": compare_measures(**measured) if harness else None,
        "seconds": perf_counter() - start,
        "settings": experiment.describe(trainer),
    }
    found["wandb"] = _track(experiment, kept, found)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    (kept.folder / "exam.json").write_text(text, encoding="utf-8")
    return kept.folder, found


def _track(experiment: Experiment, kept: Run, found: dict[str, Any]) -> dict[str, Any]:
    """Log what came out as a W&B run of its own, by the names that a training's has; return where it can be found."""
    settings = experiment.wandb or WandB()
    tags = [tag for tag in (found["method"], found["base"]) if tag]
    name = f"{experiment.name}/exam/{kept.folder.name}"
    run = settings.open("exam", kept.folder, name, experiment.name, found["settings"], tags)
    if run is None:
        return {"mode": "off"}
    told = {key: found[key] for key in ("ftlab", "run", "base", "method", "harness", "seconds")}
    summary = {"name": experiment.name, **told, **experiment.examination.outcome(kept)}
    return track_exam(run, summary, {exam: kept.sittings(exam) for exam in kept.exams()})


def predict(experiment: Experiment, run: Run, prompts: str, output: Path, trainer: dict[str, Any]) -> None:
    """Answer every prompt of a file with the best weights.

    Args:
        experiment: the settings; the exam's hold for the length and the batches of the answers.
        run: whose best weights.
        prompts: file of chats in the format of the data; a closing assistant turn is left out of the prompt.
        output: JSONL file to write: each chat's keys and `answer`.
        trainer: arguments of Lightning's Trainer, which chooses the device.
    """
    rows = read_rows(prompts, experiment.data.format, need_answer=False)
    with _device(trainer) as device:
        load_best(experiment, run)
    experiment.tuner.model.to(device)
    answers = _answer(experiment.tuner, rows, experiment.exam, "answers")
    _write(output, rows, [{"answer": answer} for answer in answers])


def predict_each(
    experiment: Experiment, adapters: dict[Run, FineTuner], prompts: str, output: Path, trainer: dict[str, Any]
) -> None:
    """Answer every prompt of a file with each of several runs' best weights, on one base that is loaded once.

    Args:
        experiment: the settings of the base; the exam's hold for the length and the batches of the answers.
        adapters: the runs, with their methods.
        prompts: file of chats in the format of the data; a closing assistant turn is left out of the prompt.
        output: JSONL file to write: each chat's keys and `answers` by the run's folder.
        trainer: arguments of Lightning's Trainer, which chooses the device.

    Raises:
        RefusedError: the runs were trained on different bases, or on another than the settings name.
        FtlabError: the runs load their base differently.
    """
    rows = read_rows(prompts, experiment.data.format, need_answer=False)
    _require_one_base(adapters)
    shared = experiment.tuner
    with _device(trainer) as device:
        base = shareable(shared.load_base().to(device))
    answers = {}
    for run, tuner in adapters.items():
        start = perf_counter()
        tuner.chat, tuner.identity = shared.chat, shared.identity
        tuner.load(run.best, shared_copy(base))
        tuner.model.to(base.device)  # what the method added
        tell(f"adapter    {run.folder}   swapped in {perf_counter() - start:.2f} s")
        answers[str(run.folder)] = _answer(tuner, rows, experiment.exam, str(run.folder))
        tuner.model = None
    by_row = zip(*answers.values(), strict=True)
    _write(output, rows, [{"answers": dict(zip(answers, texts, strict=True))} for texts in by_row])


def _require_one_base(adapters: dict[Run, FineTuner]) -> None:
    """Refuse runs that cannot share a base, before it is loaded."""
    (first, tuner), *others = adapters.items()
    for run, other in others:
        Identity.read(first.best).require(
            Identity.read(run.best), str(first.folder), f"{run.folder} on", "give runs of one base"
        )
        if _loading(tuner) != _loading(other):
            both = " and ".join(f"{type(t.method).__name__} on {t.base.dtype}" for t in (tuner, other))
            raise FtlabError(
                f"--adapters: {first.folder} and {run.folder} load their base differently ({both}); ask them one by one"
            )


def _loading(tuner: FineTuner) -> str:
    return repr((tuner.base.dtype, tuner.method.load_kwargs()))


def _device(trainer: dict[str, Any]) -> torch.device:
    return make_trainer(trainer, loggers=[], callbacks=[]).strategy.root_device


def _answer(tuner: FineTuner, rows: Sequence[Row], exam: Exam | None, title: str) -> list[str]:
    settings = replace(exam.generation, samples=1) if exam else Generation()
    answers = generate(tuner.model, tuner.chat, render(rows, tuner.chat), settings, title)
    return [answer for [answer] in answers]


def _write(output: Path, rows: Sequence[Row], results: Sequence[dict[str, Any]]) -> None:
    """Write each chat with what was answered."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", encoding="utf-8") as file:
        for row, result in zip(rows, results, strict=True):
            file.write(json.dumps({**row.extra, "messages": row.messages, **result}, ensure_ascii=False) + "\n")
    tell(f"answers    {len(rows)} written to {output}")

"""Harness: standard benchmarks, sat through EleutherAI's lm-evaluation-harness. It knows no grader and no run."""

from __future__ import annotations

import copy
import difflib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftlab.errors import FtlabError
from ftlab.exam.generation import evaluation_mode
from ftlab.exam.outcome import describe_score
from ftlab.exam.statistics import difference, score, verdict

INSTALL = "pip install 'ftlab[harness]'"

#: The harness' own, which chooses examples: so published figures are made.
SEED = 1234


@dataclass(frozen=True)
class Measure:
    """One metric of one task."""

    value: float
    """As the harness reports it, over all questions."""
    points: list[float] = field(default_factory=list)
    """By question, from 0 to 1; empty where the metric is no mean of such points, or of a group of tasks."""
    higher_is_better: bool = True


#: By `task metric`, such as `hellaswag acc_norm`.
Measures = dict[str, Measure]


class Harness:
    """Tasks of the harness, with their data.

    The prompts are the tasks' own, without the chat template, as published figures are made.

    Args:
        tasks: their names, those of groups of tasks, or YAML files of tasks.
        limit: take only the first questions of each.

    Raises:
        FtlabError: the library is not installed, there is no such task, or its data cannot be fetched.
    """

    def __init__(self, tasks: Sequence[str], limit: int | None = None) -> None:
        try:
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise FtlabError(f"--harness needs the library lm_eval; install it with: {INSTALL}") from error
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self.tasks = list(tasks)
        self.limit = limit
        # The harness' own tasks are 14,000 files, which take ten seconds to list.
        self.manager = TaskManager(include_defaults=not all(Path(task).is_file() for task in tasks))
        for task in self.tasks:
            if not Path(task).is_file() and task not in self.manager.all_tasks:
                near = difflib.get_close_matches(task, self.manager.all_tasks, n=3)
                meant = f"did you mean {' or '.join(near)}?" if near else "lm-eval ls tasks lists all"
                raise FtlabError(f"--harness: there is no task {task}; {meant}")
            try:
                self.manager.load([task])
            except OSError as error:
                reason = _first_line(error)
                raise FtlabError(
                    f"--harness: the data of {task} cannot be fetched ({reason}); fetch them where there is a network, "
                    "or name a YAML file of a task with data of your own"
                ) from error
            except Exception as error:  # a task is a program of its own
                raise FtlabError(
                    f"--harness: {task} cannot be loaded ({type(error).__name__}: {_first_line(error)})"
                ) from error

    def sit(self, model: Any, tokenizer: Any, batch_size: int) -> Measures:
        """Let a model sit all tasks.

        Args:
            model: a causal language model of transformers (or peft's), on its device.
            tokenizer: the model's.
            batch_size: texts looked at together.

        Raises:
            FtlabError: a task cannot be done by it.
        """
        from lm_eval import evaluate
        from lm_eval.models.huggingface import HFLM

        loaded = self.manager.load(self.tasks)  # anew, for a task keeps its answers
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed=SEED)
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
        random.seed(SEED)
        np.random.seed(SEED)
        torch.manual_seed(SEED)
        try:
            with evaluation_mode(model):
                own = copy.deepcopy(tokenizer)  # which may be given a padding token
                lm = HFLM(pretrained=model, tokenizer=own, batch_size=batch_size)
                found: Any = evaluate(lm, loaded, limit=self.limit, bootstrap_iters=0)
        except ValueError as error:
            raise FtlabError(f"--harness: {_first_line(error)}") from error
        return _measures(found)


def compare_measures(before: Measures, after: Measures | None = None) -> dict[str, dict[str, Any]]:
    """Return what the base and the tuned model reached in each task, as data.

    A metric that is a mean of points gets a score of 100 with its interval, and where there are two models the verdict.

    Args:
        before: of the base.
        after: of the tuned model; None where only the base was asked.
    """
    result = {}
    for name, base in before.items():
        told: dict[str, Any] = {"questions": len(base.points) or None, "before": _told(base)}
        if after is not None:
            told["after"] = _told(after[name])
            if base.higher_is_better and len(base.points) == len(after[name].points) > 0:
                told["verdict"] = str(verdict(difference(base.points, after[name].points)))
        result[name] = told
    return result


def _told(measure: Measure) -> dict[str, float]:
    return describe_score(score(measure.points)) if measure.points else {"value": measure.value}


def _measures(found: dict[str, Any]) -> Measures:
    """Return the metrics of the harness' result, whose keys are `acc,none`: the metric, and the filter of answers."""
    measures = {}
    for task, results in found["results"].items():
        better = found["higher_is_better"].get(task, {})
        for key, value in results.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, (int, float)):
                continue
            name = f"{task} {metric}" + (f" ({filtered})" if filtered != "none" else "")
            samples = [one for one in found["samples"].get(task, []) if one["filter"] == filtered]
            samples.sort(key=lambda one: one["doc_id"])
            points = [one.get(metric) for one in samples]
            measures[name] = Measure(float(value), _mean_of(points, value), bool(better.get(metric, True)))
    return measures


def _mean_of(points: list[Any], value: float) -> list[float]:
    """Return points between 0 and 1 of which the value is the mean; nothing where it is not."""
    numbers = [float(point) for point in points if isinstance(point, (bool, int, float)) and 0 <= point <= 1]
    mean = len(numbers) == len(points) > 0 and abs(sum(numbers) / len(numbers) - value) < 1e-6
    return numbers if mean else []


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]

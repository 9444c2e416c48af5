"""Sweep check: the settings of all trials read as `fit` reads them, before any begins. It starts none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from ftlab.cli.resolved import Resolved
from ftlab.cli.sweep_file import SweepFile
from ftlab.comparison.settings import flatten
from ftlab.data.module import ChatData
from ftlab.data.preparation import with_prepared_folder
from ftlab.errors import FtlabError, SettingError, choices_help
from ftlab.experiment import Experiment
from ftlab.sweep.settings import Sweep


def as_options(settings: dict[str, Any]) -> list[str]:
    """Return settings as options of fit."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]


def define(sweep: Sweep, source: SweepFile | None, base: Sequence[str]) -> dict[str, Any]:
    """Read the settings of a run with all values that they may take, so that a fault shows before the first trial.

    Returns:
        All that decides what a trial comes to.
    """
    first = None
    for settings in tqdm(sweep.probes, "settings", delay=2, leave=False):
        try:
            found = Resolved([*base, *as_options(settings)])
        except FtlabError as error:
            raise _located(str(error), settings, source) from error
        require_objective(sweep, found.experiment, found.trainer_options)
        first = first or found
    assert first is not None
    searched = tuple(f"{key}." for key in sweep.domains)
    config = {key: value for key, value in flatten(first.settings_of_run).items() if not f"{key}.".startswith(searched)}
    ignored = ("name", "plugins", "config")
    return {
        "space": {key: domain.describe() for key, domain in sweep.domains.items()},
        "objective": sweep.objective,
        "direction": sweep.direction,
        "sampler": sweep.sampler,
        **{key: value for key, value in config.items() if key not in ignored and not key.startswith("wandb")},
    }


def _located(message: str, settings: dict[str, Any], source: SweepFile | None) -> FtlabError:
    """Return a fault of a setting of the space with its line in the sweep's file.

    A value of the space wins over what a config says there, so a fault within one is the space's too.
    """
    for key in (part.removeprefix("--") for part in message.split(": ")[:2]):
        if source and any(f"{key}.".startswith(f"{own}.") for own in settings):
            return source.fault(f"space.{key}", message.partition(f"{key}: ")[2])
    return FtlabError(message)


def require_objective(sweep: Sweep, experiment: Experiment, trainer: Mapping[str, Any]) -> None:
    """Refuse an objective that no run would measure, or that a pruner would never see.

    Args:
        sweep: its settings.
        experiment: a run of it.
        trainer: the run's arguments of the Trainer.

    Raises:
        SettingError: with the nearest name.
    """
    exams = {f"{key}/{name}": exam.every for key, exam in experiment.examination for name in ("score", "low", "high")}
    if retained := [exam.every for key, exam in experiment.examination if key != "exam"]:
        exams["retention/score"] = min(retained)
    held_out = ["validation/loss", "validation/perplexity"]
    validates = _validates(experiment.data) and trainer.get("limit_val_batches") != 0
    known = [*exams, *(held_out if validates else []), "train/loss", "train/gradient_norm", "train/tokens_per_second"]
    known += [*(["train/penalty"] if experiment.tuner.regularizer else []), "memory/peak_bytes"]
    sourced = ("train/loss/", "lr/", *(["validation/loss/"] if validates else []))  # what follows shows only in a run
    foreign = bool(trainer.get("callbacks")) and not sweep.objective.startswith(("exam/", "retention/", "validation/"))
    if sweep.objective not in known and not sweep.objective.startswith(sourced) and not foreign:
        why = choices_help(sweep.objective, known)
        if sweep.objective in held_out:
            why = (
                f"there is no validation data; set data.validation or data.split, or choose one of ({', '.join(known)})"
            )
        raise SettingError("objective", f"{sweep.objective} is not measured in these runs; {why}")
    if sweep.pruner and not exams.get(sweep.objective, 1):
        reason = (
            f"{sweep.objective} is not measured while training; set {sweep.objective.rpartition('/')[0]}.every to 1"
        )
        raise SettingError("pruner", reason)


def _validates(data: ChatData) -> bool:
    if data.fold or (data.split and data.split.validation):
        return True
    return "validation" in with_prepared_folder({"train": data.train, "validation": data.validation})

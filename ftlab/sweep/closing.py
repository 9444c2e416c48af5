"""Closing: what a sweep came to, as lines, as a YAML for the next run and as a page. It runs no trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from ftlab.comparison import compare, find_runs, read_entries
from ftlab.errors import FtlabError
from ftlab.report.compare_page import write_comparison
from ftlab.sweep.domain import Choice, Range
from ftlab.sweep.settings import Sweep
from ftlab.sweep.study import Study
from ftlab.sweep.table import best, counts, written

#: A number so near to an end of its range, as a share of it, may well be better beyond.
NEAR = 0.05


def close(study: Study, before: str) -> list[str]:
    """Write `best.yaml` and `compare.html` into the sweep's folder; return what to print.

    Args:
        study: whose trials have ended.
        before: the options of `ftlab fit` that stand before the best settings.
    """
    sweep, slots = study.sweep, study.slots()
    lines = [f"trials     {len(slots)} of {sweep.count}: {counts(slots)}"]
    found = best(sweep, slots)
    if found is not None:
        trial = slots[found]
        settings = ", ".join(f"{key} {written(value)}" for key, value in sweep.settings(trial.params).items())
        lines.append(f"best       trial {found + 1}: {sweep.objective} {trial.value:.4g} with {settings}")
        lines += edges(sweep, trial)
        lines += importances(study)
        file = sweep.folder / "best.yaml"
        told = f"# Trial {found + 1} of sweep {sweep.name}: {sweep.objective} {trial.value:.6g}\n"
        kept = trial.user_attrs.get("settings") or fragment(sweep, trial.params, {})
        text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
        file.write_text(told + text, encoding="utf-8")
        lines.append(f"settings   {file}   ftlab fit {before} --config {file}")
    try:
        page = write_comparison(compare(*read_entries(find_runs([str(sweep.folder)]))), sweep.folder / "compare.html")
    except FtlabError as error:
        return [*lines, f"page       none: {error}"]
    return [*lines, f"page       {page}   ftlab compare {sweep.folder}"]


def fragment(sweep: Sweep, params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's settings as a config that goes on top of the run's own.

    Of a class, such as the method, all settings are there: the class that a part of them belongs to has to be named.

    Args:
        sweep: its settings.
        params: the trial's, as the study has them.
        config: resolved settings of its run.
    """
    found: dict[str, Any] = {}
    for key, value in sweep.settings(dict(params)).items():
        parts = key.split(".")
        for depth in range(1, len(parts) + 1):
            section = _inside(config, parts[:depth])
            if isinstance(section, dict) and "class_path" in section:
                parts, value = parts[:depth], section
                break
        place = found
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    return found


def edges(sweep: Sweep, trial: FrozenTrial) -> list[str]:
    """Return a line for each number whose best value is the lowest or highest that could be taken, or near to it."""
    lines = []
    for key, domain in sweep.domains.items():
        if key != "seed_everything" and key in trial.params and (where := _edge(domain, trial.params[key])):
            lines.append(f"           {key} is best {where} value it could take; wider may be better")
    return lines


def importances(study: Study) -> list[str]:
    """Return a line with the share of each setting in what came out (PED-ANOVA, Watanabe et al., 2023)."""
    complete = study.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(study.sweep.domains) < 2 or len(complete) < 2 * len(study.sweep.domains):
        return []
    try:
        shares: Mapping[str, float] = optuna.importance.get_param_importances(study.study)
    except (ValueError, RuntimeError):  # all trials came to the same
        return []
    return ["matters    " + ", ".join(f"{key} {share:.0%}" for key, share in shares.items())]


def _edge(domain: Choice | Range, value: Any) -> str | None:
    numbers = [end for end in domain.ends if isinstance(end, (int, float)) and not isinstance(end, bool)]
    if len(numbers) < max(2, len(domain.ends)):
        return None
    low, high = min(numbers), max(numbers)
    if value in (low, high):
        return f"at the {'lowest' if value == low else 'highest'}"
    if isinstance(domain, Choice):
        return None
    low, high, value = (math.log(each) if domain.log else each for each in (low, high, value))
    share = (value - low) / (high - low)
    return "near the lowest" if share <= NEAR else "near the highest" if share >= 1 - NEAR else None


def _inside(config: Any, parts: list[str]) -> Any:
    for part in parts:
        if isinstance(config, dict) and "class_path" in config:
            config = config.get("init_args")
        config = config.get(part) if isinstance(config, dict) else None
    return config

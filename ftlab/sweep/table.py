"""Table: a sweep's trials as lines, and the best of them. It runs none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ftlab.sweep.settings import Sweep

#: What a state of Optuna's is called.
STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def header(sweep: Sweep) -> str:
    """Return the table's head."""
    keys = "".join(f"  {key:>{_width(key)}}" for key in sweep.domains)
    return f"trial{keys}  {sweep.objective:>{_width(sweep.objective)}}  {'state':<8} {'seconds':>7}"


def line(sweep: Sweep, slot: int, trial: FrozenTrial) -> str:
    """Return a trial's line: its settings, the objective, how it ended, how long it took."""
    settings = sweep.settings(trial.params)
    cells = "".join(f"  {written(settings[key]) if key in settings else '-':>{_width(key)}}" for key in sweep.domains)
    reached = _reached(trial)
    value = "-" if reached is None else f"{reached:.4g}"
    why = f"   {note}" if (note := _note(trial)) else ""
    seconds = (trial.datetime_complete or datetime.now()) - (trial.datetime_start or datetime.now())
    took = f"{seconds.total_seconds():7.0f}"
    return f"{slot + 1:>5}{cells}  {value:>{_width(sweep.objective)}}  {state(trial):<8} {took}{why}"


def state(trial: FrozenTrial) -> str:
    """Return how a trial ended."""
    if trial.state == TrialState.PRUNED and "stopped" in trial.user_attrs and not _finite(trial):
        return "diverged"
    return STATES.get(trial.state) or ("failed" if "error" in trial.user_attrs else "cut off")


def best(sweep: Sweep, slots: Mapping[int, FrozenTrial]) -> int | None:
    """Return the slot of the best trial, the first of equal ones; None where none has run to its end."""
    values = {slot: trial.value for slot, trial in slots.items() if trial.state == TrialState.COMPLETE}
    if not values:
        return None
    sign = 1 if sweep.direction == "minimize" else -1
    return min(values, key=lambda slot: (sign * (values[slot] or 0.0), slot))


def counts(slots: Mapping[int, FrozenTrial]) -> str:
    """Return how many trials ended in which way: `7 done, 2 pruned`."""
    found: dict[str, int] = {}
    for trial in slots.values():
        found[state(trial)] = found.get(state(trial), 0) + 1
    return ", ".join(f"{n} {name}" for name, n in found.items())


def written(value: Any) -> str:
    """Return a setting's value as a cell or a sentence shows it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and "class_path" in value:
        inside = ", ".join(f"{key}: {written(each)}" for key, each in (value.get("init_args") or {}).items())
        return f"{value['class_path']}({inside})"
    return str(value)


def _reached(trial: FrozenTrial) -> float | None:
    if trial.state == TrialState.COMPLETE:
        return trial.value
    return trial.intermediate_values[trial.last_step] if trial.last_step is not None else None


def _finite(trial: FrozenTrial) -> bool:
    return trial.user_attrs["stopped"]["value"] not in ("nan", "inf", "-inf")


def _note(trial: FrozenTrial) -> str:
    if "error" in trial.user_attrs:
        return trial.user_attrs["error"]
    stopped = trial.user_attrs.get("stopped")
    return f"at validation {stopped['validation']}" if stopped and trial.state == TrialState.PRUNED else ""


def _width(key: str) -> int:
    return max(9, len(key))

"""Facts: what a run's summary and settings say, in words and figures. They do not know files, pictures or the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ftlab.report.units import count, duration, short, size

#: How good a state of training is, as a grade of an answer.
_STATE_GRADES = {"successful": "right", "converged": "partly", "underfitting": "partly"}


@dataclass(frozen=True)
class Fact:
    """A value with what it is called, and what helps to read it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class State:
    """What state the training is in, and what to do next."""

    name: str
    grade: str
    """`right`, `partly` or `wrong`."""
    evidence: list[str]
    cause: str
    advice: str
    settings: str
    """Settings of the next run as YAML; empty where there is nothing to change."""
    memorised: str
    """How many training answers came back on changed questions; empty where that was not measured."""
    repeated: list[dict[str, str]]
    """Some of them: what was `trained_on`, what was `asked`, and the `answer`."""


def dig(tree: Any, *path: str) -> Any:
    """Follow keys into nested mappings; None where one is missing or holds no mapping."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def origin(summary: dict[str, Any], config: dict[str, Any]) -> list[Fact]:
    """Return the method and the base of a run, from its settings while it has no summary."""
    methods = _methods(config.get("method"))
    name = dig(summary, "method") or " + ".join(name for name, _ in methods)
    said = [_settings(settings) for _, settings in methods]
    if len(methods) > 1:
        said = [f"{name}: {note}" for (name, _), note in zip(methods, said, strict=True) if note]
    base = dig(summary, "base") or dig(config, "model", "base")
    facts = [Fact("Method", name, "; ".join(said))] if name else []
    return [*facts, Fact("Base", str(base))] if base else facts


def headlines(summary: dict[str, Any], metrics: list[dict[str, float]]) -> list[Fact]:
    """Return the figures that a reader asks for first.

    Args:
        summary: the run's summary, empty while the run is under way.
        metrics: the logged rows, for how far such a run is.
    """
    facts = []
    if not summary and metrics:
        step, epoch = (max(row.get(key, 0) for row in metrics) for key in ("step", "epoch"))
        facts.append(Fact("So far", f"step {count(step)}", f"epoch {short(epoch)}"))
    if (step := dig(summary, "best", "step")) is not None:
        facts.append(Fact("Best step", count(step), _best_note(summary)))
    if (trainable := dig(summary, "parameters", "trainable")) is not None:
        facts.append(Fact("Trainable parameters", count(trainable), _share(trainable, summary)))
    if (seconds := dig(summary, "seconds", "total")) is not None:
        training = dig(summary, "seconds", "train") or dig(summary, "seconds", "fit")
        parts = {"training": training, "exam": dig(summary, "seconds", "exam")}
        note = ", ".join(f"{name} {duration(part)}" for name, part in parts.items() if part is not None)
        facts.append(Fact("Time", duration(seconds), note))
    if (speed := dig(summary, "tokens_per_second")) is not None:
        facts.append(Fact("Speed", count(speed), "tokens a second, while training"))
    if (memory := dig(summary, "memory", "peak_bytes")) is not None:
        exams = dig(summary, "memory", "exam_bytes")
        alone = dig(summary, "memory", "peak_of") == "training"
        note = f"while training{f', {size(exams)} in exams' if exams else ''}" if alone else "loading and exams too"
        facts.append(Fact("Peak memory", size(memory), note))
    if (dropped := dig(summary, "data", "dropped")) is not None:
        facts.append(Fact("Dropped rows", count(dropped), "listed in dropped.txt" if dropped else ""))
    return facts


def details(summary: dict[str, Any]) -> list[Fact]:
    """Return the rest of the summary, for those who want to know all of it."""
    facts = []
    if (steps := dig(summary, "steps")) is not None:
        facts.append(Fact("Length", f"{count(steps)} steps", _length_note(summary)))
    for part, label in (("train", "Training data"), ("validation", "Validation data")):
        if (chats := dig(summary, "data", part, "chats")) is not None:
            facts.append(Fact(label, f"{count(chats)} chats", _tokens_note(summary, part)))
    if (adapter := dig(summary, "adapter_bytes")) is not None:
        facts.append(Fact("Saved weights", size(adapter)))
    if (grader := dig(summary, "exam", "grader")) is not None:
        facts.append(Fact("Grader", str(grader)))
    for label, key in (("Seed", "seed"), ("Resumed from", "resumed_from"), ("ftlab", "ftlab")):
        if (value := dig(summary, key)) is not None:
            facts.append(Fact(label, str(value)))
    if (mode := dig(summary, "wandb", "mode")) is not None:
        facts.append(Fact("W&B", str(mode), str(dig(summary, "wandb", "folder") or "")))
    return facts


def state(summary: dict[str, Any]) -> State | None:
    """Return the diagnosis, None where there is none."""
    found = dig(summary, "diagnosis")
    if not dig(found, "state"):
        return None
    cause, advice, settings = (str(found.get(key) or "") for key in ("cause", "advice", "next"))
    grade = _STATE_GRADES.get(found["state"], "wrong")
    repeated = dig(summary, "memorisation", "examples") or []
    told = found.get("evidence") or []
    return State(found["state"], grade, told, cause, advice, settings, _memorised(summary), repeated)


def _memorised(summary: dict[str, Any]) -> str:
    asked, repeated = (dig(summary, "memorisation", key) for key in ("questions", "repeated"))
    if asked is None:
        return ""
    return f"{count(repeated)} of {count(asked)} training answers came back word for word on changed questions."


def _methods(method: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return name and settings of each method in a run's settings, which hold one, or several as a list or a Chain."""
    if isinstance(method, list):
        return [found for item in method for found in _methods(item)]
    name = str(dig(method, "class_path") or (method if isinstance(method, str) else "")).rpartition(".")[2]
    settings = dig(method, "init_args") or {}
    if name == "Chain":
        return _methods(settings.get("methods", []))
    return [(name, settings)] if name else []


def _settings(settings: dict[str, Any]) -> str:
    said = {key: value for key, value in settings.items() if value not in (None, [], {}) and value is not False}
    return ", ".join(f"{key} {_setting(value)}" for key, value in said.items())


def _setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _best_note(summary: dict[str, Any]) -> str:
    best = summary["best"]
    notes = []
    if (steps := dig(summary, "steps")) is not None:
        notes.append(f"of {count(steps)}")
    if (epoch := dig(best, "epoch")) is not None:
        notes.append(f"epoch {short(epoch)}")
    if dig(best, "by") and dig(best, "value") is not None:
        notes.append(f"{best['by']} {best['value']:.4g}")
    if dig(best, "validation_loss") is not None and dig(best, "by") != "validation/loss":
        notes.append(f"validation loss {best['validation_loss']:.3g}")
    return ", ".join(notes)


def _share(trainable: float, summary: dict[str, Any]) -> str:
    total = dig(summary, "parameters", "total")
    return f"of {count(total)}, {100 * trainable / total:.3g} %" if total else ""


def _length_note(summary: dict[str, Any]) -> str:
    epochs = dig(summary, "epochs")
    notes = [] if epochs is None else [f"{short(epochs)} epoch{'' if epochs == 1 else 's'}"]
    if dig(summary, "stopped_early"):
        notes.append("stopped early")
    return ", ".join(notes)


def _tokens_note(summary: dict[str, Any], part: str) -> str:
    tokens, supervised = dig(summary, "data", part, "tokens"), dig(summary, "data", part, "supervised")
    notes = [] if tokens is None else [f"{count(tokens)} tokens"]
    if supervised is not None:
        notes.append(f"{count(supervised)} supervised")
    if (replayed := dig(summary, "data", part, "replayed_per_epoch")) is not None:
        notes.append(f"besides {count(replayed)} replayed in each epoch")
    return ", ".join(notes)

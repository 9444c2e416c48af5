"""Advice: from a state to its likely cause and the settings of the next run. It knows no file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftlab.diagnosis.curves import Curves
from ftlab.diagnosis.evidence import fitting_rank
from ftlab.diagnosis.findings import MEMORISED, Findings

#: Rates that suit most models of a billion parameters and more; small models want more.
_USUAL_RATE, _USUAL_RATE_FULL = 2e-4, 2e-5

#: Below this share of the usual rate, a loss that stays where it was asks for more and not for less.
_LOW_RATE = 0.5

#: How many times the epochs an underfitted run is given, at least and at most.
_LONGER = (2, 4)

#: Dropout against learning by heart.
_DROPOUT = 0.1


@dataclass(frozen=True)
class Advice:
    """What led to a state and what to do."""

    cause: str
    text: str
    settings: dict[str, Any] = field(default_factory=dict)


def advise(state: str, findings: Findings) -> Advice:
    """Return cause and advice for a state.

    Args:
        state: one of the six.
        findings: what the curves showed.
    """
    return {
        "failed": _failed,
        "unstable": _unstable,
        "underfitting": _underfitting,
        "overfitting": _overfitting,
        "converged": _converged,
        "successful": _successful,
    }[state](findings)


def _failed(findings: Findings) -> Advice:
    curves = findings.curves
    if findings.nothing_supervised:
        return Advice(
            "nothing is supervised: every answer is masked, cut off or empty",
            "look at what is learnt (ftlab data show), then at data.max_length and data.learn",
            {"data": {"learn": "all_assistant"}},
        )
    if findings.vanished:
        return Advice(
            "the gradients vanish: what is trained has no path to the loss, or too high a rate has driven it astray",
            "look at what the method trains (target_modules, precision), and lower the rate",
            _rate(curves, _lower(curves)),
        )
    if not findings.lost and curves.lr and curves.lr < _LOW_RATE * _usual(curves):
        return Advice(
            f"the learning rate {curves.lr:g} is too low for anything to be learnt",
            *_raised(curves),
        )
    return Advice(
        "the learning rate is too high" + (f" ({curves.lr:g})" if curves.lr else ""),
        "lower the rate",
        _rate(curves, _lower(curves)),
    )


def _unstable(findings: Findings) -> Advice:
    curves = findings.curves
    optimizer: dict[str, Any] = {"warmup": max(0.1, _get(curves.config, "optimizer", "warmup") or 0.0)}
    clip = _get(curves.config, "optimizer", "gradient_clip")
    if clip is not None and not 0 < clip <= 1:
        optimizer["gradient_clip"] = 1.0
    settings = {"optimizer": {**_rate(curves, curves.lr and curves.lr / 3).get("optimizer", {}), **optimizer}}
    cause, text = "single steps are too large: the rate is too high, or the warmup too short", "a third of the rate"
    if str(_get(curves.config, "trainer", "precision")).startswith("16"):
        settings["trainer"] = {"precision": "bf16-mixed"}
        cause += ", or numbers leave the range of float16"
    return Advice(cause, f"{text}, a longer warmup and clipped gradients", settings)


def _underfitting(findings: Findings) -> Advice:
    curves = findings.curves
    if findings.creeps and not findings.learnt and not findings.still_falls:
        return Advice("the loss falls next to nothing: the rate is far too low", *_raised(curves))
    course = findings.validation or findings.train
    low = curves.lr is not None and curves.lr < 0.3 * _usual(curves)
    shallow = course is not None and course.end > 0.5 * max(c.start for c in findings.courses)
    fall = course.fall if course else 0.0
    left = fall / max(abs(course.end), 1e-12) if course else 1.0  # what the last third has brought, of what is left
    slight = fall < 0.15 * findings.whole_fall and left < 0.25
    longer = _LONGER[1] if shallow or left > 0.5 else _LONGER[0] if slight else 3
    settings = _length(curves, longer)
    text = f"{longer} times the epochs"
    if low and shallow:
        settings |= _rate(curves, curves.lr and curves.lr * 3)
        text += " and three times the rate"
    else:
        text += ", or a higher rate"
    if len(curves.validation) and not curves.config.get("early_stopping") and curves.config:
        settings["early_stopping"] = {"patience": max(3, math.ceil(len(curves.validation) / 2))}  # half of this run
    if curves.rank and curves.rows and 4 * curves.rank <= fitting_rank(curves.rows):
        settings |= _method(curves, r=2 * curves.rank)
        text += "; a higher rank"
    return Advice("training ended too early, or the rate is too low: there was more to learn", text, settings)


def _overfitting(findings: Findings) -> Advice:
    curves, validation = findings.curves, findings.validation
    settings: dict[str, Any] = {}
    causes, todo = ["the training rows are learnt by heart"], []
    if validation and findings.rise:
        share = validation.best_step / max(curves.steps, 1.0)
        settings |= _length(curves, share)
        todo.append(f"stop at about step {validation.best_step:,.0f} ({share:.0%} of the way)")
    else:
        settings |= _length(curves, 0.5)
        todo.append("half the epochs")
    if curves.rows:
        causes.append(f"{curves.rows:,} are few for so many passes")
        todo.append("more and more varied rows")
    else:
        todo.append("more data")
    if (curves.verbatim or 0) > MEMORISED:
        causes.append("answers are repeated word for word")
    regularised = _regularised(curves)
    settings |= regularised
    changed = regularised.get("method", {}).get("init_args", {})
    todo += [name for key, name in (("r", "a lower rank"), ("dropout", "dropout")) if key in changed]
    if not changed and curves.config:
        settings["optimizer"] = {"weight_decay": max(0.1, _get(curves.config, "optimizer", "weight_decay") or 0.0)}
        todo.append("weight decay")
    return Advice("; ".join(causes), ", ".join(todo), settings)


def _converged(findings: Findings) -> Advice:
    curves = findings.curves
    if findings.gain is None:
        cause = "both losses stand still; without an exam before and after, nobody knows what that is worth"
        text = "set an exam; then a higher rank or rate, or more data, can show whether there is more to gain"
    else:
        cause = "the losses stand still, and the exam has not gained: the data do not teach what the exam asks"
        text = "compare exam and training rows; then try a higher rank or rate, or other data"
    if curves.rank and curves.rank < 128:
        return Advice(cause, text, _method(curves, r=2 * curves.rank))
    return Advice(cause, text, _rate(curves, curves.lr and 2 * curves.lr))


def _successful(findings: Findings) -> Advice:
    result, seed = findings.curves.result, findings.curves.config.get("seed_everything")
    missed = 100 - result.after if result else 0.0
    text = "keep it, and repeat it with another seed"
    if missed > 10:
        text += f"; for the {missed:.0f} points that are missing, a higher rank, another method or more data"
    settings = {"seed_everything": seed + 1} if isinstance(seed, int) and not isinstance(seed, bool) else {}
    return Advice("what the data have to teach is learnt, and it carries over to the exam", text, settings)


def _usual(curves: Curves) -> float:
    method = curves.config.get("method")
    full = isinstance(method, Mapping) and str(method.get("class_path")).rpartition(".")[2] == "Full"
    return _USUAL_RATE_FULL if full else _USUAL_RATE


def _lower(curves: Curves) -> float | None:
    """Return a tenth of the rate, or where that is still far too high, half of the way to the usual one by factors."""
    if not curves.lr:
        return None
    return min(curves.lr / 10, math.sqrt(curves.lr * _usual(curves)))


def _raised(curves: Curves) -> tuple[str, dict[str, Any]]:
    """Return the advice to raise the rate, and the settings."""
    factor = 3 if curves.lr and curves.lr > _usual(curves) else 10
    return f"raise the rate {factor} times", _rate(curves, curves.lr and curves.lr * factor)


def _rate(curves: Curves, rate: float | None) -> dict[str, Any]:
    return {"optimizer": {"lr": float(f"{rate:.2g}")}} if rate else {}


def _length(curves: Curves, factor: float) -> dict[str, Any]:
    """Return the trainer's settings for a run this many times as long."""
    steps, epochs = _get(curves.config, "trainer", "max_steps"), _get(curves.config, "trainer", "max_epochs")
    done = curves.epochs or epochs
    if steps and steps > 0:
        return {"trainer": {"max_steps": max(1, round(factor * min(steps, curves.steps or steps)))}}
    if not done:
        return {"trainer": {"max_steps": max(1, round(factor * curves.steps))}}
    wanted = max(1, math.ceil(factor * done - 0.25))
    if factor < 1 and wanted >= done and curves.steps > 1:  # within a single epoch
        return {"trainer": {"max_steps": max(1, round(factor * curves.steps))}}
    return {"trainer": {"max_epochs": wanted}}


def _regularised(curves: Curves) -> dict[str, Any]:
    """Return a lower rank and some dropout where the method has them and they are not there yet."""
    changes: dict[str, Any] = {}
    if curves.rank and curves.rank > 4 and curves.rank > (fitting_rank(curves.rows) if curves.rows else 4):
        changes["r"] = max(4, curves.rank // 2)
    dropout = curves.method.get("dropout")
    if isinstance(dropout, (int, float)) and dropout < _DROPOUT:
        changes["dropout"] = _DROPOUT
    return _method(curves, **changes)


def _method(curves: Curves, **changes: Any) -> dict[str, Any]:
    """Return settings of the method, its alpha kept in proportion to its rank; none where it is a list."""
    if not changes or not curves.method:
        return {}
    alpha = curves.method.get("alpha")
    if "r" in changes and curves.rank and isinstance(alpha, (int, float)):
        changes["alpha"] = alpha * changes["r"] / curves.rank
    return {"method": {"class_path": curves.config["method"]["class_path"], "init_args": changes}}


def _get(config: Mapping[str, Any], section: str, key: str) -> Any:
    return (config.get(section) or {}).get(key)

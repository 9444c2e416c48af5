"""Evidence: the findings in words and figures. It decides nothing."""

from __future__ import annotations

import numpy as np

from ftlab.diagnosis.course import Course
from ftlab.diagnosis.curves import Curves
from ftlab.diagnosis.findings import MEMORISED, SWING, Findings

#: Trained parameters per learnt token above which an overfitted run is told so.
_PARAMETERS_PER_TOKEN = 1.0

#: Ranks that suit so many rows: enough to learn from them, not enough to learn them by heart.
_RANKS = ((100, 4), (1_000, 8), (10_000, 16), (100_000, 64))


def evidence(state: str, findings: Findings) -> list[str]:
    """Return what shows a state, the weightiest first.

    Args:
        state: what was found.
        findings: by what.
    """
    curves, train, validation = findings.curves, findings.train, findings.validation
    told = [*_trouble(findings)] if state in ("failed", "unstable") else []
    if state == "overfitting":
        told += _memory(findings)
    if train:
        told.append(_describe("training loss", train))
    if validation:
        told.append(_describe("validation loss", validation))
        values, steps = validation.series.values, validation.series.steps
        at = f"at step {steps[values.argmin()]:,.0f} of {curves.steps:,.0f}"
        above = f"; the last one is {values[-1] - values.min():.3g} above it" if findings.rise else ""
        told.append(f"best validation loss {values.min():.4g} {at}{above}")
    if findings.gap is not None:
        told.append(f"gap of {findings.gap:.3g} between validation and training loss at the end")
    told += _exam(findings)
    if train and state != "unstable" and len(train.series) >= 8 and (swing := train.swing()) > SWING:
        told.append(f"training loss fluctuates by {swing:.2g} over the last half, more than {SWING}")
    return told + _size(state, curves)


def fitting_rank(rows: int) -> int:
    """Return a rank that suits so many rows."""
    return next((rank for limit, rank in _RANKS if rows < limit), 128)


def _describe(name: str, course: Course) -> str:
    change = "falls" if course.fall > 0 else "rises"
    return (
        f"{name} {course.start:.4g} -> {course.end:.4g}; over the last third it {change} by {abs(course.fall):.2g} "
        f"(noise {course.fall_noise:.2g})"
    )


def _trouble(findings: Findings) -> list[str]:
    curves, train = findings.curves, findings.train
    if findings.nothing_supervised:
        return ["no token is learnt: the training loss is zero or no number from the first step on"]
    told = []
    for name, series in (
        ("training loss", curves.train),
        ("validation loss", curves.validation),
        ("gradient norm", curves.gradient_norm),
    ):
        if len(bad := series.steps[~np.isfinite(series.values)]):
            told.append(f"{name} is no number at step {bad[0]:,.0f} ({len(bad)} of {len(series)} points)")
    if findings.spikes:
        steps = ", ".join(f"{step:,.0f}" for step in findings.spikes[:3])
        more = ", ..." if len(findings.spikes) > 3 else ""
        told.append(f"training loss jumps at {len(findings.spikes)} of {len(curves.train)} points (step {steps}{more})")
    if train and findings.swings:
        told.append(
            f"training loss swings by {train.swing():.2g} over the last half, of {findings.whole_fall:.2g} that it fell"
        )
    if train and findings.surged:
        told.append(f"training loss rose from {train.start:.4g} to {train.series.values.max():.4g} on its way")
    if findings.vanished:
        norms = curves.gradient_norm.finite.values
        told.append(f"gradient norm died away from {norms[0]:.2g} to {norms[-1]:.2g}")
    if train and findings.lost:
        told.append(
            f"training loss ended at {train.end:.4g}; it began at {train.start:.4g}, its lowest was {train.best:.4g}"
        )
    elif train and not findings.learnt:
        told.append(
            f"training loss is flat: {train.start:.4g} at first, {train.end:.4g} at the end (noise {train.noise:.2g})"
        )
    return told


def _memory(findings: Findings) -> list[str]:
    validation, curves = findings.validation, findings.curves
    told = []
    if validation and findings.rise:
        fell = (
            f", training loss fell by {findings.train.at(validation.best_step) - findings.train.end:.2g}"
            if findings.train
            else ""
        )
        told.append(f"since step {validation.best_step:,.0f} validation loss rose by {findings.rise:.2g}{fell}")
    elif findings.parting:
        told.append("training loss falls on while validation loss stands still far above it")
    if (curves.verbatim or 0) > MEMORISED:
        told.append(f"{curves.verbatim:.0%} of training answers come back word for word when the question is changed")
    return told


def _exam(findings: Findings) -> list[str]:
    result = findings.curves.result
    if result is None:
        return []
    if result.before is None:
        return [f"exam {result.after:.4g} of 100"]
    chance = "" if result.p_value is None else f", p = {result.p_value:.2g}"
    word = "" if findings.gain else " (no difference shown)"
    return [f"exam {result.before:.4g} -> {result.after:.4g} of 100{chance}{word}"]


def _size(state: str, curves: Curves) -> list[str]:
    told = []
    if state == "overfitting" and curves.trainable and curves.supervised:
        share = curves.trainable / curves.supervised
        if share > _PARAMETERS_PER_TOKEN:
            told.append(
                f"{curves.trainable:,} trained parameters for {curves.supervised:,} learnt tokens: {share:.2g} each"
            )
    if curves.rank and curves.rows:
        fitting = fitting_rank(curves.rows)
        many, few = curves.rank >= 4 * fitting, 4 * curves.rank <= fitting
        if (many and state == "overfitting") or (few and state in ("underfitting", "converged")):
            told.append(f"rank {curves.rank} for {curves.rows:,} rows; {fitting} is usual")
    return told

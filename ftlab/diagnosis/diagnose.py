"""Diagnose: from findings to one of six states, with evidence, cause and advice. It reads no file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ftlab.diagnosis.advice import Advice, advise
from ftlab.diagnosis.curves import FEWEST_TRAIN, Curves
from ftlab.diagnosis.evidence import evidence
from ftlab.diagnosis.findings import CEILING, LOW, MEMORISED, Findings
from ftlab.errors import FtlabError

State = Literal["failed", "unstable", "underfitting", "overfitting", "converged", "successful"]


@dataclass(frozen=True)
class Diagnosis:
    """What state a training is in, and what to do about it."""

    state: State
    """The state's name."""
    evidence: list[str]
    """What shows it, in figures, the weightiest first."""
    cause: str
    """What has probably led to it."""
    advice: str
    """What to do next."""
    next: dict[str, Any] = field(default_factory=dict)
    """The same as settings of `ftlab fit`, on top of the run's own."""


def diagnose(curves: Curves) -> Diagnosis:
    """Name the state of a training by its curves.

    Training loss flat or up: failed. Both losses falling at the end: underfitting. The training loss falling while the
    validation loss rises: overfitting. Both flat: successful if the exam went up, else converged. A loss that is no
    number, jumps or swings is unstable before it is anything else but failed.

    Args:
        curves: what the run has logged so far.

    Raises:
        FtlabError: there are too few points to say anything.
    """
    if not curves.enough:
        raise FtlabError(
            f"{len(curves.train)} training losses, fewer than {FEWEST_TRAIN}: too few to name a state; log more often "
            "(trainer.log_every_n_steps: 1)"
        )
    findings = Findings(curves)
    state = _state(findings)
    advice: Advice = advise(state, findings)
    return Diagnosis(state, evidence(state, findings), advice.cause, advice.text, advice.settings)


def state_line(diagnosis: Diagnosis) -> str:
    """Return the state and what shows it in one line, for the terminal while training."""
    return f"state      {diagnosis.state}: {diagnosis.evidence[0]}"


def _state(findings: Findings) -> State:
    curves = findings.curves
    if findings.nothing_supervised:
        return "failed"
    if curves.broken:
        return "unstable"
    improved = findings.gain is not None and findings.gain > 0
    low = any(course.end < LOW for course in findings.courses)
    learning = findings.learnt or low or improved or findings.still_falls
    if findings.lost or not (learning or findings.creeps or (findings.restless and findings.was_low)):
        return "failed"
    if findings.restless:
        return "unstable"
    if findings.rise or findings.parting or (curves.verbatim or 0.0) > MEMORISED:
        return "overfitting"
    at_ceiling = improved and curves.result is not None and curves.result.after >= CEILING
    if (findings.still_falls or not learning) and not at_ceiling:
        return "underfitting"
    return "successful" if improved else "converged"

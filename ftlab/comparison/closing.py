"""Closing: a comparison in plain sentences. It computes nothing."""

from __future__ import annotations

from ftlab.comparison.compare import Comparison
from ftlab.comparison.groups import Group

#: So many configurations are named in a sentence.
_NAMED = 3
#: What the exam has gained for each, and in words.
_PER = {
    "per hour": ("points_per_hour", "an hour of training"),
    "per GB": ("points_per_gigabyte", "a GB of peak memory"),
}


def closing(comparison: Comparison) -> dict[str, str]:
    """Return what a comparison comes to, each sentence under what it is about: `best`, `shown`, `per hour`, `per GB`.

    Args:
        comparison: of one configuration or more.
    """
    best = comparison.best
    if best is None:
        return {"best": "not known: no run has an exam or a validation loss"}
    said = {"best": _best(best), "shown": _shown(comparison, best)}
    for title, (name, unit) in _PER.items():
        if len(comparison.groups) > 1 and (most := comparison.most(name)):
            said[title] = f"{most.label}: {_figure(most.figure(name) or 0.0)} points gained for {unit}"
    return said


def _best(best: Group) -> str:
    if best.exam is None:
        return f"{best.label}: validation loss {best.figure('validation_loss'):.4g}"
    seeds = f"{len(best.entries)} seeds" if len(best.entries) > 1 else "one seed"
    score, low, high = (f"{round(value, 1):g}" for value in (best.exam.score, best.exam.low, best.exam.high))
    return f"{best.label}: exam {score} ({low} to {high}) of 100, {seeds}"


def _shown(comparison: Comparison, best: Group) -> str:
    others = [group for group in comparison.groups if group is not best]
    if not others:
        return "there is one configuration, so nothing to hold it against"
    if best.exam is None:
        return "no: no exam was sat, and single losses are not tested"
    if comparison.winner:
        every = "the other" if len(others) == 1 else f"each of the {len(others)} others"
        return f"yes: it is better than {every}{_seeds(best, others)}"
    against = comparison.against
    untested = [group.label for group in others if group.label not in against]
    open_ones = [group.label for group in others if group.label in against and not against[group.label].shown]
    told = []
    if open_ones:
        told.append(f"no difference to {_names(open_ones)} is shown")
    if untested:
        told.append(f"{_names(untested)} sat no exam that could be held against it")
    return f"no winner: {'; '.join(told)}{_seeds(best, others)}"


def _seeds(best: Group, others: list[Group]) -> str:
    single = all(len(group.entries) == 1 for group in (best, *others))
    return "; seeds were not varied, so that it may be the seed" if single else ""


def _names(labels: list[str]) -> str:
    rest = len(labels) - _NAMED
    return ", ".join(labels) if rest < 2 else f"{', '.join(labels[:_NAMED])} and {rest} more"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

"""Fairness: what else differed between runs than the settings that are compared. It knows no scores' differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ftlab.comparison.entry import Entry
from ftlab.comparison.groups import Group

#: Tokens seen may differ by this share: batches of several sizes end an epoch at several counts.
TOKENS_APART = 0.01

#: Settings of the exam that change its answers.
_GENERATION = ("max_new_tokens", "temperature", "top_p", "samples", "combine", "k", "seed")
#: So many runs are named in a warning.
_NAMED = 3


def unfair(groups: Sequence[Group]) -> list[str]:
    """Return a warning for each thing that may decide a comparison besides its settings.

    Args:
        groups: the configurations.
    """
    entries = [entry for group in groups for entry in group.entries]
    found = [_tokens(groups), _data(entries), *_bases(entries), *_seeds(groups), *_exams(entries), _versions(entries)]
    return [warning for warning in [*found, _resumed(entries), _memory(entries), _chosen(entries)] if warning]


def _tokens(groups: Sequence[Group]) -> str:
    seen = {group.label: tokens for group in groups if (tokens := group.figure("tokens"))}
    if not seen or max(seen.values()) <= (1 + TOKENS_APART) * min(seen.values()):
        return ""
    (fewest, least), (most, largest) = (choose(seen.items(), key=lambda item: item[1]) for choose in (min, max))
    return f"tokens differ: {least:,.0f} in {fewest}, {largest:,.0f} in {most}; what helps may be the longer training"


def _data(entries: Sequence[Entry]) -> str:
    kinds = _kinds(entries, lambda entry: entry.data)
    return f"data differ: {_told(kinds)}" if len(kinds) > 1 else ""


def _bases(entries: Sequence[Entry]) -> Iterable[str]:
    """Warn where one name stands for several bases; several names are a setting."""
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(str(entry.settings.get("model.base")), []).append(entry)
    for name, own in by_name.items():
        if len(kinds := _kinds(own, lambda entry: entry.weights)) > 1:
            yield f"weights of {name} differ: {_told(kinds)}"


def _seeds(groups: Sequence[Group]) -> Iterable[str]:
    seeds = {group.label: tuple(entry.seed for entry in group.entries) for group in groups}
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for label, own in seeds.items():
        by_seeds.setdefault(own, []).append(label)
    if len(by_seeds) > 1:
        told = "; ".join(f"{', '.join(map(str, own))} ({_names(labels)})" for own, labels in by_seeds.items())
        yield f"seeds differ: {told}; a seed decides the order of the data and where weights begin"
    if len(groups) > 1 and any(len(own) == 1 for own in seeds.values()):
        single = [label for label, own in seeds.items() if len(own) == 1]
        yield f"one seed only: {_names(single)}; a single run may be its seed's luck, run it with other seeds too"


def _exams(entries: Sequence[Entry]) -> Iterable[str]:
    sat = [entry for entry in entries if entry.points]
    if sat and (without := [entry.label for entry in entries if not entry.points]):
        yield f"no exam: {_names(without)}"
    questions = _kinds(sat, lambda entry: frozenset(entry.points))
    if len(questions) > 1:
        shared = len(frozenset.intersection(*questions))
        told = "; ".join(f"{len(own)} in {_names(labels)}" for own, labels in questions.items())
        yield (
            f"exams differ in questions: {told}; only the {shared} that all have are tested"
            if shared
            else (f"exams differ in questions: {told}; none is in all, so scores cannot be held against each other")
        )
    graders = _kinds(sat, grading)
    if len(graders) > 1:
        yield f"exams differ in the grader: {_told(graders)}; such scores cannot be held against each other"
    generation = _kinds(sat, lambda e: ", ".join(f"{k} {e.settings.get(f'exam.{k}', 'default')}" for k in _GENERATION))
    if len(generation) > 1:
        keys = [key for key in _GENERATION if len({str(e.settings.get(f"exam.{key}", "default")) for e in sat}) > 1]
        differ = _kinds(sat, lambda e: ", ".join(f"{key} {e.settings.get(f'exam.{key}', 'default')}" for key in keys))
        yield f"exams differ in how answers are made: {_told(differ)}"


def _versions(entries: Sequence[Entry]) -> str:
    kinds = _kinds(entries, lambda entry: entry.version)
    return f"versions of ftlab differ: {_told(kinds)}" if len(kinds) > 1 else ""


def _resumed(entries: Sequence[Entry]) -> str:
    resumed = [entry.label for entry in entries if entry.summary.get("resumed_from")]
    return f"resumed: {_names(resumed)}; seconds and tokens count from there" if resumed else ""


def _memory(entries: Sequence[Entry]) -> str:
    """Warn where the peak of some runs is that of training alone, and of others of all that they did."""
    measured = [entry for entry in entries if entry.summary.get("memory")]
    kinds = _kinds(measured, lambda entry: entry.summary["memory"].get("peak_of", "all"))
    return f"peak memory is not of one thing: of {_told(kinds).replace('; ', '; of ')}" if len(kinds) > 1 else ""


def _chosen(entries: Sequence[Entry]) -> str:
    """Warn where the exam that ranks the runs has also chosen their checkpoints."""
    chosen = [entry for entry in entries if str((entry.summary.get("best") or {}).get("by", "")).startswith("exam/")]
    if not chosen:
        return ""
    which = "every run" if len(chosen) == len(entries) else _names([entry.label for entry in chosen])
    sat = [len(entry.curves.exam) for entry in chosen]
    times = f"{min(sat)}" if min(sat) == max(sat) else f"{min(sat)} to {max(sat)}"
    return (
        f"the best checkpoint of {which} was chosen, out of {times}, by the exam that also scores it: scores are "
        "somewhat too high, most where most were tried"
    )


def grading(entry: Entry) -> str:
    """Return what grades a run's exam, with its settings."""
    own = {key: value for key, value in entry.settings.items() if f"{key}.".startswith("exam.grader.")}
    name = str(own.pop("exam.grader", "Marker"))
    told = ", ".join(f"{key.removeprefix('exam.grader.')} {value}" for key, value in own.items() if value is not None)
    return f"{name} ({told})" if told else name


def _kinds(entries: Sequence[Entry], of: Callable[[Entry], Any]) -> dict[Any, list[str]]:
    """Return the labels of the runs by what they have in common; runs that do not say count for nothing."""
    kinds: dict[Any, list[str]] = {}
    for entry in entries:
        if (kind := of(entry)) not in (None, ""):
            kinds.setdefault(kind, []).append(entry.label)
    return kinds


def _told(kinds: dict[Any, list[str]]) -> str:
    return "; ".join(f"{kind} in {_names(labels)}" for kind, labels in kinds.items())


def _names(labels: Sequence[str]) -> str:
    rest = len(labels) - _NAMED
    return ", ".join(labels) if rest < 2 else f"{', '.join(labels[:_NAMED])} and {rest} more"

"""Groups: runs that differ in nothing but the seed, joined. It compares no groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ftlab.comparison.entry import Entry, Question
from ftlab.comparison.figures import figures
from ftlab.comparison.settings import differing, identity, short_names, shown
from ftlab.exam.statistics import Score, SeedMean, join_seeds


@dataclass(frozen=True, eq=False)
class Group:
    """One configuration: the runs of it, each of another seed."""

    label: str
    """What tells it from other configurations."""
    values: dict[str, str]
    """Settings in which configurations differ, as text, by their keys; empty where it has no such setting."""
    entries: list[Entry]
    """Its runs, by seed."""

    @cached_property
    def each(self) -> list[dict[str, float]]:
        """The figures of each run."""
        return [figures(entry) for entry in self.entries]

    def figure(self, name: str) -> float | None:
        """Return the mean of a figure over the runs that have it."""
        values = [found[name] for found in self.each if name in found]
        return float(np.mean(values)) if values else None

    @cached_property
    def exam(self) -> Score | SeedMean | None:
        """The exam with its interval: over seeds where there are several, else over questions."""
        return self._joined([entry.score for entry in self.entries])

    def retention(self, name: str) -> Score | SeedMean | None:
        """Return the score of an ability of the base after training, with its interval."""
        return self._joined([entry.retention[name][1] if name in entry.retention else None for entry in self.entries])

    @property
    def states(self) -> dict[str, int]:
        """How many runs ended in which state of training."""
        return dict(Counter(entry.state for entry in self.entries if entry.state))

    @cached_property
    def questions(self) -> frozenset[Question]:
        """The questions that all its runs answered."""
        return frozenset.intersection(*(frozenset(entry.points) for entry in self.entries))

    def points(self, questions: Sequence[Question]) -> list[list[float]]:
        """Return for each run its points by question."""
        return [[entry.points[question] for question in questions] for entry in self.entries]

    def _joined(self, scores: list[Score | None]) -> Score | SeedMean | None:
        found = [score for score in scores if score]
        if len(found) < 2:
            return found[0] if found else None
        return join_seeds([score.score for score in found])


def group_entries(entries: Sequence[Entry]) -> tuple[list[Group], dict[str, str]]:
    """Return the configurations, and of several runs of one seed which ones are left out in favour of a later one.

    Args:
        entries: runs that can be compared.
    """
    keys = differing([entry.settings for entry in entries])
    by_values: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        by_values.setdefault(identity(entry.settings, keys), []).append(entry)
    parts = [part for same in by_values.values() for part in _by_inputs(same)]
    repeated: dict[str, str] = {}
    members = []
    for own in parts:
        latest = {entry.seed: entry for entry in sorted(own, key=lambda entry: entry.run.folder.name)}
        for entry in own:
            if (kept := latest[entry.seed]) is not entry:
                repeated[str(entry.run.folder)] = f"settings and seed {entry.seed} are those of {kept.label}"
        members.append([latest[seed] for seed in sorted(latest)])
    values = [{key: _shown(own[0], key) for key in keys} for own in members]
    if len(parts) > len(by_values):  # the same settings, but files have changed
        inputs = {"data": [own[0].data for own in members], "weights": [own[0].weights for own in members]}
        for name, found in inputs.items():
            for each, value in zip(values, found, strict=True):
                each |= {name: value[:8]} if len(set(found)) > 1 else {}
    labels = _labels(members, values)
    return [Group(*parts) for parts in zip(labels, values, members, strict=True)], repeated


def _by_inputs(same: list[Entry]) -> list[list[Entry]]:
    """Split runs of one configuration by data, base and exam, where one seed had several of them under one name."""
    by_inputs: dict[tuple[str, str, frozenset[Question]], list[Entry]] = {}
    for entry in same:
        by_inputs.setdefault((entry.data, entry.weights, frozenset(entry.points)), []).append(entry)
    seen = {(entry.seed, inputs) for inputs, own in by_inputs.items() for entry in own}
    return list(by_inputs.values()) if len(seen) > len({seed for seed, _ in seen}) else [same]


def _shown(entry: Entry, key: str) -> str:
    return shown(entry.settings[key]) if key in entry.settings else ""


def _labels(members: list[list[Entry]], values: list[dict[str, str]]) -> list[str]:
    """Return the experiments' names, with the settings that differ where a name is not enough."""
    names = []
    for own in members:
        of_runs = list(dict.fromkeys(str(entry.config.get("name") or entry.run.name) for entry in own))
        names.append(of_runs[0] if len(of_runs) == 1 else f"{of_runs[0]} and {len(of_runs) - 1} more")
    short = short_names(list(values[0]))
    labels = []
    for name, each in zip(names, values, strict=True):
        alike = [other for other, its in zip(names, values, strict=True) if other == name]
        told = [f"{short[key]} {value}" for key, value in each.items() if value and _varies(key, name, names, values)]
        labels.append(f"{name} ({', '.join(told)})" if len(alike) > 1 and told else name)
    if len(set(labels)) < len(labels):  # values that differ by less than is shown, or only in what no setting says
        return [f"{label}, {own[0].label}" for label, own in zip(labels, members, strict=True)]
    return labels


def _varies(key: str, name: str, names: list[str], values: list[dict[str, str]]) -> bool:
    """Return whether a setting differs among the configurations of one name."""
    return len({each[key] for each, other in zip(values, names, strict=True) if other == name}) > 1

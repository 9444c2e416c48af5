"""Compare: configurations in order, each tested against the best. It draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ftlab.comparison.entry import Entry
from ftlab.comparison.fairness import grading, unfair
from ftlab.comparison.figures import FIGURES, LESS_IS_BETTER
from ftlab.comparison.groups import Group, group_entries
from ftlab.comparison.pareto import front
from ftlab.comparison.settings import short_names
from ftlab.errors import FtlabError, choices_help
from ftlab.exam.statistics import Difference, compare_seeds, corrected

#: What the exam is held against: costs, and what each is called.
COSTS = {"seconds": "time", "memory": "memory", "trainable": "trainable share"}


@dataclass(frozen=True)
class Comparison:
    """Several configurations, held against each other."""

    groups: list[Group]
    """The configurations, the best first unless they were sorted otherwise."""
    keys: list[str]
    """Settings in which they differ."""
    best: Group | None
    """The one with the highest exam score, or without exams the lowest validation loss."""
    against: dict[str, Difference]
    """By label, each other configuration minus the best, with p after Holm; only those that sat the same exam."""
    warnings: list[str]
    """What else differed than the settings."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Runs that could not be compared, by folder, and why."""

    @property
    def tested(self) -> bool:
        """Whether every other configuration could be tested against the best."""
        return self.best is not None and len(self.against) == len(self.groups) - 1 > 0

    @property
    def winner(self) -> Group | None:
        """The best configuration if it is shown to be better than every other."""
        worse = all(each.shown and each.points < 0 for each in self.against.values())
        return self.best if self.tested and worse else None

    @property
    def retention(self) -> list[str]:
        """Names of the exams of what the base could do."""
        return list(dict.fromkeys(name for group in self.groups for entry in group.entries for name in entry.retention))

    @property
    def names(self) -> list[str]:
        """All figures that some configuration has, in the order of the table."""
        found = dict.fromkeys(name for group in self.groups for each in group.each for name in each)
        return [name for name in FIGURES if name in found] + [name for name in found if name not in FIGURES]

    def most(self, name: str) -> Group | None:
        """Return the configuration with the highest figure, None where none gained anything."""
        have = [(value, group) for group in self.groups if (value := group.figure(name)) is not None and value > 0]
        return max(have, key=lambda pair: pair[0])[1] if have else None

    def front(self, cost: str) -> list[Group]:
        """Return the configurations whose exam no cheaper one reaches, the cheapest first.

        Args:
            cost: one of COSTS.
        """
        have = [
            (group, (of, group.exam.score))
            for group in self.groups
            if group.exam and (of := group.figure(cost)) is not None
        ]
        return [have[i][0] for i in front([point for _, point in have])]


def compare(entries: Sequence[Entry], left_out: dict[str, str] | None = None, sort: str | None = None) -> Comparison:
    """Join runs of one configuration, and hold the configurations against each other.

    Args:
        entries: runs that can be compared.
        left_out: those that cannot, by folder, and why.
        sort: figure, or setting that differs, to sort by; None takes the exam, or without one the validation loss.

    Raises:
        FtlabError: there is no run, or nothing of that name to sort by.
    """
    if not entries:
        reasons = [f"{folder}: {why}" for folder, why in (left_out or {}).items()]
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise FtlabError(f"no run that could be compared; {reasons[0] if reasons else 'name some'}{more}")
    groups, repeated = group_entries(entries)
    main = "exam" if any(group.exam for group in groups) else "validation_loss"
    keys = [key for key in groups[0].values if len({group.values[key] for group in groups}) > 1]
    groups = _sorted(groups, main, [])
    best = groups[0] if groups[0].figure(main) is not None else None
    against = _against(best, groups) if best and best.exam else {}
    if sort:
        groups = _sorted(groups, sort, keys)
    return Comparison(groups, keys, best, against, unfair(groups), (left_out or {}) | repeated)


def _sorted(groups: list[Group], by: str, keys: list[str]) -> list[Group]:
    """Return the groups, the best first; those without the figure last."""
    known = dict.fromkeys([*FIGURES, *(name for group in groups for each in group.each for name in each)])
    by = {short: key for key, short in short_names(keys).items() if short not in known}.get(by, by)
    if by in keys:
        return sorted(groups, key=lambda group: _natural(group.values[by]))
    if by not in known:
        raise FtlabError(f"--sort: {by}: no such figure or setting that differs; {choices_help(by, [*known, *keys])}")
    sign = 1 if by in LESS_IS_BETTER else -1

    def place(group: Group) -> tuple[bool, float]:
        value = group.figure(by)
        return value is None, 0.0 if value is None else sign * value

    return sorted(groups, key=place)


def _natural(text: str) -> tuple[bool, float, str]:
    """Order numbers by their value, and before words."""
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text


def _against(best: Group, groups: Sequence[Group]) -> dict[str, Difference]:
    """Test each group that sat the exam of the best against it, on the questions that both have.

    The best was chosen by the scores that are tested, so all pairs count in Holm's correction.
    """
    found: dict[str, Difference] = {}
    for group in groups:
        questions = sorted(best.questions & group.questions)
        same = {grading(entry) for entry in group.entries} == {grading(entry) for entry in best.entries}
        if group is not best and questions and same:
            found[group.label] = compare_seeds(best.points(questions), group.points(questions))
    scored = sum(1 for group in groups if group.exam)
    family = scored * (scored - 1) // 2
    return dict(zip(found, corrected(list(found.values()), family), strict=True))

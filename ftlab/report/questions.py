"""Questions: the answers of two sittings side by side, and which of them a reader may pick out. It draws nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ftlab.exam.exam import Answer, Sitting

#: The choices of the page, each with its name for people. `Pair.groups` says what falls under them.
GROUPS = {
    "all": "All",
    "wrong": "Wrong after",
    "partly": "Half right after",
    "better": "Got better",
    "worse": "Got worse",
    "right": "Right after",
}


@dataclass(frozen=True)
class Pair:
    """One question with its answers of both sittings; one of the two may be missing."""

    before: Answer | None
    after: Answer | None

    @property
    def either(self) -> Answer:
        """The answer to take the id, the question and the reference from."""
        answer = self.after or self.before
        assert answer is not None, "a pair is made from at least one answer"
        return answer

    @property
    def change(self) -> str:
        """What became of the points: `better`, `worse`, `same`, or nothing where an answer is missing."""
        if self.before is None or self.after is None:
            return ""
        difference = self.after.points - self.before.points
        return "better" if difference > 0 else "worse" if difference < 0 else "same"

    @property
    def groups(self) -> list[str]:
        """The keys of GROUPS that this question falls under."""
        found = ["all"]
        if self.after is not None:
            found.append(grade(self.after.points))
        if self.change in GROUPS:
            found.append(self.change)
        return found


def grade(points: float) -> str:
    """Return `right` for 1 point, `wrong` for 0, and `partly` between them."""
    return "right" if points >= 1 else "wrong" if points <= 0 else "partly"


def grade_label(points: float) -> str:
    """Return the grade for people: `right`, `half right`, `wrong`, or the points of a finer grader, `0.7 points`."""
    if grade(points) != "partly":
        return grade(points)
    return "half right" if points == 0.5 else f"{points:.2g} points"


def pair(before: Sitting | None, after: Sitting | None) -> list[Pair]:
    """Put both answers to each question side by side.

    Args:
        before: the sitting before training, None where there is none.
        after: the sitting after training, None where there is none.

    Returns:
        The questions in the order of the later sitting; then those that only the earlier one has.
    """
    first, second = _by_id(before), _by_id(after)
    return [Pair(first.get(key), second.get(key)) for key in second | first]


def count_groups(pairs: list[Pair]) -> dict[str, int]:
    """Return how many questions fall under each of GROUPS."""
    counts = Counter(group for pair in pairs for group in pair.groups)
    return {group: counts[group] for group in GROUPS}


def _by_id(sitting: Sitting | None) -> dict[tuple[str, int], Answer]:
    """Key the answers by id and how often it came before: ids that a file repeats must not swallow a question."""
    seen: Counter[str] = Counter()
    answers = {}
    for answer in sitting.answers if sitting else []:
        answers[answer.id, seen[answer.id]] = answer
        seen[answer.id] += 1
    return answers

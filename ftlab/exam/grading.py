"""Grading: what becomes of the samples of a question, by each grader. It knows no model and no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ftlab.data.rows import Row
from ftlab.exam.graders import Grader, ModelGrader, pass_at_k
from ftlab.exam.sitting import Answer

#: What becomes of several samples of a question; `Marks.combine` says how.
Combine = Literal["mean", "majority", "pass_at_k"]


@dataclass(frozen=True)
class Marks:
    """What one grader gives to the answers of one question."""

    answers: Sequence[str]
    """The samples, one at least."""
    points: Sequence[float]
    """Of each sample, from 0 to 1."""

    def combine(self, grader: Grader, row: Row, how: Combine, k: int) -> tuple[str, float]:
        """Return the answer that stands for all samples, and their points together.

        `mean`: the first sample and the mean. `majority`: the answer that most samples give, the first one in a tie,
        but one that says nothing last (Wang et al., 2023, "Self-consistency", arXiv 2203.11171). `pass_at_k`: a best
        sample, and the chance that one of k is right. What a grader measures of the model itself is no sample: it
        stands as it is.

        Args:
            grader: says which answers are the same one.
            row: the question.
            how: one of the three.
            k: of `pass_at_k`.
        """
        if isinstance(grader, ModelGrader):
            how = "mean"
        if how == "majority":
            votes = [grader.vote_row(answer, row) for answer in self.answers]
            counts = Counter(votes)
            stands = votes.index(max(counts, key=lambda vote: (counts[vote], bool(vote))))
            return self.answers[stands], self.points[stands]
        if how == "pass_at_k":
            n, right = len(self.points), sum(value >= 1 for value in self.points)
            return self.answers[max(range(n), key=self.points.__getitem__)], pass_at_k(n, right, k)
        return self.answers[0], sum(self.points) / len(self.points)


def named(graders: Sequence[Grader]) -> dict[str, Grader]:
    """Return graders by the names of their classes, numbered where one occurs again."""
    by_name: dict[str, Grader] = {}
    seen: Counter[str] = Counter()
    for grader in graders:
        name = type(grader).__name__
        seen[name] += 1
        by_name[name if seen[name] == 1 else f"{name}_{seen[name]}"] = grader
    return by_name


def graded(row: Row, section: str, marks: dict[str, Marks], combined: dict[str, tuple[str, float]]) -> Answer:
    """Return a question's graded answer.

    Args:
        row: the question.
        section: that it belongs to.
        marks: of each grader; the first decides.
        combined: what became of them.
    """
    (name, (answer, points)), *others = combined.items()
    samples = marks[name].answers
    return Answer(
        id=row.id,
        question=row.prompt[-1]["content"] if row.prompt else "",
        reference=row.reference or "",
        answer=answer,
        points=points,
        section=section,
        scores={other: value for other, (_, value) in others},
        samples=list(samples) if len(samples) > 1 else [],
    )

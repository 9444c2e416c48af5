"""ExactMatch: grades whether an answer is the reference. It knows nothing of models."""

from __future__ import annotations

from dataclasses import dataclass

from ftlab.exam.graders.text import TextGrader


@dataclass
class ExactMatch(TextGrader):
    """1 point for an answer that is the reference, else 0; case, punctuation, articles and white space aside.

    Source: the exact match of SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250).
    """

    def grade(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        return float(self.normal(answer) == self.normal(reference))

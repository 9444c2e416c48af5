"""TokenF1: grades by the words that answer and reference share. It knows nothing of models."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ftlab.exam.graders.text import TextGrader


@dataclass
class TokenF1(TextGrader):
    """2PR / (P + R), where P is the share of the answer's words that are the reference's, and R the other way round.

    Words are counted as often as they occur, after normalisation, split at white space. The points are F1.
    Source: SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250).
    """

    def grade(self, answer: str, reference: str) -> float:
        """Return F1."""
        given, right = self.normal(answer).split(), self.normal(reference).split()
        shared = (Counter(given) & Counter(right)).total()
        return 2 * shared / (len(given) + len(right)) if shared else 0.0

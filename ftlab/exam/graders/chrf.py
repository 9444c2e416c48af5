"""ChrF: grades translations by the character sequences that they share with the reference. It knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.errors import require
from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.libraries import optional

if TYPE_CHECKING:
    from ftlab.data.rows import Row


@dataclass
class ChrF(Grader):
    """(1 + b^2) P R / (b^2 P + R), where P and R are means over n-grams of 1 to 6 characters, and b = 2.

    P is the share of the answer's n-grams that are the reference's, R the other way round; white space aside. It needs
    no words, so it serves all scripts. The points are the sentence's; the total `chrf` is the corpus's, from 0 to 100.
    Both are sacrebleu's.
    Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015; word_order 2 is chrF++
    (Popović, 2017).
    """

    word_order: int = 0
    """Longest sequence of words that counts too; 2 is chrF++."""
    lowercase: bool = False
    """Whether capitals count as small letters."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.word_order >= 0, "exam.grader.word_order", self.word_order, "0 or more")

    def grade(self, answer: str, reference: str) -> float:
        """Return the sentence's chrF of 1."""
        return min(1.0, self._metric().sentence_score(answer, [reference]).score / 100)

    def totals(self, answers: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        """Return the corpus's `chrf` of 100, and sacrebleu's `signature` of how it was made."""
        metric = self._metric()
        found = metric.corpus_score(list(answers), [[row.reference or "" for row in rows]])
        return {"chrf": found.score, "signature": str(metric.get_signature())}

    def _metric(self) -> Any:
        metrics = optional("sacrebleu", "ChrF").metrics
        return metrics.CHRF(word_order=self.word_order, lowercase=self.lowercase)

"""BLEU: grades translations by the word sequences that they share with the reference. It knows nothing of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.libraries import optional

if TYPE_CHECKING:
    from ftlab.data.rows import Row


@dataclass
class BLEU(Grader):
    """BP * exp(mean of log p_n, n = 1..4), where p_n is the share of the answer's n-grams that are the reference's.

    BP = min(1, exp(1 - reference length / answer length)). The points are the sentence's BLEU, smoothed (`exp`) and
    with the orders that a short sentence has; the total `bleu` is the corpus's, from 0 to 100, which is no mean of them
    and is what papers report. Both are sacrebleu's.
    Source: Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002; Post, "A Call for
    Clarity in Reporting BLEU Scores", 2018, arXiv:1804.08771.
    """

    tokenize: Literal["13a", "zh", "intl", "char", "none"] = "13a"
    """How texts become words: `13a` as papers do, `zh` for Chinese, `intl` for all scripts with spaces, `char` for
    scripts without, `none` at white space."""
    lowercase: bool = False
    """Whether capitals count as small letters."""

    def grade(self, answer: str, reference: str) -> float:
        """Return the sentence's BLEU of 1."""
        return min(1.0, self._metric(True).sentence_score(answer, [reference]).score / 100)

    def totals(self, answers: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        """Return the corpus's `bleu` of 100, and sacrebleu's `signature` of how it was made."""
        metric = self._metric(False)
        found = metric.corpus_score(list(answers), [[row.reference or "" for row in rows]])
        return {"bleu": found.score, "signature": str(metric.get_signature())}

    def _metric(self, of_sentence: bool) -> Any:
        metrics = optional("sacrebleu", "BLEU").metrics
        return metrics.BLEU(tokenize=self.tokenize, lowercase=self.lowercase, effective_order=of_sentence)

"""ROUGE: grades summaries by what they share with the reference. It knows nothing of models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.libraries import optional

#: Runs of letters and digits; characters of scripts without spaces each for itself.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


@dataclass
class ROUGE(Grader):
    """2PR / (P + R), where P is the share of the answer's units that are the reference's, and R the other way round.

    Units are words, pairs of words, or the longest common subsequence. The points are the F-measure of rouge-score,
    whose own words are those of English letters alone; here the words of every script count, and English texts get the
    same figures.
    Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004.
    """

    kind: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL"
    """`rouge1`: words; `rouge2`: pairs; `rougeL`: longest common subsequence; `rougeLsum`: the same line by line."""
    stemmer: bool = False
    """Whether English words count by their stems (Porter, 1980): `cats` is `cat`."""

    def grade(self, answer: str, reference: str) -> float:
        """Return the F-measure."""
        return float(_scorer(self.kind, self.stemmer).score(reference, answer)[self.kind].fmeasure)


class _Words:
    """Cuts a text into words, as rouge-score asks for them."""

    def __init__(self, stemmer: Any) -> None:
        self._stemmer = stemmer

    def tokenize(self, text: str) -> list[str]:
        """Return the words in small letters; stems of those above three letters where a stemmer is given."""
        words: list[str] = _WORD.findall(text.lower())
        if not self._stemmer:
            return words
        return [self._stemmer.stem(word) if len(word) > 3 and word.isascii() else word for word in words]


@lru_cache(maxsize=8)
def _scorer(kind: str, stemmer: bool) -> Any:
    scorer = optional("rouge_score.rouge_scorer", "ROUGE")
    porter = optional("nltk.stem.porter", "ROUGE").PorterStemmer() if stemmer else None
    return scorer.RougeScorer([kind], tokenizer=_Words(porter))

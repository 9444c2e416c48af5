"""Wording: what a question says beside the sentences that most of its neighbours say too. It knows no files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ftlab.data.quality.text import digest, masked, numbers, shingles, squeezed, words
from ftlab.data.rows import Rows

_SENTENCE_END = re.compile(r"(?<=[.!?:;。！？])\s+|\n+|(?<=[。！？])")
#: A sentence of more than this share of the questions, and of more than so many, says nothing of any of them.
BOILERPLATE_SHARE, BOILERPLATE_COUNT = 0.01, 10
#: Rows by which boilerplate is told.
_SAMPLE = 20_000


@dataclass(frozen=True)
class Said:
    """A text in the forms in which it is compared."""

    exact: int
    """Hash of the text as it is."""
    normalised: int
    """Hash without case, punctuation and white space."""
    number_masked: int
    """The same with all numbers alike."""
    reordered: int
    """The same without the order of the words; the numbers keep theirs."""
    numbers: tuple[str, ...]
    """Its numbers in order."""
    long: bool
    """Whether it has words enough to be told by its wording."""
    shingles: np.ndarray
    """Of what is no boilerplate."""


class Wording:
    """Compares texts without their boilerplate: instructions, formats and examples that many of them share.

    Args:
        texts: a sample of the texts that will be compared.
    """

    #: Texts of fewer words, numbers aside, are alike by chance: `What is 3 + 4?`.
    SHORTEST = 6

    def __init__(self, texts: Iterable[str]) -> None:
        seen: set[str] = set()
        counts: Counter[str] = Counter()
        for text in texts:
            sentences = {" ".join(words(sentence)) for sentence in _SENTENCE_END.split(text)}
            if (key := squeezed(sorted(sentences))) not in seen:  # a copy does not make boilerplate
                seen.add(key)
                counts.update(sentences)
        most = max(BOILERPLATE_COUNT, BOILERPLATE_SHARE * len(seen))
        self._boilerplate = {sentence for sentence, count in counts.items() if count > most}

    def __call__(self, text: str) -> Said:
        """Return a text's forms."""
        sentences = [words(sentence) for sentence in _SENTENCE_END.split(text)]
        everything = [word for sentence in sentences for word in sentence]
        own = [word for sentence in sentences if " ".join(sentence) not in self._boilerplate for word in sentence]
        own = own or everything
        plain = squeezed(everything)
        exact, filling = digest(text), numbers(everything)
        return Said(
            exact=exact,
            normalised=digest(plain) if plain else exact,
            number_masked=digest(masked(plain)) if plain else exact,
            reordered=digest(" ".join([*sorted(everything), "", *filling])),
            numbers=filling,
            long=sum(not any(c.isdigit() for c in word) for word in own) >= self.SHORTEST,
            shingles=shingles(own),
        )


def sample(rows: Rows) -> Rows:
    """Return rows enough to tell boilerplate by, evenly spaced."""
    return rows.take(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64))

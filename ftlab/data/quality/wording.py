"""Wording: what a question says beside the sentences that most of its neighbours say too. It knows no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ftlab.data.quality.text import digest, masked, normalised, numbers, sentences, shingles, squeezed
from ftlab.data.rows import Rows

#: A sentence of more than this share of the questions, and of more than so many, says nothing of any of them.
BOILERPLATE_SHARE, BOILERPLATE_COUNT = 0.01, 10
#: Texts of fewer words, numbers aside, are alike by chance: `What is 3 + 4?`.
SHORTEST = 8
#: Rows by which boilerplate is told.
_SAMPLE = 20_000


@dataclass
class Said:
    """A text in the forms in which it is compared, each made when it is asked for."""

    text: str
    words: list[str]
    """All its words."""
    own: list[str]
    """Those that are no boilerplate."""
    answer: str | None = None
    """The answer to it, where it is a question that has one."""

    @cached_property
    def exact(self) -> int:
        """Hash of the text as it is."""
        return digest(self.text)

    @cached_property
    def normalised(self) -> int:
        """Hash without case, punctuation and white space."""
        return digest(self._squeezed) if self._squeezed else self.exact

    @cached_property
    def number_masked(self) -> int:
        """The same with all numbers alike."""
        return digest(masked(self._squeezed)) if self._squeezed else self.exact

    @cached_property
    def reordered(self) -> int:
        """The same without the order of the words; the numbers keep theirs."""
        return digest(" ".join([*sorted(self.words), "", *self.numbers]))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Its numbers in order."""
        return numbers(self.words)

    @cached_property
    def answered(self) -> str | None:
        """The answer without case, punctuation and white space."""
        return None if self.answer is None else normalised(self.answer)

    @cached_property
    def outcome(self) -> str | None:
        """The answer's last number, or all of it where it has none: two ways to one solution agree in it."""
        found = numbers([self.answered or ""])
        return found[-1] if found else self.answered

    @cached_property
    def long(self) -> bool:
        """Whether it has words enough to be told by its wording."""
        return sum(map(str.isalpha, self.own)) >= SHORTEST

    @cached_property
    def shingles(self) -> np.ndarray:
        """Hashes of what is no boilerplate, sorted."""
        return shingles(self.own)

    @cached_property
    def _squeezed(self) -> str:
        return squeezed(self.words)


class Wording:
    """Compares texts without their boilerplate: instructions, formats and examples that many of them share.

    Args:
        texts: a sample of the texts that will be compared.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        seen: set[str] = set()
        counts: Counter[str] = Counter()
        for text in texts:
            said = {" ".join(sentence) for sentence in sentences(text)}
            if (key := squeezed(sorted(said))) not in seen:  # a copy does not make boilerplate
                seen.add(key)
                counts.update(said)
        most = max(BOILERPLATE_COUNT, BOILERPLATE_SHARE * len(seen))
        self._boilerplate = {sentence for sentence, count in counts.items() if count > most}

    def __call__(self, text: str, answer: str | None = None) -> Said:
        """Return the forms of a text, and of the answer to it."""
        parts = sentences(text)
        everything = [word for part in parts for word in part]
        own = [word for part in parts if " ".join(part) not in self._boilerplate for word in part]
        return Said(text, everything, own or everything, answer)


def sample(rows: Rows) -> Rows:
    """Return rows enough to tell boilerplate by, evenly spaced."""
    return rows.take(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64))

"""Answers: which of them are empty, very short or cut off, and whether they are classes. They know no tokens."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field

#: Answers of so many or fewer characters are very short.
SHORT = 2
#: An answer may be cut off if what stands after its last full stop or line break has so many words or more.
_OPEN_WORDS = 5
#: Endings without a mark are a style and no fault where more than this share of such answers has one.
_STYLE_SHARE = 0.1
#: As many different answers or fewer, each repeated, are classes; and so many rows for each, taken together.
CLASSES, ROWS_PER_CLASS = 20, 5


@dataclass
class Answers:
    """The traits of some answers, gathered one by one."""

    empty: list[int] = field(default_factory=list)
    """Rows whose answer has no letter, digit or symbol."""
    _short: list[int] = field(default_factory=list)
    _broken: list[int] = field(default_factory=list)
    _unmarked: list[int] = field(default_factory=list)
    _sentences: int = 0
    _counts: Counter[str] | None = field(default_factory=Counter)
    _rows: int = 0

    def add(self, row: int, text: str) -> None:
        """Look at the answer of a row."""
        self._rows += 1
        text = text.strip()
        if not any(unicodedata.category(c)[0] in "LNS" for c in text):
            self.empty.append(row)
            return
        if len(text) <= SHORT and not any(unicodedata.category(c) in ("Nd", "Nl", "No", "Lo", "So") for c in text):
            self._short.append(row)  # a number, a Han sign or an emoji may well be a whole answer
        if self._counts is not None:
            self._counts[text] += 1
            if len(self._counts) > CLASSES:
                self._counts = None
        self._look_for_an_end(row, text)

    @property
    def classes(self) -> dict[str, int]:
        """Rows of each distinct answer, the most frequent first, where they are classes; else empty."""
        counts = self._counts
        if not counts or len(counts) < 2 or min(counts.values()) < 2 or counts.total() < ROWS_PER_CLASS * len(counts):
            return {}
        return dict(counts.most_common())

    @property
    def short(self) -> list[int]:
        """Rows whose answer has one or two characters, unless it is a number, or the answers are classes."""
        return [] if self.classes else self._short

    @property
    def cut_off(self) -> list[int]:
        """Rows whose answer seems to end in the middle.

        That is an answer with a fence of code that is not closed, or that ends with a comma or an opening bracket; or
        whose last sentence has five words or more and no mark at its end, where nine of ten such answers have one.
        """
        style = len(self._unmarked) > _STYLE_SHARE * self._sentences
        return sorted({*self._broken, *([] if style else self._unmarked)})

    def _look_for_an_end(self, row: int, text: str) -> None:
        if text.count("```") % 2 or text[-1] in ",，、([{（":
            self._broken.append(row)
            return
        sentence = text.rpartition("\n")[2]
        *_, last = sentence.replace("! ", ". ").replace("? ", ". ").split(". ")
        if len(last.split()) >= _OPEN_WORDS:
            self._sentences += 1
            if text[-1].isalpha():
                self._unmarked.append(row)

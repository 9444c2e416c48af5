"""Steps: the built-in ways to clean rows. They know nothing of files and tokens."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ftlab.data.quality import duplicates
from ftlab.data.quality.cleaning import Step
from ftlab.data.quality.text import answer, question
from ftlab.data.rows import Message, Row, Rows
from ftlab.errors import SettingError, require

Part = Literal["question", "answer", "any"]


@dataclass
class _HeldOut:
    """The setting that all of them share."""

    held_out: bool = field(default=False, kw_only=True)
    """Whether rows of `data.validation` and `data.test` are left out too; false keeps them all."""


@dataclass
class Whitespace(_HeldOut, Step):
    """Trims every message, its lines' ends and its empty lines, in all splits; indentation stays.

    A training row of which a message is empty then is left out.
    """

    inner: bool = False
    """Whether runs of spaces within a line become one too; that ruins code and tables."""

    def row(self, row: Row) -> Row | str:
        """Return the row with tidy messages."""
        return _edited(row, self._tidy)

    def _tidy(self, text: str) -> str:
        text = re.sub(r"[^\S\n]+(?=\n|$)", "", text.replace("\r\n", "\n").replace("\r", "\n"))
        text = re.sub(r"\n{3,}", "\n\n", text)
        if self.inner:
            text = re.sub(r"(?<=\S)[^\S\n]+", " ", text)
        return text.strip()


@dataclass
class Duplicates(_HeldOut, Step):
    """Leaves out training rows that say what an earlier one says, answer included; the first one stays.

    With `held_out` also of `data.validation` and `data.test`, each compared with its own rows.
    """

    kind: Literal["exact", "normalised", "number_masked", "near"] = "normalised"
    """`exact`; `normalised`: case, punctuation and white space aside; `number_masked`: numbers aside too, which deletes
    exercises that differ in their numbers; `near`: most words in common and the same numbers."""

    def left_out(self, rows: Rows) -> dict[int, str]:
        """Return the later rows of each group."""
        keys = getattr(duplicates.prints(rows), "normalised" if self.kind == "near" else self.kind)
        groups = duplicates.groups(keys)
        if self.kind == "near":
            groups += duplicates.near_groups(rows)
        return {i: self._reason(rows, first) for i, first in duplicates.firsts(groups)}

    def _reason(self, rows: Rows, first: int) -> str:
        return f"{self.kind.replace('_', '-')} duplicate: of {rows.place(first)}"


@dataclass
class Conflicts(_HeldOut, Step):
    """Leaves out training rows whose question has another answer in another one.

    With `held_out` also of `data.validation` and `data.test`, each compared with its own rows.
    """

    keep: Literal["none", "first", "majority"] = "none"
    """Which rows of such a question stay: none, those with the first answer, or those with the most frequent one (the
    first of equally frequent ones)."""

    def left_out(self, rows: Rows) -> dict[int, str]:
        """Return the rows of each such question but those to keep."""
        prints = duplicates.prints(rows)
        gone = {}
        for group in duplicates.conflicts(prints):
            answers = prints.answer[group].tolist()
            kept = {"none": None, "first": answers[0], "majority": Counter(answers).most_common(1)[0][0]}[self.keep]
            for i, given in zip(group.tolist(), answers, strict=True):
                if given != kept:
                    other = next(int(j) for j, a in zip(group, answers, strict=True) if a != given)
                    gone[i] = f"conflicting answers: {rows.place(other)} gives another one"
        return gone


@dataclass
class Lengths(_HeldOut, Step):
    """Leaves out training rows of which a part is too short or too long; with `held_out` also held-out rows."""

    of: Part | Literal["turn"] = "answer"
    """What is measured: the closing `answer`, the `question` (all before it but what the system says), `any` for the
    whole chat, or each `turn`."""
    min: int | None = None
    """The least that is good; either this or `max` is set."""
    max: int | None = None
    """The most that is good."""
    unit: Literal["characters", "words"] = "characters"
    """What is counted; words are what white space parts."""

    def __post_init__(self) -> None:
        low, high = self.min or 0, self.max
        if not low and high is None:
            raise SettingError("data.clean", "Lengths without a bound is not a limit; set min (1 or more), max or both")
        require(low >= 0, "data.clean", self.min, "a length")
        require(high is None or high >= low, "data.clean", high, f"a max that is at least the min, {low}")

    def row(self, row: Row) -> Row | str:
        """Return the row, or what is too short or too long."""
        for text in _parts(row, self.of):
            length = len(text.split()) if self.unit == "words" else len(text)
            if length < (self.min or 0):
                return f"{self.of} too short: {length} {self.unit}"
            if self.max is not None and length > self.max:
                return f"{self.of} too long: {length} {self.unit}"
        return row


@dataclass
class Pattern(_HeldOut, Step):
    """Leaves out training rows by a regular expression, or replaces what it matches in all splits.

    With `held_out` held-out rows are left out too.
    """

    pattern: str
    """A regular expression of Python's `re`, looked for anywhere in the text; `(?i)` in front ignores case."""
    do: Literal["drop", "keep", "replace"] = "drop"
    """`drop` leaves out rows in which it matches, `keep` those in which it does not, `replace` changes the text."""
    by: str = ""
    """What `replace` puts in its place; `\\\\1` is the first group."""
    of: Part = "any"
    """Where it is looked for: the closing `answer`, the `question`, or `any` message."""

    def __post_init__(self) -> None:
        try:
            self._compiled = re.compile(self.pattern)
            self._compiled.sub(self.by, "")  # the replacement is read even where nothing matches
        except (re.error, IndexError) as error:
            raise SettingError(
                "data.clean",
                f"Pattern {self.pattern!r} with {self.by!r} is no regular expression ({error}); escape "
                "signs that stand for themselves with a backslash",
            ) from error

    def row(self, row: Row) -> Row | str:
        """Return the row, changed perhaps, or whether it matches."""
        if self.do == "replace":
            return _edited(row, lambda text: self._compiled.sub(self.by, text), self.of)
        matches = any(self._compiled.search(text) for text in _parts(row, self.of))
        if matches == (self.do == "keep"):
            return row
        return f"{'matches' if matches else 'does not match'} {self.pattern!r}"


def _parts(row: Row, of: str) -> Iterable[str]:
    if of == "turn":
        return [message.get("content") or "" for message in row.messages if message["role"] != "system"]
    if of == "question":
        return [question(row)]
    if of == "answer":
        return [text for text in [answer(row)] if text is not None]
    return ["\n".join(message.get("content") or "" for message in row.messages)]


def _edited(row: Row, edit: Callable[[str], str], of: Part = "any") -> Row | str:
    """Return a row with its texts edited, the worse ending of a pair too, or why nothing is left of it."""
    prompt = len(row.prompt)

    def edited(at: int, message: Message) -> Message:
        text: Any = message.get("content")
        if not text or (of == "answer" and at < prompt) or (of == "question" and at >= prompt):
            return message
        return {**message, "content": edit(text)}

    messages = [edited(at, message) for at, message in enumerate(row.messages)]
    rejected = row.rejected and [edited(prompt, message) for message in row.rejected]
    for old, new in zip([*row.messages, *(row.rejected or [])], [*messages, *(rejected or [])], strict=True):
        if old.get("content") and not new["content"] and not new.get("tool_calls"):
            return f"a message is empty: nothing is left of what the {old['role']} says"
    if messages == row.messages and rejected == row.rejected:
        return row
    return dataclasses.replace(row, messages=messages, rejected=rejected)

"""Options: the choices of a question, and which of them a text means. They know no grader."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from ftlab.data.rows import Row

#: Columns that data sets keep the options in.
COLUMNS = ("choices", "options")

#: `A. text`, `(A) text`, `A) text`, `A: text` at the beginning of a line.
_LINE = re.compile(r"^[ \t>*-]*\(?([A-Z])[).:、．：]\**[ \t]*(\S.*)$", flags=re.MULTILINE)
#: Several in one line: `(A) red (B) blue`.
_INLINE = re.compile(r"\(([A-Z])\)[ \t]*([^()\n]+)")


def options_of(row: Row, column: str | None = None) -> dict[str, str]:
    """Return the texts of a question's options by their letters, empty where it has none.

    Args:
        row: the question.
        column: that holds the options: a list of texts, texts by letters, or `{"label": [...], "text": [...]}`. None
            takes `choices` or `options`, else the options that the last turn of the question lists.

    Raises:
        FtlabError: the column holds something else.
    """
    names = [column] if column else [name for name in COLUMNS if name in row.extra]
    if names:
        options = _labelled(row.extra.get(names[0]))
        if len(options) < 2:
            raise FtlabError(f"{names[0]} holds no options; write a list of two texts or more")
        return options
    question = row.prompt[-1].get("content") if row.prompt else None
    return listed(question) if isinstance(question, str) else {}


def listed(question: str) -> dict[str, str]:
    """Return the options `A`, `B`, ... that a text lists, in lines or in one; of several lists the last."""
    for pattern in (_LINE, _INLINE):
        found: dict[str, str] = {}
        for letter, text in pattern.findall(question):
            if letter == "A":
                found = {"A": text.strip()}
            elif found and letter == string.ascii_uppercase[len(found) % 26]:
                found[letter] = text.strip()
        if len(found) > 1:
            return found
    return {}


def meant(text: str, options: Mapping[str, str]) -> str | None:
    r"""Return the letter of the option that a text means; None where it means none, or several.

    The surest way of saying it counts: `\boxed{B}`, `the answer is (B)`, `B. ...` at the beginning, `B` in a line
    of its own, `(B)`, the words of one option alone, `B` at the end. Of several equally sure places the last counts.

    Args:
        text: an answer or a reference.
        options: texts by letters; empty texts where only the letters are known.
    """
    letters = {letter.casefold(): letter for letter in options}
    if found := letters.get(text.strip(string.whitespace + string.punctuation).casefold()):
        return found
    *sure, last = _ways("".join(options))
    for way in sure:
        if matches := list(way.finditer(text)):
            return None if matches[-1]["more"] else letters[matches[-1]["letter"].casefold()]
    said = _spelt_out(text, options)
    if said or not (end := last.search(text)):
        return said
    return letters[end["letter"].casefold()]


@lru_cache(maxsize=256)
def _ways(letters: str) -> tuple[re.Pattern[str], ...]:
    """Return the patterns of the ways to name one of the letters, the surest first."""
    capital = f"[{re.escape(letters)}]"
    small = f"[{re.escape(letters.lower())}]"
    open_, close = r"[\"'`*_(\[{]{0,4}", r"[\"'`*_)\]}]{0,4}"
    # `A dog` is no choice, `A because` is one
    whole = r"(?![A-Za-z0-9'’])(?!(?<=[AI]) +(?!because|since|as|is|which|for|and|or)[a-z])"
    several = rf"(?P<more>{close}\s?(?:or|and|/|&|,)\s?(?:or |and )?{open_}{capital}(?![A-Za-z0-9'’]))?"
    letter = rf"{open_}(?P<letter>{capital}){whole}{several}"
    says = (
        r"(?i:\b(?:answer|choice|option)\b|答案|选项?|选择)[*\"]{0,2}\s?"
        r"(?:[:：]|(?i:is|would be|should be|must be)\b|是|为|=)?[:：]?[*\s]{0,4}(?i:(?:option|choice|letter)\s)?"
    )
    reason = r"[ \t]+(?:because|since|as|is (?:the )?(?:correct|right|best))\b"
    patterns = (
        rf"\\f?boxed\s?\{{\s?(?:\\(?:text|mathrm|textbf|mathbf)\s?\{{)?{letter}",
        rf"{says}{letter}",
        rf"{says}\((?P<letter>{small})\)(?P<more>)",
        rf"\A\s*{letter}{close}(?:[ \t]*[.:,;\n)-]|\s*\Z|{reason})",
        rf"^[ \t]{{0,9}}{letter}{close}[.:]?[ \t]{{0,9}}$",
        rf"(?<!not )\((?P<letter>{capital})\)(?P<more>)",
    )
    end = rf"(?<![A-Za-z0-9'’.-])(?<!not )(?P<letter>{capital})[.!)\]*\"'`]{{0,4}}\s*\Z"
    return tuple(re.compile(pattern, flags=re.MULTILINE) for pattern in (*patterns, end))


def _spelt_out(text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the only option whose words a text holds; `dark red` is not also `red`."""
    said = " ".join(text.casefold().split())
    words = {letter: " ".join(option.casefold().split()).rstrip(".") for letter, option in options.items()}
    held = [
        letter
        for letter, option in words.items()
        if option and re.search(rf"(?<![a-z0-9]){re.escape(option)}(?![a-z0-9])", said)
    ]
    longest = [one for one in held if not any(words[one] in words[other] and one != other for other in held)]
    return longest[0] if len(longest) == 1 else None


def _labelled(value: Any) -> dict[str, str]:
    """Return a column's options by their letters, empty where it holds none."""
    if isinstance(value, Mapping) and {"label", "text"} <= value.keys():
        labels, texts = value["label"], value["text"]
    elif isinstance(value, Mapping):
        labels, texts = list(value), list(value.values())
    else:
        labels, texts = list(string.ascii_uppercase), value
    if not isinstance(texts, list) or not isinstance(labels, list) or len(texts) > len(labels):
        return {}
    if not all(isinstance(label, str) and len(label) == 1 and label.isalnum() for label in labels):
        return {}
    if not all(isinstance(text, str) for text in texts):
        return {}
    return {label.upper(): text for label, text in zip(labels, texts, strict=False)}

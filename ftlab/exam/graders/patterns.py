"""Patterns: a user's regular expressions on a model's texts, with a limit of time. They know no grader."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import regex

from ftlab.errors import SettingError

#: An expression that backtracks for ever on some answer has not matched it.
SECONDS = 1.0


def compiled(pattern: str, key: str) -> Any:
    """Return a regular expression ready to search with.

    Args:
        pattern: as the user wrote it.
        key: the setting that holds it, dotted.

    Raises:
        SettingError: it is none.
    """
    try:
        return _compile(pattern)
    except regex.error as error:
        raise SettingError(key, f"{pattern!r} is not a regular expression: {error}") from error


def last_match(pattern: str, text: str) -> str | None:
    """Return the first group of the last match, the whole match where there are no groups; None without a match."""
    last = None
    try:
        for match in _compile(pattern).finditer(text, timeout=SECONDS):
            last = match
    except TimeoutError:
        return None
    return None if last is None else last[1 if last.re.groups else 0]


@lru_cache(maxsize=64)
def _compile(pattern: str) -> Any:
    return regex.compile(pattern)

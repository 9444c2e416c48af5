"""The one kind of error that a user sees as a single line, and help with misspelt names; knows nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Exit codes of the command line, as the README documents them.
EXIT_BUG, EXIT_INPUT, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 4, 130


class FtlabError(Exception):
    """What is wrong and what to do about it, in one line: `place: what is wrong; what to do`.

    The command line prints it after `ftlab: error: ` and leaves with its exit code.
    """

    exit_code = EXIT_INPUT


class RefusedError(FtlabError):
    """Weights and a base that do not belong together; both fingerprints are in the message."""

    exit_code = EXIT_REFUSED


class SettingError(FtlabError):
    """A setting of the right type with a value that makes no sense; the command line adds where it was written.

    Args:
        key: dotted, as in the YAML.
        reason: what is wrong; what to do.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


def require(condition: bool, key: str, value: object, wanted: str) -> None:
    """Raise a SettingError unless the condition holds.

    Args:
        condition: what must be true.
        key: dotted, as in the YAML.
        value: what was given.
        wanted: ends the sentence "... is not ...".
    """
    if not condition:
        raise SettingError(key, f"{value!r} is not {wanted}")


def choices_help(name: str, choices: Iterable[str]) -> str:
    """Return `did you mean r? (r, alpha, dropout)`: the nearest of the choices, if one is near, then all of them."""
    choices = list(choices)
    by_lowercase = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_lowercase, n=1, cutoff=0.6)
    if not near:  # `rank` for `r`, `epochs` for `max_epochs`: no edit distance sees these
        near = [c for c in by_lowercase if c.startswith(name.lower()) or name.lower().startswith(c)]
    listed = f"({', '.join(choices)})"
    return f"did you mean {by_lowercase[near[0]]}? {listed}" if near else f"choose one of {listed}"

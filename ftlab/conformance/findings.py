"""Finding: what one check measured. It knows no check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The outcome of one check on one architecture."""

    number: int
    """The check's number, as the README lists them."""
    name: str
    """The check's name."""
    architecture: str
    """The model that it ran on."""
    passed: bool | None
    """None where the check does not apply and the figure says why."""
    figure: str
    """What was measured."""

    def __str__(self) -> str:
        """Return one line of the terminal."""
        word = {True: "ok", False: "FAILED", None: "-"}[self.passed]
        return f"{word:6} {self.number:2} {self.name:12} {self.architecture:6} {self.figure}"


class Failed(Exception):
    """A check did not hold; the text is its figure."""


class DoesNotApply(Exception):
    """A check has nothing to say of this method; the text says why."""


def hold(condition: bool, figure: str) -> str:
    """Return the figure if the condition holds.

    Raises:
        Failed: it does not.
    """
    if not condition:
        raise Failed(figure)
    return figure

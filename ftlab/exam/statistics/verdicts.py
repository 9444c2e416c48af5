"""Verdicts: a difference in plain words. It knows nothing of how the difference was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ftlab.exam.statistics.paired import Difference, difference

BETTER, WORSE, NOT_SHOWN = "better", "worse", "no difference shown"


@dataclass(frozen=True)
class Verdict:
    """What a difference says: `better`, `worse` or `no difference shown`, and the sentence to print."""

    word: str
    sentence: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.sentence


def verdict(found: Difference) -> Verdict:
    """Return what a difference says, `better` meaning that the second of the two is better.

    `better by 12 points (3 to 20, p = 0.012)`, or `no difference shown (n = 10 can show no less than 60 points)`: see
    `difference` for the least. A single run on either side cannot tell a method from its seed, and the sentence says
    so.
    """
    seeds = "; seeds were not varied" if found.seeds == (1, 1) else ""
    if found.shown:
        word = BETTER if found.points > 0 else WORSE
        return Verdict(word, f"{word} by {_amount(found)}{seeds}")
    n = f"n = {found.questions}"
    if found.seeds and not seeds:
        n += " with {} and {} seeds".format(*found.seeds)
    if found.comparisons > 1:
        reason = f"{n}, corrected for {found.comparisons} comparisons"
    elif found.least is None or found.least > 100:
        reason = f"{n} can show none"
    else:
        reason = f"{n} can show no less than {_points(found.least, up=True)}"
    return Verdict(NOT_SHOWN, f"{NOT_SHOWN} ({reason}){seeds}")


def three_way(base: Sequence[float], few_shot: Sequence[float], tuned: Sequence[float], shots: int) -> Verdict:
    """Return whether the tuned model is better than the base and than the base with examples in its prompt.

    `better` needs both, which is a test at 5 % as it stands (Berger, 1982, "Multiparameter hypothesis testing and
    acceptance sampling"); `worse` is said where either beats the tuned model.

    Args:
        base: points by question of the base.
        few_shot: the same of the base with examples in its prompt.
        tuned: the same of the tuned model.
        shots: how many examples.
    """
    with_examples = f"the {base_with(shots)} in its prompt"
    words, sentences = [], []
    for name, points in ((with_examples, few_shot), ("the base", base)):
        found = difference(points, tuned)
        said = verdict(found)
        words.append(said.word)
        if said.word == WORSE:
            sentences.append(f"{name} beats the tuned model by {_amount(found)}")
        elif said.word == BETTER:
            sentences.append(f"the tuned model beats {name} by {_amount(found)}")
        else:
            sentences.append(f"the tuned model against {name}: {said.sentence}")
    word = WORSE if WORSE in words else BETTER if set(words) == {BETTER} else NOT_SHOWN
    return Verdict(word, "; ".join(sentences))


def base_with(shots: int) -> str:
    """Return `base with 2 examples`."""
    return f"base with {shots} example{'s' if shots != 1 else ''}"


def format_p(p: float) -> str:
    """Return `p < 0.001` or `p = 0.042`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _amount(found: Difference) -> str:
    """Return `12 points (3 to 20, p = 0.012)`, without signs."""
    low, high = (found.low, found.high) if found.points > 0 else (-found.high, -found.low)
    return f"{_points(abs(found.points))} ({_figure(low)} to {_figure(high)}, {format_p(found.p_value)})"


def _points(value: float, up: bool = False) -> str:
    """Return `31 points`, rounded up where a lesser figure would be false."""
    text = _figure(value, up)
    return f"{text} point{'s' if text != '1' else ''}"


def _figure(value: float, up: bool = False) -> str:
    """Return whole points from 10 on, and two digits below."""
    digits = 0 if value >= 10 or value <= 0 else 1 - math.floor(math.log10(value))
    if up:
        value = math.ceil(round(value * 10**digits, 6)) / 10**digits
    return f"{round(value, digits):.10g}"

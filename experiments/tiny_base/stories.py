"""Word problems in many wordings: choosing the operation and copying numbers out of a text.

A kind of problem draws its numbers here; its wordings stand in ``stories.toml``.
"""

import random
import tomllib
from collections.abc import Callable
from pathlib import Path

from arithmetic import Step, addition, product, quotient, subtraction
from words import fill

Draw = Callable[[random.Random], tuple[dict[str, int], list[Step]]]


def _one(draw: Callable[[random.Random], Step]) -> Draw:
    """Numbers a and b of a single step."""

    def drawn(rng: random.Random) -> tuple[dict[str, int], list[Step]]:
        step = draw(rng)
        return {"a": step.left, "b": step.right}, [step]

    return drawn


def _then(first: Callable[[random.Random], Step], sign: str) -> Draw:
    """A step, and a second that adds c to its result or takes c away from it."""

    def drawn(rng: random.Random) -> tuple[dict[str, int], list[Step]]:
        start = first(rng)
        while start.value < 2:
            start = first(rng)
        most = start.value - 1 if sign == "-" else 60
        second = Step(start.value, sign, rng.randint(1, most))
        return {"a": start.left, "b": start.right, "c": second.right}, [start, second]

    return drawn


def _spend(rng: random.Random) -> tuple[dict[str, int], list[Step]]:
    """Several things of one price, and the change from c."""
    cost = product(rng)
    money = cost.value + rng.randint(1, 50)
    return {"a": cost.left, "b": cost.right, "c": money}, [cost, Step(money, "-", cost.value)]


def _rim(rng: random.Random) -> tuple[dict[str, int], list[Step]]:
    """Two sides of a rectangle, and twice their sum."""
    sides = Step(rng.randint(2, 30), "+", rng.randint(2, 30))
    return {"a": sides.left, "b": sides.right}, [sides, Step(2, "*", sides.value)]


def _double(rng: random.Random) -> tuple[dict[str, int], list[Step]]:
    """Twice a number up to 99."""
    step = Step(2, "*", rng.randint(2, 99))
    return {"a": step.right}, [step]


def _half(rng: random.Random) -> tuple[dict[str, int], list[Step]]:
    """Half an even number up to 198."""
    step = Step(2 * rng.randint(2, 99), "/", 2)
    return {"a": step.left}, [step]


DRAWS: dict[str, Draw] = {
    "plus": _one(addition),
    "minus": _one(subtraction),
    "times": _one(product),
    "over": _one(quotient),
    "plus_minus": _then(addition, "-"),
    "minus_minus": _then(subtraction, "-"),
    "plus_plus": _then(addition, "+"),
    "times_plus": _then(product, "+"),
    "times_minus": _then(product, "-"),
    "spend": _spend,
    "rim": _rim,
    "double": _double,
    "half": _half,
}
WORDINGS: dict[str, list[str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
# A kind comes up as often as it has wordings, and a little more where it has few.
_WEIGHTS = [len(WORDINGS[kind]) + 1 for kind in DRAWS]


def story(rng: random.Random) -> tuple[str, list[Step]]:
    """A word problem and its working."""
    kind = rng.choices(list(DRAWS), _WEIGHTS)[0]
    values, steps = DRAWS[kind](rng)
    return fill(rng, rng.choice(WORDINGS[kind]), values), steps

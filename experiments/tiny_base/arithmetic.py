"""Arithmetic on whole numbers up to 250: which pairs are drawn, and how a step is written."""

import random
from dataclasses import dataclass

LIMIT = 250


@dataclass(frozen=True)
class Step:
    """One line of working, such as ``48 - 17 = 31``."""

    left: int
    sign: str
    right: int

    @property
    def value(self) -> int:
        """The result of the step."""
        match self.sign:
            case "+":
                return self.left + self.right
            case "-":
                return self.left - self.right
            case "*":
                return self.left * self.right
            case _:
                return self.left // self.right

    @property
    def task(self) -> str:
        """The step without its result."""
        return f"{self.left} {self.sign} {self.right}"

    def __str__(self) -> str:
        """The step as a line of working."""
        return f"{self.task} = {self.value}"


def addition(rng: random.Random, low: int = 1) -> Step:
    """A sum; four in five stay within 100, where carrying is learnt first."""
    top = 100 if rng.random() < 0.8 else LIMIT
    total = rng.randint(2 * low, top)
    left = rng.randint(low, total - low)
    return Step(left, "+", total - left)


def subtraction(rng: random.Random, low: int = 1) -> Step:
    """A difference that is never below zero: the mirror image of a sum."""
    mirrored = addition(rng, low)
    return Step(mirrored.value, "-", mirrored.left)


def product(rng: random.Random) -> Step:
    """A product of the tables up to 10, and now and then of a round number."""
    left, right = rng.randint(2, 10), rng.randint(2, 10)
    if rng.random() < 0.08:
        left, right = rng.choice((10, 20, 25, 30, 40, 50)), rng.randint(2, 5)
    return Step(right, "*", left) if rng.random() < 0.5 else Step(left, "*", right)


def quotient(rng: random.Random) -> Step:
    """A division without remainder."""
    mirrored = product(rng)
    return Step(mirrored.value, "/", mirrored.right)


DRAWS = (addition, addition, subtraction, subtraction, product, quotient)


def any_step(rng: random.Random) -> Step:
    """A step of any kind; sums and differences twice as often, as they have more cases."""
    return rng.choice(DRAWS)(rng)

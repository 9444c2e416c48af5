"""Curve sets: synthetic trainings of a known state, from models of learning and of noise. It knows no rule.

A training comes nearer to its floor with each unit of learning rate. What is drawn at random: length, schedule, speed,
levels, noise of batches (as a share of the loss, in part carried from step to step), validation cadence and noise.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from ftlab.diagnosis import Curves, Series
from ftlab.diagnosis.curves import ExamResult

STATES = ("failed", "unstable", "underfitting", "overfitting", "converged", "successful")
LENGTHS = (8, 10, 16, 30, 64, 150, 400, 1200, 5000)


def draw(state: str, seed: int) -> Curves:
    """Return a training of that state."""
    rng = np.random.default_rng([STATES.index(state), seed])
    count = int(rng.choice(LENGTHS))
    every = int(rng.choice([1, 5, 10]))
    steps = every * np.arange(1, count + 1)
    rates, logged = schedule(rng, count)
    done = (np.cumsum(rates) - rates) / rates.sum()  # a batch's loss is taken before its step
    start = rng.uniform(1.5, 11)
    floor = start * rng.uniform(0.02, 0.6)
    way = {"failed": failing, "unstable": shaking, "underfitting": unfinished, "overfitting": parting}.get(
        state, finished
    )
    train, held_out = way(rng, done, start, floor)
    wild = state == "unstable"
    amount = rng.choice([0.01, 0.03, 0.06] if count < 30 else [0.01, 0.04, 0.12])
    fewest = 4 if state == "overfitting" else 2
    cadence = np.unique(
        np.linspace(0, count, 1 + int(rng.integers(fewest, min(26, count // 2) + 1))).astype(int)[1:] - 1
    )
    validation = held_out[cadence] * (1 + rng.uniform(0.001, 0.008) * rng.standard_normal(len(cadence)))
    if state != "overfitting" and rng.random() < 0.15:
        cadence = cadence[:0]
        validation = validation[:0]
    noisy = train * np.exp(batches(rng, count) * amount * (0.5 if wild else 1))
    return Curves(
        train=Series(steps.astype(float), noisy),
        validation=Series(steps[cadence].astype(float), validation),
        learning_rate=Series(steps.astype(float), rates * 10 ** rng.uniform(-5, -2)) if logged else Series.of(),
        result=exam(rng, state),
    )


def schedule(rng: np.random.Generator, count: int) -> tuple[np.ndarray, bool]:
    """Return the rate of each step, and whether it was logged: a constant one need not be."""
    kind = rng.choice(["constant", "cosine", "linear"])
    x = (np.arange(count) + 0.5) / count
    warmup = rng.choice([0.0, 0.03, 0.1])
    rates = {"constant": np.ones(count), "cosine": (1 + np.cos(np.pi * x)) / 2, "linear": 1 - x}[kind]
    return rates * np.minimum(1, (x + 1e-3) / max(warmup, 1e-3)), bool(kind != "constant" or rng.random() < 0.5)


def batches(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return noise of unit variance, a part of it carried on."""
    carried = rng.choice([0.0, 0.3])
    return lfilter([np.sqrt(1 - carried**2)], [1, -carried], rng.standard_normal(count))


def exam(rng: np.random.Generator, state: str) -> ExamResult | None:
    before = rng.uniform(0, 40)
    if state == "successful":
        return ExamResult(before, before + rng.uniform(15, 55), rng.choice([0.001, None]))
    if state == "converged":
        return rng.choice([None, ExamResult(before, before + rng.uniform(-3, 3), 0.6)])
    if state == "underfitting" and rng.random() < 0.5:
        return ExamResult(before, before + rng.uniform(0, 40), 0.01)
    return None


def decay(done: np.ndarray, start: float, floor: float, speed: float) -> np.ndarray:
    return floor + (start - floor) * np.exp(-speed * done)


def unfinished(rng, done, start, floor):
    if rng.random() < 0.5:
        train = decay(done, start, floor, rng.uniform(0.6, 2))
    else:
        train = floor + (start - floor) / (1 + rng.uniform(0.8, 3) * done)
    return train, train * rng.uniform(1, 1.05)


def finished(rng, done, start, floor):
    speed = rng.uniform(7, 20)
    gap = rng.uniform(0, 0.06) * (start - floor)
    return decay(done, start, floor, speed), decay(done, start, floor + gap, speed)


def parting(rng, done, start, floor):
    """The training loss falls to its floor; the validation loss follows it to a point and rises from there."""
    speed, turn = rng.uniform(3, 12), rng.uniform(0.15, 0.5)
    held_out = decay(done, start, floor + rng.uniform(0.02, 0.15) * (start - floor), rng.uniform(4, 8) / turn)
    rise = rng.uniform(0.12, 0.8) * (start - floor) * np.maximum(0, (done - turn) / (1 - turn)) ** rng.uniform(0.7, 1.5)
    return decay(done, start, 0.3 * floor, speed), held_out + rise


def failing(rng, done, start, floor):
    x = np.linspace(0, 1, len(done))
    kind = rng.choice(["vocabulary", "flat", "rising", "diverging", "thrown"])
    if kind == "vocabulary":
        train = np.full(len(done), np.log(rng.choice([2048, 32_000, 151_936])))
    elif kind == "flat":
        train = np.full(len(done), start)
    elif kind == "rising":
        train = start * (1 + rng.uniform(0.4, 2) * x)
    elif kind == "diverging":
        turn = rng.uniform(0.2, 0.5)
        fallen = decay(np.minimum(x, turn), start, floor, 6)
        train = fallen + np.maximum(0, x - turn) / (1 - turn) * rng.uniform(1.2, 2) * (start - floor)
    else:
        train = start + rng.uniform(0.5, 1.5) * start * (1 - np.exp(-15 * x))
    return train, train


def shaking(rng, done, start, floor):
    count = len(done)
    train = decay(done, start, floor, rng.uniform(2, 8))
    kind = rng.choice(["nan", "spikes", "waves", "jumps"])
    if kind == "nan":
        train[int(rng.uniform(0.3, 0.9) * count) :] = rng.choice([np.nan, np.inf])
    elif kind == "spikes":
        for place in rng.choice(np.arange(3, count - 2), size=min(count // 8, int(rng.integers(1, 6))), replace=False):
            length = rng.uniform(0.2, max(0.3, count / 150))
            after = np.arange(count) - place
            train += (after >= 0) * rng.uniform(0.8, 3) * (start - floor) * np.exp(-np.maximum(after, 0) / length)
    elif kind == "waves":
        turns = rng.uniform(2.5, max(3, min(40, count / 4)))
        x = np.linspace(0, 1, count)
        train += rng.uniform(0.6, 1.0) * (start - floor) * (1 + np.sin(2 * np.pi * turns * x)) / 2 * (x > 0.1)
    else:
        train += rng.uniform(0.5, 1.0) * (start - floor) * (rng.random(count) < 0.4) * (np.arange(count) > 2)
    return train, train

"""States: synthetic trainings are named right, at every length, and the figures follow scale."""

from collections import Counter

import numpy as np
import pytest

from ftlab.diagnosis import Curves, Series, diagnose
from tests.diagnosis.curve_sets import LENGTHS, STATES, draw

SEEDS = range(60)


@pytest.fixture(scope="module")
def named():
    sets = [(state, draw(state, seed)) for state in STATES for seed in SEEDS]
    return [(state, curves, diagnose(curves)) for state, curves in sets]


def test_at_least_95_percent_of_the_curve_sets_are_named_right(named):
    assert len(named) == 360
    assert sum(state == found.state for state, _, found in named) >= 0.95 * len(named)


@pytest.mark.parametrize("state", STATES)
def test_no_state_is_named_badly_for_the_sake_of_the_others(named, state):
    found = Counter(diagnosis.state for wanted, _, diagnosis in named if wanted == state)
    assert found[state] >= 0.9 * len(SEEDS), found


def test_the_sets_are_of_all_lengths_and_cadences(named):
    assert {len(curves.train) for _, curves, _ in named} == set(LENGTHS)
    cadences = Counter(len(curves.validation) for _, curves, _ in named)
    assert min(cadences) == 0
    assert sum(cadences[n] for n in (2, 3, 4, 5)) > 60
    assert sum(count for n, count in cadences.items() if n > 10) > 60


def test_most_short_and_most_long_sets_are_named_right(named):
    for shortest, longest in ((8, 10), (1200, 5000)):
        right = [state == d.state for state, curves, d in named if shortest <= len(curves.train) <= longest]
        assert np.mean(right) >= 0.9


@pytest.mark.parametrize("state", STATES)
def test_another_unit_of_steps_changes_nothing(state):
    curves = draw(state, 3)
    stretched = {
        name: Series(series.steps * 64, series.values)
        for name in ("train", "validation", "learning_rate")
        if (series := getattr(curves, name)) is not None
    }
    assert diagnose(Curves(**stretched, result=curves.result)).state == diagnose(curves).state


def test_a_schedule_that_ends_at_zero_is_no_end_of_learning():
    """The same loss per step: flat at the end because the rate is gone, or because all is learnt."""
    x = (np.arange(200) + 0.5) / 200
    rates = (1 + np.cos(np.pi * x)) / 2
    losses = (
        1 + 3 * np.exp(-1.2 * np.cumsum(rates) / rates.sum()) + 0.01 * np.random.default_rng(0).standard_normal(200)
    )
    steps = np.arange(1.0, 201.0)
    train = Series(steps, losses)
    assert diagnose(Curves(train=train, learning_rate=Series(steps, rates))).state == "underfitting"
    assert diagnose(Curves(train=train)).state == "converged"

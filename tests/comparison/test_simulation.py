"""The comparison on runs whose truth is known: no winner among equals, and a winner where there is one."""

import numpy as np

from ftlab.comparison import compare, find_runs, read_entries
from tests.comparison.folders import make_run, sitting

QUESTIONS, SEEDS = 60, 5


def sittings(draw, advantage=0.0):
    """Points of five seeds on questions of all difficulties; a seed is good or bad at all, and at single questions."""
    difficulty = draw.normal(0, 1.5, QUESTIONS)
    return [
        [(difficulty + draw.normal(0, 0.5) + draw.normal(0, 0.7, QUESTIONS) + gain > 0) for _ in range(SEEDS)]
        for gain in (0.0, advantage)
    ]


def winners(root, advantage, pairs):
    """Compare as many pairs of configurations; the folders stay, with other answers in them."""
    runs = {
        (name, seed): make_run(root, name, [0.0], seed=seed, settings={"optimizer.lr": rate})
        for name, rate in (("a", 0.001), ("b", 0.002))
        for seed in range(SEEDS)
    }
    found = []
    for pair in range(pairs):
        for name, seeds in zip("ab", sittings(np.random.default_rng(pair), advantage), strict=True):
            for seed, points in enumerate(seeds):
                run = runs[name, seed]
                sitting(points).write(run.sitting_file("after"))
        comparison = compare(*read_entries(find_runs([str(root)])))
        assert [len(group.entries) for group in comparison.groups] == [SEEDS, SEEDS]
        found.append(comparison.winner.label if comparison.winner else None)
    return found


def test_of_equal_configurations_none_is_named_the_winner(tmp_path):
    assert winners(tmp_path, 0.0, 40).count(None) >= 38


def test_a_real_difference_is_found(tmp_path):
    assert winners(tmp_path, 2.0, 10).count("b") >= 9

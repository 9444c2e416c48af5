"""Packing leaves little of a row empty, and no example out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ftlab.data.packing import best_fit
from tests.conftest import ROOT

REAL = Path(os.environ.get("FTLAB_LESSON_DATA", ROOT.parent / "shared" / "data" / "lesson"))
RNG = np.random.default_rng(0)


def fill(lengths, capacity):
    return sum(lengths) / (len(best_fit(lengths, capacity)) * capacity)


@pytest.mark.parametrize("capacity", [1, 7, 512, 4096])
@pytest.mark.parametrize("count", [0, 1, 50, 5000])
def test_every_example_is_in_one_row_and_every_row_within_its_capacity(count, capacity):
    lengths = RNG.integers(1, capacity + 1, size=count)
    rows = best_fit(lengths, capacity)
    assert sorted(i for row in rows for i in row) == list(range(count))
    assert all(row and lengths[row].sum() <= capacity for row in rows)


def test_the_longest_is_joined_by_the_longest_that_fill_its_row():
    assert best_fit([5, 3, 6, 2, 4], 10) == [[2, 4], [0, 3, 1]]
    assert best_fit([6, 6, 4, 3, 3, 1, 1, 1, 1], 10) == [[0, 2], [1, 5, 3], [4, 6, 7, 8]]
    assert best_fit([7, 5, 3, 6, 5], 15) == [[0, 2, 1], [3, 4]]  # not 7 + 6, which leaves a gap


@pytest.mark.parametrize(
    "lengths",
    [RNG.integers(1, 513, size=3000), RNG.integers(53, 84, size=3000), RNG.lognormal(5, 1, size=9000).clip(1, 512)],
    ids=["any", "alike", "long tail"],
)
def test_it_fills_rows(lengths):
    assert fill(lengths.astype(int), 512) >= 0.97


def test_the_same_lengths_give_the_same_rows():
    lengths = RNG.integers(1, 100, size=1000)
    assert best_fit(lengths, 128) == best_fit(lengths.tolist(), 128)


def test_an_example_that_is_longer_than_a_row_is_an_error():
    with pytest.raises(ValueError, match="an example of 11 tokens does not fit into a row of 10"):
        best_fit([3, 11], 10)


def lengths_of(file, chat):
    chats = [json.loads(line)["messages"] for line in file.read_text("utf-8").splitlines()]
    return np.array([len(example.ids) for [example] in chat.encode(chats)])


def test_our_lesson_fills_nearly_all_cells(chat):
    lengths = lengths_of(ROOT / "experiments/lesson/train_1k.jsonl", chat)
    assert len(lengths) == 1000
    assert fill(lengths, 512) >= 0.97


@pytest.mark.skipif(not REAL.is_dir(), reason="the lesson's data set is not on this machine")
def test_the_real_lesson_fills_as_many_cells_as_its_long_chats_leave(chat):
    """In the tokens of ftlab/tiny most of its chats are longer than half a row, and no two of those share one."""
    lengths = lengths_of(REAL / "train_1k.jsonl", chat)
    for capacity in (512, 1024, 2048):
        within = lengths[lengths <= capacity]
        least = max(within.sum() / capacity, (within > capacity / 2).sum())
        assert len(within) > 1000
        assert len(best_fit(within, capacity)) <= least * 1.01 + 1

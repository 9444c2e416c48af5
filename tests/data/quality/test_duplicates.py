"""Groups of equal and nearly equal rows are whole, in order, and hold nothing else."""

import random

import numpy as np
import pytest

from ftlab.data.quality import duplicates
from ftlab.data.rows import Row, Rows
from tests.data.quality.conftest import lesson, table
from tests.data.quality.test_leaks import case, punctuation, swap, synonym


def lists(groups):
    return [group.tolist() for group in groups]


def test_each_kind_has_its_groups():
    prints = duplicates.prints(table(["Is 3 odd?", "is 3 odd", "Is 4 odd?", "Is 3 odd?", "Why?", "why", "Is 3 odd?"]))
    assert lists(duplicates.groups(prints.exact)) == [[0, 3, 6]]
    assert lists(duplicates.groups(prints.normalised)) == [[0, 1, 3, 6], [4, 5]]
    assert lists(duplicates.groups(prints.number_masked)) == [[0, 1, 2, 3, 6], [4, 5]]
    assert list(duplicates.firsts(duplicates.groups(prints.exact))) == [(3, 0), (6, 0)]


def test_conflicts_are_questions_with_different_answers():
    rows = table([("Who?", "Ann"), ("Why?", "So."), ("who", "Ben"), ("why", "so!"), ("Who?", "Ann"), ("When?", "Now")])
    assert lists(duplicates.conflicts(duplicates.prints(rows))) == [[0, 2, 4]]


def test_near_duplicates_among_many_are_found(docstrings):
    rng = random.Random(0)
    planted = [rng.choice([case, punctuation, swap])(rng, text) for text in docstrings[:200]]
    planted += [synonym(rng, text) or text for text in docstrings[200:400]]
    answered = [(text, "That is a long way of saying it.") for text in docstrings[:600] + planted]
    found = duplicates.near_groups(table(answered))
    pairs = set(duplicates.firsts(found))
    wanted = {(600 + i, i) for i in range(400)}
    # a swap in a short text changes more than 0.3 of it
    assert len(pairs & wanted) >= 0.9 * len(wanted)
    assert len(pairs - wanted) <= 0.01 * len(pairs)


def test_exercises_with_other_numbers_are_no_near_duplicates():
    text = "A train runs {} km in {} hours without a stop on the way. How many kilometres does it run in one hour?"
    rows = table([text.format(60, 2), text.format(61, 2), text.format(60, 2).replace("stop", "halt")])
    assert lists(duplicates.near_groups(rows)) == [[0, 2]]


def test_the_lesson_repeats_one_question():
    prints = duplicates.prints(lesson("train_1k"))
    assert len(np.unique(prints.exact)) == 1115
    assert lists(duplicates.groups(prints.question))[0] == [117, 137]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("temp -5 today", "cold"), ("temp 5 today", "cold")),
        (("x = -y", "no"), ("x = y", "no")),
        (("C", "a"), ("C#", "a")),
        (("a_b", "a"), ("a b", "a")),
    ],
)
def test_signs_that_change_the_meaning_make_no_duplicate(one, other):
    prints = duplicates.prints(table([one, other, (other[0], "else")]))
    assert duplicates.groups(prints.normalised) == []
    assert lists(duplicates.conflicts(prints)) == [[1, 2]]


@pytest.mark.parametrize("other", [{"a": -1}, {"a": "1"}, {"a": 1.0}, {"A": 1}, {"a": [1]}, {"b": 1}])
def test_calls_are_equal_only_if_every_sign_is(other):
    def call(arguments):
        made = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
        return Row([{"role": "user", "content": "Do it."}, made], "c.jsonl", 1)

    prints = duplicates.prints(Rows.of([call({"a": 1, "c": 2}), call({**other, "c": 2}), call({"c": 2, "a": 1})]))
    assert lists(duplicates.groups(prints.normalised)) == [[0, 2]]
    assert len(set(prints.answer.tolist())) == 2

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from ftlab.data.quality.leaks import find_leaks
from ftlab.data.rows import Row, Rows
from ftlab.data.sides import assign
from ftlab.data.splits import Split, split_rows
from ftlab.errors import FtlabError, SettingError
from tests.data.quality.conftest import lesson


def row(line, question, answer="yes", **extra):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Row(messages, "data.jsonl", line, extra)


def rows(count, **columns):
    """Rows with different questions; each column is a function of the row's number."""
    return Rows.of(row(i + 1, f"question {i}", **{k: make(i) for k, make in columns.items()}) for i in range(count))


def lines(part):
    return {part[i].line for i in range(len(part))}


def column(part, name):
    return [r.reference if name == "answer" else r.extra[name] for r in part]


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        (Split(), {"train": 90, "validation": 10}),
        (Split(validation=0.1, test=0.1), {"train": 80, "validation": 10, "test": 10}),
        (Split(validation=7, test=0.25), {"train": 68, "validation": 7, "test": 25}),
        (Split(validation=0, test=1), {"train": 99, "test": 1}),
    ],
)
def test_sizes_are_exact_and_no_row_is_lost(split, sizes):
    parts = split_rows(rows(100), split)
    assert {name: len(part) for name, part in parts.items()} == sizes
    assert sorted(line for part in parts.values() for line in lines(part)) == list(range(1, 101))


def test_the_seed_decides_and_order_stays():
    data = rows(200)
    first, again, other = (split_rows(data, Split(seed=seed)) for seed in (1, 1, 2))
    assert lines(first["validation"]) == lines(again["validation"]) != lines(other["validation"])
    assert (np.diff(first["train"].indices) > 0).all()


@pytest.mark.parametrize("fold", [None, "1/5"])
def test_strata_have_the_same_shares_on_every_side(fold):
    kinds = ["common"] * 700 + ["rare"] * 50 + ["middling"] * 250
    data = rows(1000, kind=lambda i: kinds[(i * 379) % 1000], answer=lambda i: kinds[(i * 379) % 1000])
    for name in ("kind", "answer"):
        parts = split_rows(data, Split(validation=0.2, test=0.1, stratify=name), fold)
        for side, part in parts.items():
            counts = Counter(column(part, name))
            for kind, count in Counter(kinds).items():
                assert abs(counts[kind] - count * len(part) / 1000) <= 1, (side, kind)


def test_many_small_classes_do_not_all_stay_in_the_training_data():
    parts = split_rows(rows(300, kind=lambda i: i // 3), Split(validation=30, test=30, stratify="kind"))
    assert [len(parts[side]) for side in ("train", "validation", "test")] == [240, 30, 30]
    for side in ("validation", "test"):
        assert len(set(column(parts[side], "kind"))) == 30


def test_a_group_stays_on_one_side():
    data = rows(1000, author=lambda i: f"author {i % 70}")
    parts = split_rows(data, Split(validation=0.1, test=0.1, group="author"))
    authors = [set(column(part, "author")) for part in parts.values()]
    assert sum(map(len, authors)) == len(set.union(*authors)) == 70
    assert [len(parts[side]) / 1000 for side in parts] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_groups_of_unlike_size_find_the_side_that_has_room():
    sizes = [50, 30, 20]
    authors = [i for i, size in enumerate(sizes) for _ in range(size)]
    for seed in range(5):
        parts = split_rows(rows(100, author=lambda i: authors[i]), Split(validation=0.2, group="author", seed=seed))
        assert {name: len(part) for name, part in parts.items()} == {"train": 80, "validation": 20}


def test_groups_and_strata_together():
    """Groups of 1 to 12 rows of mixed classes: whole on one side, and the classes' shares nearly kept."""
    rng = np.random.default_rng(0)
    authors = np.repeat(np.arange(300), rng.integers(1, 13, 300))
    leaning = rng.random(300) * 0.6
    positive = rng.random(len(authors)) < leaning[authors]
    data = rows(len(authors), author=lambda i: int(authors[i]), kind=lambda i: bool(positive[i]))
    for k in range(1, 6):
        parts = split_rows(data, Split(group="author", stratify="kind"), f"{k}/5")
        assert not set(column(parts["train"], "author")) & set(column(parts["validation"], "author"))
        assert len(parts["validation"]) == pytest.approx(len(data) / 5, abs=2)
        assert np.mean(column(parts["validation"], "kind")) == pytest.approx(positive.mean(), abs=0.02)


def test_no_worse_than_random_groups_and_never_torn():
    """Of 200 random ways to share out whole groups, 95 % keep the shares of the classes less well."""
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(120), rng.integers(2, 10, 120))
    classes = rng.integers(0, 4, 120)[units] * (rng.random(len(units)) < 0.8)
    sizes = [len(units) / 5] * 5

    def distance(sides):
        table = np.zeros((4, 5))
        np.add.at(table, (classes, sides), 1)
        return np.abs(table - np.bincount(classes)[:, None] / 5).sum()

    sides = assign(units, classes, sizes, 0)
    assert all(len(set(sides[units == unit])) == 1 for unit in range(120))
    chance = [distance(np.random.default_rng(i).integers(0, 5, 120)[units]) for i in range(200)]
    assert distance(sides) < np.quantile(chance, 0.05)


@pytest.mark.parametrize("split", [Split(), Split(test=0.2), Split(stratify="kind"), Split(group="author")])
@pytest.mark.parametrize("k", [2, 5, 7])
def test_each_row_is_validated_on_in_exactly_one_fold(k, split):
    data = rows(211, kind=lambda i: i % 3, author=lambda i: i // 4)
    folds = [split_rows(data, split, f"{i}/{k}") for i in range(1, k + 1)]
    held = [line for fold in folds for line in lines(fold["validation"])]
    tests = [lines(fold["test"]) if "test" in fold else set() for fold in folds]
    assert all(test == tests[0] for test in tests)
    assert sorted([*held, *tests[0]]) == list(range(1, 212))
    assert all(lines(fold["train"]) == set(held) - lines(fold["validation"]) for fold in folds)
    sizes = [len(fold["validation"]) for fold in folds]
    assert max(sizes) - min(sizes) <= (1 if split.group is None else 4)


@pytest.mark.parametrize("twin", ["What is it?", "what  is\nIT", "What is it", "What—is… it？"])
def test_equal_questions_are_never_torn_apart(twin):
    data = Rows.of([*(row(i + 1, f"question {i}") for i in range(60)), *(row(61 + i, twin) for i in range(9))])
    data = Rows.of([*data, row(70, "What is it?", "no")])
    for seed in range(20):
        sides = [bool(lines(part) & set(range(61, 71))) for part in split_rows(data, Split(0.3, seed=seed)).values()]
        assert sides.count(True) == 1


def test_a_question_shared_by_two_groups_joins_them():
    data = Rows.of(
        [row(i, f"question {min(i, 30)}", author="ab"[i > 30]) for i in range(1, 32)]
        + [row(i, f"question {i}", author=str(i // 3)) for i in range(32, 101)]
    )
    for seed in range(10):
        parts = split_rows(data, Split(validation=0.4, group="author", seed=seed))
        assert sum(bool(set(column(part, "author")) & {"a", "b"}) for part in parts.values()) == 1


def test_every_process_finds_the_same_folds(tmp_path):
    code = (
        "from tests.data.test_splits import *\n"
        "data = rows(97, kind=lambda i: f'kind {i % 4}', author=lambda i: f'author {i // 2}')\n"
        "part = split_rows(data, Split(stratify='kind', group='author', test=9), '2/3')\n"
        "print(json.dumps({name: sorted(lines(p)) for name, p in part.items()}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert json.loads(outputs.pop()).keys() == {"train", "validation", "test"}


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "2", "2/5/1", "-1/5", "a/b"])
def test_what_is_no_fold_is_refused(fold):
    with pytest.raises(SettingError, match=rf"data\.fold: '{fold}' is not a fold"):
        split_rows(rows(10), Split(), fold)


@pytest.mark.parametrize(
    "setting", [{"validation": 1.0}, {"validation": -0.1}, {"test": -1}, {"test": 1.5}, {"seed": -1}]
)
def test_impossible_shares_are_refused(setting):
    with pytest.raises(SettingError, match=rf"data\.split\.{next(iter(setting))}: "):
        Split(**setting)


def test_too_little_data_is_said():
    with pytest.raises(SettingError, match=r"data\.split: nothing of the 10 rows is left"):
        split_rows(rows(10), Split(validation=5, test=5))
    with pytest.raises(SettingError, match=r"data\.fold: no row of 3 is on the side"):
        split_rows(rows(3), Split(), "1/5")
    with pytest.raises(SettingError, match=r"data\.split\.validation: no row of 3 is on the side"):
        split_rows(rows(3), Split())
    with pytest.raises(SettingError, match=r"data\.split\.stratify: 'id' has 50 values in 50 rows"):
        split_rows(rows(50, id=lambda i: i), Split(stratify="id"))


def test_too_few_and_too_large_groups_are_said_with_what_to_do(capsys):
    too_few = (
        r"data\.split\.group: no row of 10 .* `validation`; .* by 'author' make 1 group, the largest of 10 rows; take"
    )
    with pytest.raises(SettingError, match=too_few):
        split_rows(rows(10, author=lambda i: 0), Split(validation=0.2, group="author"))
    with pytest.raises(SettingError, match=r"data\.fold: .* make 4 groups, the largest of 5 rows; take fewer folds or"):
        split_rows(rows(20, author=lambda i: i % 4), Split(group="author"), "2/5")
    assert capsys.readouterr().err == ""
    parts = split_rows(rows(100, author=lambda i: i % 2), Split(validation=0.1, group="author"))
    assert len(parts["validation"]) == 50
    assert capsys.readouterr().err == (
        "ftlab: warning: data.split.group: `validation` has 50 of 100 rows where 10 are wanted; rows that stay "
        "together by 'author' make 2 groups, the largest of 50 rows; take other shares or a column with more and "
        "smaller groups, or leave data.split.group out\n"
    )
    split_rows(rows(100, author=lambda i: i // 5), Split(validation=0.1, group="author"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("setting", ["stratify", "group"])
def test_a_missing_column_is_named_with_its_place(setting):
    data = Rows.of([row(1, "a", kind=1), row(2, "b", kind=1), row(3, "c", sort=1)])
    with pytest.raises(
        FtlabError, match=rf"data.jsonl:3: no column 'kind', which data.split.{setting} names; .*: sort"
    ):
        split_rows(data, Split(validation=1, **{setting: "kind"}))


def test_rows_without_a_group_stand_alone():
    parts = split_rows(rows(100, author=lambda i: None), Split(group="author"))
    assert len(parts["validation"]) == 10


@pytest.mark.parametrize("fold", [None, "1/5", "2/5", "3/5", "4/5", "5/5"])
def test_a_split_of_the_lesson_leaks_nothing(fold):
    data = lesson("train_1k")
    parts = split_rows(data, Split(validation=0.1), fold)
    assert find_leaks(parts).found == []
    assert len(parts["validation"]) == round(len(data) * (0.2 if fold else 0.1))


def test_the_same_question_under_another_system_prompt_stays_on_its_side():
    def told(i, system):
        chat = row(i + 1, f"Question {i // 2}?")
        return Row([{"role": "system", "content": system}, *chat.messages], chat.file, chat.line)

    parts = split_rows(Rows.of(told(i, f"You are {i}.") for i in range(100)), Split(validation=0.3))
    assert not {(line - 1) // 2 for line in lines(parts["train"])} & {
        (line - 1) // 2 for line in lines(parts["validation"])
    }


def test_near_questions_stay_together_and_exercises_of_a_template_do_not():
    words = [f"{a}{b}" for a in ("bal", "dor", "fim", "gul", "hep") for b in ("an", "eth", "ir", "os", "um", "yk")]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 14)) for _ in range(60)]
    near = [" ".join([*text.split()[:-1], "other"]) for text in texts]
    parts = split_rows(Rows.of(row(i + 1, text) for i, text in enumerate([*texts, *near])), Split(validation=0.4))
    assert not {line % 60 for line in lines(parts["train"])} & {line % 60 for line in lines(parts["validation"])}
    ask = "A shop sells {} boxes with {} pens on each of {} days of the week. How many pens is that in all?"
    exercises = Rows.of(row(i + 1, ask.format(*rng.integers(1, 99, 3))) for i in range(100))
    assert len(split_rows(exercises, Split(validation=0.3))["validation"]) == 30

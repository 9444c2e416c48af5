import numpy as np
import pytest

from ftlab.data.curriculum import Curriculum, order_keys
from ftlab.data.examples import Encoded, Examples
from ftlab.data.plan import BatchPlan
from ftlab.data.rows import Row, Rows
from ftlab.errors import FtlabError

MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def rows(*values, name="level"):
    return Rows.of(Row(MESSAGES, "d.jsonl", i + 1, {name: value}) for i, value in enumerate(values))


def examples(lengths, row_ids=None):
    made = Examples.of([Encoded(np.zeros(n, np.int32), np.ones(n, np.float32)) for n in lengths])
    if row_ids is not None:
        made.row_ids = np.array(row_ids)
    return made


@pytest.mark.parametrize(
    "values", [(3, 1, 2.5, 1), ("c", "a", "b", "a"), ("2024-03-01", "2023-01-31", "2023-12", "2023-01-31")]
)
@pytest.mark.parametrize(("order", "ranks"), [("ascending", [1, 3, 2, 0]), ("descending", [0, 2, 1, 3])])
def test_a_column_orders(values, order, ranks):
    keys = order_keys(Curriculum("level", order), rows(*values), examples([5] * 4))
    assert np.argsort(keys, kind="stable").tolist() == ranks


def test_length_orders_without_reading_a_row():
    assert order_keys(Curriculum(), Rows.of([]), examples([7, 3, 5])).tolist() == [7, 3, 5]
    assert order_keys(Curriculum(order="descending"), Rows.of([]), examples([7, 3, 5])).tolist() == [-7, -3, -5]


def test_each_example_of_a_row_has_its_key():
    assert order_keys(Curriculum("level"), rows(4, 9, 2), examples([5] * 4, [2, 0, 0, 2])).tolist() == [2, 4, 4, 2]


def test_replayed_examples_need_no_column():
    data = Rows.of([*rows(4, 2), Row(MESSAGES, "replay.jsonl", 1)])
    ordered = np.array([True, True, False])
    assert order_keys(Curriculum("level"), data, examples([5] * 3), ordered).tolist() == [4, 2, 0]
    with pytest.raises(FtlabError, match=r"replay.jsonl:1: data.curriculum.by: no column 'level'; there are: none"):
        order_keys(Curriculum("level"), data, examples([5] * 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, None), "d.jsonl:2: data.curriculum.by: column 'level' is None, which has no order"),
        ((1, [2]), "d.jsonl:2: data.curriculum.by: column 'level' is .2., which has no order"),
        ((1, 2, "3"), "d.jsonl:3: data.curriculum.by: column 'level' has a text in some rows and a number in others"),
        (("1", 2), "d.jsonl:2: data.curriculum.by: column 'level' has a text in some rows and a number in others"),
    ],
)
def test_what_has_no_order_is_named_with_its_place(values, message):
    with pytest.raises(FtlabError, match=message):
        order_keys(Curriculum("level"), rows(*values), examples([5] * len(values)))


def test_the_plan_follows():
    levels = np.random.default_rng(0).integers(0, 50, 200).tolist()
    made = examples([5] * 200)
    keys = order_keys(Curriculum("level"), rows(*levels), made)
    steps = BatchPlan(made.lengths, batch_size=10, keys=keys).epoch(3)
    came = [sorted(levels[row[0]] for row in step[0][0]) for step in steps]
    assert [level for step in came for level in step] == sorted(levels)

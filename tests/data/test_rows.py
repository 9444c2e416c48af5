import os

import numpy as np
import pyarrow as pa
import pytest

from ftlab.data.rows import Row, Rows
from ftlab.data.sources import read_rows

ASK, SAY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


def made(count=5):
    return [
        Row(
            [ASK, {"role": "assistant", "content": f"é {i}"}],
            f"{'ab'[i % 2]}.jsonl",
            i + 1,
            {"id": i},
            source="ab"[i % 2],
        )
        for i in range(count)
    ]


def test_what_goes_in_comes_out():
    full = Row([ASK, SAY], "a", 3, {"n": [None, 1.5]}, [{"name": "f"}], [{"role": "assistant", "content": "c"}], "s")
    assert list(Rows.of([*made(), full])) == [*made(), full]
    assert list(Rows.of([])) == []
    with pytest.raises(IndexError):
        Rows.of(made())[5]


def test_a_view_has_its_own_order_and_the_same_names():
    rows = Rows.of(made())
    view = rows.take([4, 1, 1])[1:]
    assert [row.line for row in view] == [2, 2]
    assert [row.line for row in rows[::-2]] == [5, 3, 1]
    assert view[-1] == made()[1]
    assert view.place(0) == view[0].place == "b.jsonl:2"
    assert view.sources == ["a", "b"]
    assert view.source_ids.tolist() == [1, 1]
    assert rows.source_ids.dtype == np.int32


def test_the_fingerprint_is_of_contents_and_order_alone():
    rows = Rows.of(made())
    moved = Rows.of([Row(row.messages, "elsewhere", row.line + 9, row.extra) for row in made()])
    assert rows.fingerprint == moved.fingerprint == Rows(pa.concat_tables([rows.table])).fingerprint
    different = [Rows.of(made(4)), rows[::-1], rows[1:], Rows.of([*made(4), Row([ASK, SAY], "a", 1, {"id": 4})])]
    assert len({each.fingerprint for each in [rows, *different]}) == 5


def test_tables_are_put_together():
    first, second = Rows.of(made()), Rows.of([Row([ASK, SAY], "c.jsonl", 7, source="c")])
    both = Rows(pa.concat_tables([second.table, first.table.slice(3)]))
    assert [row.place for row in both] == ["c.jsonl:7", "b.jsonl:4", "a.jsonl:5"]
    assert both.sources == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("messages", "prompt", "reference"),
    [
        ([ASK, SAY], [ASK], "b"),
        ([ASK], [ASK], None),
        ([ASK, SAY, ASK], [ASK, SAY, ASK], None),
        ([ASK, SAY | {"content": "", "tool_calls": [{}]}], [ASK], None),
        ([ASK, SAY, {"role": "tool", "content": "4"}], [ASK, SAY, {"role": "tool", "content": "4"}], None),
        ([{"role": "document", "content": "x"}], [{"role": "document", "content": "x"}], None),
    ],
)
def test_a_chat_is_a_prompt_and_maybe_a_reference(messages, prompt, reference):
    row = Row(messages, "a", 1)
    assert (row.prompt, row.reference) == (prompt, reference)


def test_the_id_is_the_rows_own_or_its_line():
    assert [Row([ASK], "a", 7, extra).id for extra in ({"id": "x"}, {"id": 0}, {"id": None}, {})] == [
        "x",
        "0",
        "7",
        "7",
    ]


def resident():
    """Return the memory of this process that is mapped from files, in bytes."""
    with open("/proc/self/status") as status:  # noqa: PTH123 (a file of the system)
        [line] = [line for line in status if line.startswith("RssFile")]
    return int(line.split()[1]) << 10


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="asks Linux")  # noqa: PTH110
def test_rows_that_were_read_do_not_stay_in_memory(tmp_path):
    """More than is mapped at once is read, in several processes, and given back."""
    answer = "x" * 100_000
    line = '{"messages": [{"role": "user", "content": "%d"}, {"role": "assistant", "content": "%s"}]}\n'
    file = tmp_path / "large.jsonl"
    file.write_text("".join(line % (i, answer) for i in range(600)))
    before = resident()
    rows = read_rows(file)
    assert resident() - before < 20 << 20
    assert [row.messages[0]["content"] for row in rows] == [str(i) for i in range(600)]
    assert resident() - before < 40 << 20 < file.stat().st_size

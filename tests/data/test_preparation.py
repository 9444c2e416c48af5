"""From sources to the rows of each split: roles of folders, replay, leaks."""

import json
import random
from pathlib import Path

import pytest

from ftlab import ChatData, Mixture, Replay, Split
from ftlab.data.card import write_prepared
from ftlab.data.preparation import prepare
from ftlab.data.sources import Source, read_rows
from ftlab.errors import FtlabError
from ftlab.summary import closing_lines, describe_data


@pytest.fixture
def write(tmp_path, monkeypatch, write_chats):
    """Write chats of made-up words, of which the same numbers are the same and no two others alike."""
    monkeypatch.chdir(tmp_path)

    def words(number):
        draw = random.Random(number)
        return " ".join("".join(draw.choices("bdfgklmnprstvz", k=2) + draw.choices("aeiou", k=3)) for _ in range(9))

    def make(name, first, count):
        return write_chats(name, *((f"{words(i)}?", f"{words(-i - 1)}.") for i in range(first, first + count)))

    return make


def test_a_leak_stops_or_drops_and_is_listed(write):
    sources = {"train": write("train.jsonl", 0, 40), "validation": write("validation.jsonl", 38, 20)}
    with pytest.raises(FtlabError, match=r"train.jsonl:39 \(train\) asks what .*validation.jsonl:1 \(validation\)"):
        prepare(sources)
    done = prepare(sources, on_leak="drop")
    assert (len(done.rows["train"]), len(done.rows["validation"])) == (38, 20)
    assert [line.split(":")[1] for line in done.left_out()] == ["39", "40"]
    assert len(prepare(sources, on_leak="warn").rows["train"]) == 40
    with pytest.raises(FtlabError, match="no training row is left"):
        prepare({"train": sources["train"], "validation": sources["train"]}, on_leak="drop")


def test_the_exams_questions_must_not_be_learnt(write):
    data = ChatData(train=write("train.jsonl", 0, 40))
    data.held_out["exam"] = prepare({"train": write("exam.jsonl", 10, 5)}).rows["train"]
    with pytest.raises(FtlabError, match=r"train.jsonl:11 .*exam.jsonl:1 \(exam\)"):
        data.prepare()


def test_replayed_rows_come_last_under_a_name_of_their_own(write):
    train, old = write("train.jsonl", 0, 40), write("old.jsonl", 100, 20)
    done = prepare({"train": train}, replay=Replay(old), split=Split(validation=10))
    assert {name: len(rows) for name, rows in done.rows.items()} == {"train": 50, "validation": 10}
    assert done.replayed == 20
    names = [done.rows["train"].sources[i] for i in done.rows["train"].source_ids]
    assert names == ["train"] * 30 + ["replay"] * 20


def test_a_folder_gives_each_split_its_own(write, tmp_path):
    done = prepare({"train": write("train.jsonl", 0, 60)}, split=Split(validation=10, test=5))
    write_prepared(done, {}, tmp_path / "prepared")
    assert json.loads((tmp_path / "prepared/card.json").read_text())
    for train in ("prepared", ["prepared"], [str(tmp_path / "prepared"), write("more.jsonl", 100, 7)]):
        rows = ChatData(train=train).prepare().rows
        assert (len(rows["validation"]), len(rows["test"])) == (10, 5)
        assert len(rows["train"]) == (45 if len(train) != 2 else 52)
    rows = ChatData(train=write("other.jsonl", 100, 30), validation="prepared").prepare().rows
    assert (len(rows["train"]), len(rows["validation"])) == (30, 10)


def named(rows):
    return [rows.sources[i] for i in rows.source_ids]


def test_a_folder_keeps_the_sources_of_its_rows_and_how_they_are_drawn(write, chat, tmp_path):
    """A run on the folder draws and names what a run on the files does."""
    files = [write("a.jsonl", 0, 40), write("b.jsonl", 100, 20)]
    sources = [Source(files[0], weight=3, weight_end=1), Source(files[1], weight=1, name="old ones")]
    mixture = {"mixture": Mixture(size=30), "split": Split(validation=12)}
    given = ChatData(train=sources, **mixture)
    card = write_prepared(given.prepare(), {}, tmp_path / "prepared")
    assert card["sources"] == [{"name": "a", "weight": 3, "weight_end": 1}, {"name": "old ones", "weight": 1}]
    assert "| old ones | weight 1 |" in (tmp_path / "prepared/README.md").read_text()
    for folder in ("prepared", ["prepared"], str(tmp_path / "prepared")):
        back = ChatData(train=folder, mixture=Mixture(size=30))
        for split, rows in given.prepare().rows.items():
            assert named(back.prepare().rows[split]) == named(rows)
            assert set(named(rows)) == {"a", "old ones"}
            assert "source" not in back.prepare().rows[split][0].extra
        for data in (given, back):
            data.load(chat, "fit", 3)
        assert back.examples["validation"].sources == given.examples["validation"].sources
        assert back.selection.counts.tolist() == given.selection.counts.tolist()
        assert [pool.tolist() for pool in back.selection.pools] == [pool.tolist() for pool in given.selection.pools]


def test_a_folder_that_is_named_or_one_of_several_is_a_source_itself(write, tmp_path):
    done = prepare({"train": [write("a.jsonl", 0, 30), write("b.jsonl", 100, 20)]})
    write_prepared(done, {}, tmp_path / "prepared")
    assert set(named(read_rows(Source("prepared", name="mine")))) == {"mine"}
    assert set(named(read_rows(["prepared", write("c.jsonl", 200, 5)]))) == {"prepared", "c"}
    (tmp_path / "prepared/train.parquet").rename("moved.parquet")
    moved = prepare({"train": "moved.parquet"})
    assert set(named(moved.rows["train"])) == {source.name for source in moved.sources} == {"a", "b"}


def test_a_mixture_is_prepared_and_read_a_second_time(write, tmp_path):
    sources = [Source(write("a.jsonl", 0, 30), count=10), Source(write("b.jsonl", 100, 20), count=40)]
    write_prepared(prepare({"train": sources}), {}, tmp_path / "one")
    write_prepared(prepare({"train": "one"}), {}, tmp_path / "two")
    assert [(s.name, s.count) for s in prepare({"train": "two"}).sources] == [("a", 10), ("b", 40)]


def test_what_is_replayed_is_counted_apart(write, chat):
    train, old = write("train.jsonl", 0, 36), write("old.jsonl", 100, 20)
    plain, replaying = ChatData(train=train), ChatData(train=train, replay=Replay(old, share=0.1))
    for data in (plain, replaying):
        data.load(chat, "fit")
    counts = describe_data(replaying)["train"]
    assert counts == describe_data(plain)["train"] | {"replayed_per_epoch": 4}
    assert counts["chats"] == 36
    summary = {"best": {"epoch": 1, "step": 1, "by": "newest"}, "parameters": {"trainable": 1, "total": 2}}
    summary |= {
        "adapter_bytes": 0,
        "tokens_per_second": 0,
        "seconds": {"total": 0},
        "memory": {"peak_bytes": 0, "peak_of": "all", "exam_bytes": None},
    }
    summary |= {"data": describe_data(replaying), "wandb": {"mode": "off"}}
    [line] = [line for line in closing_lines(summary, Path("runs/x")) if line.startswith("data ")]
    assert line == "data       36 chats to learn from, 4 replayed in each epoch"

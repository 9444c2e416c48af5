"""From sources to the rows of each split: roles of folders, replay, leaks."""

import json
import random

import pytest

from ftlab import ChatData, Replay, Split
from ftlab.data.preparation import prepare
from ftlab.errors import FtlabError


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
    from ftlab.data.card import write_prepared

    done = prepare({"train": write("train.jsonl", 0, 60)}, split=Split(validation=10, test=5))
    write_prepared(done, {}, tmp_path / "prepared")
    assert json.loads((tmp_path / "prepared/card.json").read_text())
    for train in ("prepared", ["prepared"], [str(tmp_path / "prepared"), write("more.jsonl", 100, 7)]):
        rows = ChatData(train=train).prepare().rows
        assert (len(rows["validation"]), len(rows["test"])) == (10, 5)
        assert len(rows["train"]) == (45 if len(train) != 2 else 52)
    rows = ChatData(train=write("other.jsonl", 100, 30), validation="prepared").prepare().rows
    assert (len(rows["train"]), len(rows["validation"])) == (30, 10)

import json
from dataclasses import dataclass

import pytest

from ftlab import ChatData, Exam, Format, Messages
from ftlab.config import describe
from ftlab.data.rows import read_rows
from ftlab.errors import FtlabError

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@dataclass
class Pairs(Format):
    """Questions and answers."""

    answer: str = "answer"

    def messages(self, record):
        asked = record.pop("question")
        if not asked:
            raise ValueError("the question is empty; write one")
        turns = [{"role": "user", "content": asked}]
        return [*turns, {"role": "assistant", "content": record.pop(self.answer)}] if self.answer in record else turns


@pytest.fixture
def write_records(tmp_path):
    def write(*records):
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(tmp_path / "a.jsonl")

    return write


def test_messages_may_stand_under_another_key(write_records):
    file = write_records({"conversation": TURNS, "messages": "one", "id": "x"})
    [row] = read_rows(file, Messages(key="conversation"))
    assert row.messages == TURNS
    assert row.extra == {"messages": "one", "id": "x"}
    with pytest.raises(FtlabError, match=r'a.jsonl:1: no "turns" here; each line is {"turns": \['):
        read_rows(file, Messages("turns"))


def test_a_format_takes_its_keys_and_leaves_the_others(write_records):
    extra = {"id": "x", "kind": {"level": [1, None]}, "answer": "what was thought"}
    [first, second] = read_rows(
        write_records({"question": "a", "reply": "b"} | extra, {"question": "c"}), Pairs(answer="reply")
    )
    assert (first.messages, first.extra, first.id, first.reference) == (TURNS, extra, "x", "b")
    assert (second.extra, second.id, second.reference) == ({}, "2", None)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"answer": "b"}, "no 'question' here, which Pairs reads; mend the row or name another format"),
        ({"question": ""}, "the question is empty; write one"),
        ({"question": 3}, "messages[0]: content is int, not text; write a string"),
        ([3], "this is list, not an object; write one object a line"),
    ],
)
def test_a_fault_is_named_by_file_and_line_whatever_the_format(write_records, record, expected):
    file = write_records({"question": "a"}, record)
    with pytest.raises(FtlabError) as error:
        read_rows(file, Pairs())
    assert str(error.value) == f"{file}:2: {expected}"


def test_an_exam_reads_its_questions_in_its_format(write_records):
    file = write_records({"question": "a", "answer": "b", "id": "x"})
    [row] = Exam(file, format=Pairs()).rows()
    assert (row.id, row.prompt, row.reference) == ("x", TURNS[:1], "b")


@pytest.mark.parametrize("section", [ChatData(format=Pairs("reply")), Exam("a.jsonl", format=Pairs("reply"))])
def test_the_config_names_the_format(section):
    expected = {"class_path": f"{__name__}.Pairs", "init_args": {"answer": "reply"}}
    assert describe(section, known=type(section))["format"] == expected

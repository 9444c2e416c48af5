import json
import re
from dataclasses import dataclass
from typing import ClassVar

import pytest
import yaml

from ftlab import ChatData, Exam, Format, Messages
from ftlab.config import describe
from ftlab.data.formats import Alpaca, Preference, PromptCompletion, QuestionAnswer, ShareGPT, Text
from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError
from ftlab.plugins import registered
from tests.conftest import ROOT

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
#: Formats and what their examples are called.
BUILT_IN = {
    Alpaca: "alpaca",
    Messages: "messages",
    Preference: "preference",
    PromptCompletion: "prompt_completion",
    QuestionAnswer: "question_answer",
    ShareGPT: "sharegpt",
    Text: "text",
}


def says(*contents):
    """Return turns of user and assistant in turn, after a system message where the first content is marked `*`."""
    turns = [{"role": "system", "content": contents[0][1:]}] if contents[0].startswith("*") else []
    return turns + [
        {"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents[len(turns) :])
    ]


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


CALL = {"type": "function", "function": {"name": "rain", "arguments": {"at": "Rome"}}}


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        ({"messages": TURNS}, TURNS),
        ({"messages": json.dumps(TURNS)}, TURNS),
        ({"messages": [{"role": "system", "content": ""}, *TURNS]}, [{"role": "system", "content": ""}, *TURNS]),
        ({"messages": [TURNS[0], TURNS[1] | {"weight": None, "refusal": None}]}, TURNS),
        (
            {"messages": [TURNS[0] | {"train": False}, TURNS[1] | {"train": False}]},
            [TURNS[0], TURNS[1] | {"train": False}],
        ),
        (
            {"messages": [TURNS[0], TURNS[1] | {"weight": 0.5, "reasoning_content": " "}]},
            [TURNS[0], TURNS[1] | {"weight": 0.5}],
        ),
        (
            {
                "messages": [
                    TURNS[0],
                    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
                ]
            },
            [TURNS[0], {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning_content": "hm"}],
        ),
        ({"instruction": "a", "input": "", "output": "b"}, says("a", "b")),
        (
            {"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]], "system": "s"},
            says("*s", "d", "e", "a\n\nb", "c"),
        ),
        ({"instruction": "a", "output": "b", "text": "### a b"}, says("a", "b")),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]}, None),
        ({"prompt": "a", "completion": "b"}, says("a", "b")),
        ({"prompt": says("*s", "a"), "completion": TURNS[1:]}, says("*s", "a", "b")),
        ({"prompt": says("a", "b", "c"), "completion": "d", "system": "s"}, says("*s", "a", "b", "c", "d")),
        ({"question": "a", "answer": "b", "system": "kept"}, says("a", "b")),
        ({"text": "a"}, [{"role": "document", "content": "a"}]),
        ({"messages": TURNS, "weight": 3}, [TURNS[0], TURNS[1] | {"weight": 3}]),
        ({"messages": json.dumps(TURNS), "weight": "0.5", "train": ""}, [TURNS[0], TURNS[1] | {"weight": 0.5}]),
        ({"messages": TURNS, "train": False, "weight": None}, [TURNS[0], TURNS[1] | {"train": False}]),
        ({"messages": [TURNS[0], TURNS[1] | {"weight": 2}], "train": False}, [TURNS[0], TURNS[1] | {"weight": 2}]),
        ({"prompt": json.dumps(says("*s", "a")), "completion": json.dumps(TURNS[1:])}, says("*s", "a", "b")),
        ({"prompt": "[1, 2]", "completion": '[{"role": "chief"}]'}, says("[1, 2]", '[{"role": "chief"}]')),
        ({"instruction": "c", "output": "d", "history": '[["a", "b"]]'}, says("a", "b", "c", "d")),
        ({"instruction": "a", "output": "b", "history": " "}, says("a", "b")),
        ({"conversations": '[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]'}, None),
    ],
)
def test_a_format_is_found_by_its_columns(write_records, record, messages):
    [row] = read_rows(write_records(record))
    assert row.messages == (messages or [TURNS[0], TURNS[1] | {"weight": 0}])
    assert list(row.extra) == (
        ["text"] if "instruction" in record and "text" in record else ["system"] if "question" in record else []
    )


HUMAN = {"from": "human", "value": "a"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"messages": [{"role": "document", "content": "a"}]}, "messages[0]: 'document' is not a role; "),
        (
            {"messages": TURNS, "weight": "heavy"},
            "weight of the row is 'heavy'; write a number, or call the column oth",
        ),
        ({"messages": TURNS, "train": 0}, "train of the row is 0; write true or false, or call the column otherwise"),
        ({"messages": TURNS, "weight": -1}, "messages[1]: weight is -1; write 0 or more"),
        (
            {"messages": [TURNS[0], TURNS[1] | {"thinking": "x"}]},
            "messages[1]: 'thinking' is no key of a message and would be lost; write it as reasoning_content",
        ),
        (
            {"messages": [TURNS[0], {"role": "assistant", "function_call": {"name": "f"}}]},
            "messages[1]: 'function_call' is no key of a message and would be lost; write it as tool_calls",
        ),
        ({"conversations": [HUMAN, {"from": "gpt", "value": ""}]}, "conversations[1]: content is empty; "),
        (
            {"conversations": [HUMAN, {"from": "gpt", "value": ""}], "system": "s"},
            "conversations[1]: content is empty; ",
        ),
        (
            {"conversations": [{"from": "system", "value": "x"}, HUMAN], "system": "s"},
            'conversations[0]: a second system message beside "system"; make one of the two',
        ),
    ],
)
def test_what_would_be_lost_or_mistaken_is_at_fault(write_records, record, reason):
    with pytest.raises(FtlabError) as error:
        read_rows(write_records(record))
    assert f"a.jsonl:1: {reason}" in str(error.value)


def test_a_prepared_document_is_read_back(write_records):
    text = {"role": "document", "content": "a"}
    packed = {
        "messages": json.dumps([text]),
        "tools": "null",
        "rejected": "null",
        "extra": "{}",
        "file": "x",
        "line": 7,
    }
    assert read_rows(write_records(packed))[0].messages == [text]


def test_calls_and_their_results(write_records):
    """OpenAI writes arguments as JSON, others as they are; ShareGPT writes the whole call as JSON."""
    asked, answered = {"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "No."}
    openai = {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": '{"at": "Rome"}'}}
    records = [
        [
            asked,
            {"role": "assistant", "tool_calls": [openai]},
            {"role": "tool", "content": "no", "tool_call_id": "c1"},
            answered,
        ],
        [
            asked,
            {"role": "assistant", "content": "", "tool_calls": [CALL["function"]]},
            {"role": "tool", "content": "no"},
            answered,
        ],
    ]
    tool = {"name": "rain", "parameters": {"type": "object"}}
    first, second = read_rows(
        write_records({"messages": records[0], "tools": [tool]}, {"messages": records[1], "tools": None})
    )
    assert first.messages[1:3] == [
        {"role": "assistant", "content": "", "tool_calls": [CALL | {"id": "c1"}]},
        {"role": "tool", "content": "no", "tool_call_id": "c1"},
    ]
    assert second.messages[1:3] == [
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "no"},
    ]
    assert (first.tools, second.tools) == ([{"type": "function", "function": tool}], None)
    turns = [("human", "Rain?"), ("function_call", json.dumps(CALL["function"])), ("observation", "no"), ("gpt", "No.")]
    record = {"conversations": [{"from": who, "value": what} for who, what in turns], "tools": json.dumps([tool])}
    [third] = read_rows(write_records(record | {"system": "Be brief."}))
    assert third.messages == [{"role": "system", "content": "Be brief."}, *second.messages]
    assert third.tools == first.tools


PREFERENCES = [
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, says("a", "b"), "c"),
    ({"prompt": "a", "chosen": "b", "rejected": "c", "system": "s"}, says("*s", "a", "b"), "c"),
    (
        {"prompt": says("*s", "a"), "chosen": says("", "b")[1:], "rejected": says("", "c")[1:]},
        says("*s", "a", "b"),
        "c",
    ),
    ({"chosen": json.dumps(says("a", "b")), "rejected": json.dumps(says("a", "c"))}, says("a", "b"), "c"),
    ({"chosen": says("a", "b", "c", "d"), "rejected": says("a", "b", "c", "e")}, says("a", "b", "c", "d"), "e"),
    ({"prompt": "a", "chosen": says("a", "b"), "rejected": says("a", "c")}, says("a", "b"), "c"),
    (
        {"prompt": says("a"), "chosen": says("a", "b"), "rejected": says("a", "c"), "system": "s"},
        says("*s", "a", "b"),
        "c",
    ),
]


@pytest.mark.parametrize(("record", "messages", "rejected"), PREFERENCES)
def test_a_pair_is_the_prompt_with_the_better_answer_and_the_worse_one_apart(write_records, record, messages, rejected):
    [row] = read_rows(write_records(record | {"id": "x"}))
    assert row.messages == messages
    assert row.rejected == [{"role": "assistant", "content": rejected}]
    assert row.extra == {"id": "x"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"chosen": "b", "rejected": "c"}, 'no "prompt" to the text of chosen; name its column in the setting prompt'),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same; leave the row out"),
        (
            {"prompt": "z", "chosen": says("a", "b"), "rejected": says("a", "c")},
            "chosen does not begin with the prompt; ",
        ),
        (
            {"chosen": says("a", "b"), "rejected": says("b", "c")},
            "chosen and rejected begin differently, so there is no",
        ),
        (
            {"chosen": says("a", "b"), "rejected": says("a")},
            "one of chosen and rejected is the beginning of the other; ",
        ),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "rejected is empty; write a text or leave the row out"),
        ({"prompt": "a", "chosen": "b"}, "no 'rejected' here, which Preference reads; "),
    ],
)
def test_a_pair_that_is_none_is_at_fault(write_records, record, reason):
    with pytest.raises(FtlabError) as error:
        read_rows(write_records(record), Preference())
    assert f"a.jsonl:1: {reason}" in str(error.value)


def test_prompts_need_no_answers(write_records):
    asked = {
        "alpaca": {"instruction": "a"},
        "qa": {"question": "a"},
        "prompt": {"prompt": "a"},
        "chat": {"messages": TURNS[:1]},
    }
    for record in asked.values():
        file = write_records(record)
        assert read_rows(file, need_answer=False)[0].prompt == TURNS[:1]
        with pytest.raises(
            FtlabError, match=r"a.jsonl:1: no assistant turn, so there is nothing to learn; add the answer"
        ):
            read_rows(file)
    with pytest.raises(FtlabError, match="does not end with the assistant's answer; add it"):
        read_rows(write_records({"prompt": says("a", "b", "c")}))


def test_the_help_of_a_format_shows_a_record_that_it_reads(write_records):
    """What README and --help print is no less than true."""
    known = {cls for cls in registered(Format).values() if cls.__module__.startswith("ftlab.")}
    assert known == {*BUILT_IN}
    for cls in BUILT_IN:
        [shown] = re.findall(r"`(\{.*?\})`[,.;]", cls.__doc__.partition("\n")[0])
        if "..." in shown:
            assert cls is Messages
            shown = shown.replace(", ...", ', {"role": "assistant", "content": "4"}')
        [row] = read_rows(write_records(json.loads(shown)))
        assert row == read_rows(write_records(json.loads(shown)), cls())[0]


@pytest.mark.parametrize("cls", BUILT_IN)
def test_an_example_to_copy_is_read(cls, tmp_path, write_records):
    """Each goes on top of a run's config, and reads the rows of its comment."""
    from tests.test_configs import parse

    file = ROOT / f"configs/data/{BUILT_IN[cls]}.yaml"
    assert len(list(file.parent.iterdir())) == len(BUILT_IN)
    data = parse(ROOT / "configs/quickstart.yaml", file).experiment.data
    assert type(data.format) is cls
    assert data.train == yaml.safe_load(file.read_text())["data"]["train"]
    records = [json.loads(line) for line in re.findall(r"^#   (\{.*\})$", file.read_text(), flags=re.MULTILINE)]
    rows = read_rows(write_records(*records), data.format)
    assert [row.reference for row in rows] == [row.messages[-1]["content"] if cls is not Text else None for row in rows]
    assert len(rows) == len(records) >= 1


def test_messages_may_stand_under_another_key(write_records):
    file = write_records({"conversation": TURNS, "messages": "one", "id": "x"})
    [row] = read_rows(file, Messages(key="conversation"))
    assert row.messages == TURNS
    assert row.extra == {"messages": "one", "id": "x"}
    with pytest.raises(FtlabError, match=r"a.jsonl:1: no 'turns' here, which Messages reads; mend"):
        read_rows(file, Messages("turns"))


def test_a_format_takes_its_keys_and_leaves_the_others(write_records):
    extra = {"id": "x", "kind": {"level": [1, None]}, "answer": "what was thought"}
    file = write_records({"question": "a", "reply": "b"} | extra, {"question": "c"})
    [first, second] = read_rows(file, Pairs(answer="reply"), need_answer=False)
    assert (first.messages, first.extra, first.id, first.reference) == (TURNS, extra, "x", "b")
    assert (second.extra, second.id, second.reference) == ({}, "2", None)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"answer": "b"},
            "no 'question' here, which Pairs reads; mend the row, or give this source a format of its own "
            "(data.train: [{path: ..., format: X}])",
        ),
        ({"question": ""}, "the question is empty; write one"),
        ({"question": 3}, "messages[0]: content is int, not text; write a string"),
        ({"question": " "}, "messages[0]: content is empty; write a text or leave the message out"),
        ([3], "this is list, not an object; write one object a line"),
    ],
)
def test_a_fault_is_named_by_file_and_line_whatever_the_format(write_records, record, expected):
    file = write_records({"question": "a", "answer": "b"}, record)
    with pytest.raises(FtlabError) as error:
        read_rows(file, Pairs())
    assert str(error.value) == f"{file}:2: {expected}"


def test_a_format_of_ones_own_may_be_found_and_may_fail(write_records):
    @dataclass
    class Shouts(Format):
        columns: ClassVar[tuple[str, ...]] = ("SHOUT", "ECHO")

        def messages(self, record):
            return says(record.pop("SHOUT").lower(), record.pop("ECHO").lower())

    assert read_rows(write_records({"SHOUT": "A", "ECHO": "B"}))[0].messages == TURNS
    file = write_records({"SHOUT": 3, "ECHO": "B"})
    reason = "Shouts fails (AttributeError: 'int' object has no attribute 'lower'); mend the row or the format"
    with pytest.raises(FtlabError, match=re.escape(f"a.jsonl:1: {reason}")):
        read_rows(file)


def test_settings_are_part_of_what_is_cached(write_records):
    file = write_records({"question": "a", "answer": "b", "other": "c"})
    assert [read_rows(file, QuestionAnswer(answer=key))[0].reference for key in ("answer", "other")] == ["b", "c"]


def test_an_exam_reads_its_questions_in_its_format(write_records):
    file = write_records({"question": "a", "answer": "b", "id": "x"})
    [row] = Exam(file, format=Pairs()).rows()
    assert (row.id, row.prompt, row.reference) == ("x", TURNS[:1], "b")


@pytest.mark.parametrize("section", [ChatData(format=Pairs("reply")), Exam("a.jsonl", format=Pairs("reply"))])
def test_the_config_names_the_format(section):
    expected = {"class_path": f"{__name__}.Pairs", "init_args": {"answer": "reply"}}
    assert describe(section, known=type(section))["format"] == expected

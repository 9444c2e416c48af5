import json

import pytest

from ftlab.data.rows import read_rows
from ftlab.errors import FtlabError

GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "id": "x7"}'


def test_reads_chats_with_their_lines(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(f"{GOOD}\n\n{GOOD}\n")
    rows = read_rows(file)
    assert [row.line for row in rows] == [1, 3]
    assert rows[1].place == f"{file}:3"
    assert rows[0].id == "x7"
    assert rows[0].reference == "b"
    assert rows[0].prompt == [{"role": "user", "content": "a"}]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("[1]", "this is list, not an object"),
        ('{"text": "x"}', 'no "messages"'),
        ('{"messages": []}', "at least one message"),
        ('{"messages": "hi"}', "must be a list"),
        ('{"messages": ["hi"]}', "messages[0] is str"),
        ('{"messages": [{"role": "usr", "content": "x"}]}', "did you mean user?"),
        ('{"messages": [{"role": "user", "content": null}]}', "content is NoneType"),
        ('{"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]}', "must come first"),
    ],
)
def test_a_fault_is_named_by_file_and_line(tmp_path, line, what):
    file = tmp_path / "a.jsonl"
    file.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(FtlabError) as error:
        read_rows(file)
    assert str(error.value).startswith(f"{file}:2: ")
    assert what in str(error.value)


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(GOOD.encode() + b"\n" + json.dumps({"messages": 1}).encode() + b"\xff\n")
    with pytest.raises(FtlabError, match=r":2: byte 15 is not UTF-8"):
        read_rows(file)


def test_a_missing_and_an_empty_file_are_named(tmp_path):
    with pytest.raises(FtlabError, match="no such data file"):
        read_rows(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(FtlabError, match="has no rows"):
        read_rows(tmp_path / "empty.jsonl")


def test_a_line_separator_inside_a_text_does_not_split_the_row(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(GOOD.replace('"a"', '"a\u2028b\x0cc"').replace("\x0c", "\\f") + "\n", encoding="utf-8")
    assert len(read_rows(file)) == 1

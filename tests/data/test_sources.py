import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftlab.data.formats import Messages, QuestionAnswer, Text
from ftlab.data.sources import Source, named_sources, read_rows
from ftlab.errors import FtlabError
from tests.data.test_chat import LESSON

RECORDS = [{"question": f"{i}?", "answer": f"{i}, é"} for i in range(4)]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()


def zst(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def parquet(records):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue().to_pybytes()


def arrow(records, new=pa.ipc.new_file):
    table, sink = pa.Table.from_pylist(records), pa.BufferOutputStream()
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return sink.getvalue().to_pybytes()


CSV = "question,answer\n" + "".join(f'{r["question"]},"{r["answer"]}"\n' for r in RECORDS)
#: Files of the same four rows, and their lines.
SAME = {
    "a.jsonl": (LINES, [1, 2, 3, 4]),
    "A.JSONL": (LINES, [1, 2, 3, 4]),
    "a.ndjson": (LINES, [1, 2, 3, 4]),
    "lines.json": (LINES, [1, 2, 3, 4]),
    "no end.jsonl": (LINES.rstrip(), [1, 2, 3, 4]),
    "windows.jsonl": (b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n"), [1, 2, 3, 4]),
    "list.json": (json.dumps(RECORDS).encode(), [1, 1, 1, 1]),
    "indented.json": (json.dumps(RECORDS, indent=1).encode(), [2, 6, 10, 14]),
    "object.json": (json.dumps({"v": 1, "data": RECORDS, "n": {"x": [1]}}).encode(), [1, 1, 1, 1]),
    "a.csv": (CSV.encode(), [2, 3, 4, 5]),
    "a.tsv": (CSV.replace(",", "\t").replace("\t é", ", é").encode(), [2, 3, 4, 5]),
    "a.parquet": (parquet(RECORDS), [1, 2, 3, 4]),
    "a.arrow": (arrow(RECORDS), [1, 2, 3, 4]),
    "stream.arrow": (arrow(RECORDS, pa.ipc.new_stream), [1, 2, 3, 4]),
}
SAME |= {f"{name}.gz": (gzip.compress(data), lines) for name, (data, lines) in list(SAME.items())}
SAME |= {f"{name}.zst": (zst(data), lines) for name, (data, lines) in list(SAME.items()) if not name.endswith(".gz")}
SAME["twice.jsonl.gz"] = (gzip.compress(LINES[:60]) + gzip.compress(LINES[60:]), [1, 2, 3, 4])


@pytest.mark.parametrize("name", SAME)
def test_every_kind_of_file_is_read(tmp_path, name):
    data, lines = SAME[name]
    (tmp_path / name).write_bytes(data)
    rows = read_rows(tmp_path / name)
    assert [(row.prompt[0]["content"], row.reference) for row in rows] == [tuple(r.values()) for r in RECORDS]
    assert [row.line for row in rows] == lines
    assert {row.file for row in rows} == {str(tmp_path / name)}


TEXT = b"\n\nOne\r\nline.\n \nTwo.\n\n\nThree\n\nfour\n"


@pytest.mark.parametrize(
    ("split", "texts", "lines"),
    [
        ("paragraph", ["One\nline.", "Two.", "Three", "four"], [3, 6, 9, 11]),
        ("line", ["One", "line.", "Two.", "Three", "four"], [3, 4, 6, 9, 11]),
        ("file", ["One\nline.\n \nTwo.\n\n\nThree\n\nfour"], [1]),
    ],
)
def test_plain_text_is_documents(tmp_path, split, texts, lines):
    (tmp_path / "a.txt").write_bytes(TEXT)
    rows = read_rows(tmp_path / "a.txt", Text(split=split))
    assert [row.messages for row in rows] == [[{"role": "document", "content": text}] for text in texts]
    assert [row.line for row in rows] == lines
    if split == "paragraph":
        assert list(read_rows(tmp_path / "a.txt")) == list(rows)


def test_nulls_that_a_table_pads_with_are_keys_that_are_not_there(tmp_path):
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    other = {"type": "function", "function": {"name": "g", "arguments": {"y": "2"}}}
    messages = [
        {"role": "user", "content": "a", "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [call, other]},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": "b", "weight": 0.5},
    ]
    (tmp_path / "a.parquet").write_bytes(parquet([{"messages": messages, "id": 1}, {"messages": messages[:1] * 2}]))
    rows = read_rows(tmp_path / "a.parquet", need_answer=False)
    assert rows[0].messages == [messages[0], messages[1] | {"content": ""}, *messages[2:]]
    assert (rows[0].extra, rows[1].extra) == ({"id": 1}, {})


def test_columns_that_json_does_not_know(tmp_path):
    when = pa.scalar(0, pa.timestamp("s")).as_py()
    (tmp_path / "a.parquet").write_bytes(parquet([RECORDS[0] | {"when": when}]))
    assert read_rows(tmp_path / "a.parquet")[0].extra == {"when": "1970-01-01 00:00:00"}
    (tmp_path / "b.parquet").write_bytes(parquet([RECORDS[0] | {"image": b"x"}]))
    with pytest.raises(FtlabError, match=r"b.parquet:1: a column holds bytes, .*; leave the column out"):
        read_rows(tmp_path / "b.parquet")


def test_characters_and_dates_that_are_none_in_a_table(tmp_path):
    texts = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    when = pa.array([0, 0, 1 << 62], pa.timestamp("s"))
    table = pa.table({"question": ["a"] * 3, "answer": texts, "when": when})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    skipped: list[str] = []
    assert [row.line for row in read_rows(tmp_path / "a.arrow", on_error="skip", skipped=skipped)] == [1]
    assert [fault.removeprefix(f"{tmp_path}/a.arrow:")[:24] for fault in skipped] == [
        "2: a column holds bytes ",
        "3: a value cannot be rea",
    ]


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "a.jsonl"))
    with pytest.raises(FtlabError, match=r"a.jsonl: cannot be written \(.*\); set FTLAB_CACHE to another folder"):
        read_rows(tmp_path / "a.jsonl")


WHOLE = {
    "empty.jsonl": (b"", ": the file has no rows; "),
    "blank.jsonl": (b"\n \n", ": the file has no rows; "),
    "bom.jsonl": (b"\xef\xbb\xbf", ": the file has no rows; "),
    "empty.json": (b"[]", ": the file has no rows; "),
    "empty.csv": (b"", ": the file has no rows; "),
    "header.csv": (b"question,answer\n", ": the file has no rows; "),
    "empty.txt": (b"\n\n", ": the file has no rows; "),
    "empty.parquet": (parquet([]), ": the file has no rows; "),
    "cut.jsonl.gz": (gzip.compress(LINES)[:-20], ": cannot be read (Truncated compressed stream); is it whole"),
    "cut.jsonl.zst": (zst(LINES)[:-9], ": cannot be read (Truncated compressed stream); is it whole"),
    "no.jsonl.gz": (LINES, ": cannot be read (zlib inflate failed: incorrect header check); is it whole"),
    "no.parquet": (LINES, ": cannot be read ("),
    "cut.parquet": (parquet(RECORDS)[:-30], ": cannot be read ("),
    "no.arrow": (LINES, ": cannot be read ("),
    "cut.json": (json.dumps(RECORDS, indent=1).encode()[:-40], ":15: not JSON (Unterminated string"),
    "comma.json": (b'[{"question": "a", "answer": "b"},\n]', ":2: not JSON (a comma before the list's end)"),
    "no comma.json": (b'[{"question": "a", "answer": "b"}\n{"a": 1}]', ":2: not JSON ('{' where ',' is due)"),
    "two lists.json": (b'{"a": [{"question": "a", "answer": "b"}],\n"b": []}', ":2: two lists, 'a' and 'b'"),
    "no list.json": (b'{\n"a": 1}', ":2: no list in this object"),
    "text.json": (b'"a"', ":1: neither a list nor an object with a list"),
    "more.json": (b'[{"question": "a", "answer": "b"}]\n[]', ":2: more text after the list's end"),
    "latin.json": ('[{"question": "a",\n"answer": "é"}]'.encode("latin-1"), ":2: not UTF-8"),
    "same.csv": (b"a,a\n1,2\n", ":1: two columns are called 'a'"),
    "none.csv": (b"a,,b\n1,2,3\n", ":1: a column has no name"),
    "open.csv": (b'question,answer\na,b\nc,"d\n' + b"e,f\n" * 9, ":3: a cell from here to line 12 is not closed by a "),
    "open in between.csv": (
        b'question,answer\na,b\nc,"d\ne,f\ng,"h"\ni,j\n',
        ":3: a cell from here to line 5 is not closed by a quote of its own",
    ),
    "unknown.jsonl": (
        b'\n{"x": 1, "y": 2}\n',
        ":2: no format has these columns ('x', 'y'); name one with your columns: --data.format Q",
    ),
    "both.jsonl": (
        b'{"messages": [], "prompt": "a", "completion": "b"}',
        ":1: these columns ('completion', 'messages', 'prompt') may be Messages or PromptCompletion; choose "
        "one: --data.format Messages",
    ),
}


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_fault_of_the_whole_file_always_ends_it(tmp_path, name, on_error):
    data, reason = WHOLE[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FtlabError) as error:
        read_rows(tmp_path / name, on_error=on_error)
    assert str(error.value).startswith(f"{tmp_path / name}{reason}")
    assert "\n" not in str(error.value)


def test_rows_at_fault_are_left_out_and_listed(tmp_path):
    good, bad = LINES.splitlines()[0].decode(), '{"question": 3, "answer": "b"}'
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join([bad, good, "", "{", good]))
    for _ in range(2):  # the second time from the cache
        skipped: list[str] = []
        assert [row.line for row in read_rows(file, on_error="skip", skipped=skipped)] == [2, 5]
        assert skipped == [
            f"{file}:1: question is int, not text; write a string",
            f"{file}:4: not JSON (Expecting property name enclosed in double quotes at column 2); write one object a "
            "line",
        ]
        with pytest.raises(FtlabError, match=r":1: question is int"):
            read_rows(file)
    file.write_text(bad)
    with pytest.raises(FtlabError, match=r":1: question is int.* \(no other row of the file can be used either\)"):
        read_rows(file, on_error="skip")


def test_records_that_share_a_line_are_numbered(tmp_path):
    """Wherever a place is told: rows, faults left out and at which reading ends, broken JSON; from the cache too."""
    file = tmp_path / "a.json"
    good, bad = '{"question": "a", "answer": "b"}', '{"question": 3, "answer": "b"}'
    file.write_text(f'{{"n": 1, "data": [{good}, {bad}, {good},\n{good},\n\n{good}, {good}]}}')
    for _ in range(2):
        skipped: list[str] = []
        rows = read_rows(file, on_error="skip", skipped=skipped)
        numbers = ["1 (record 1)", "1 (record 3)", "2", "4 (record 5)", "4 (record 6)"]
        assert [row.place for row in rows] == [rows.place(i) for i in range(5)] == [f"{file}:{n}" for n in numbers]
        assert [row.id for row in rows] == ["1.1", "1.3", "2", "4.5", "4.6"]
        assert skipped == [f"{file}:1 (record 2): question is int, not text; write a string"]
        with pytest.raises(FtlabError, match=r"a.json:1 \(record 2\): question is int"):
            read_rows(file)
    for text, where in [
        (f"[{good}]", None),
        (f"[{good}, {good}, {{]", r"1 \(record 3\): not JSON \(Expecting property name"),
        (f"[{good}, {good} {good}]", r"1 \(record 2\): not JSON \('{' where ',' is due\)"),
        (f"[{bad}, {good}, {{]", r"1 \(record 1\): question is int"),
    ]:
        file.write_text(text)
        if where:
            with pytest.raises(FtlabError, match=f"a.json:{where}"):
                read_rows(file)
        else:
            assert read_rows(file)[0].place == f"{file}:1"


def test_what_is_not_utf8_in_a_list_is_told_where_it_stands(tmp_path):
    """Not where the piece of the file begins in which it was found."""
    records = [json.dumps(record).encode() for record in RECORDS]
    records[2] = records[2].replace(b'"2', b'"\xff')
    (tmp_path / "a.json").write_bytes(b"[" + b", ".join(records) + b"]")
    with pytest.raises(FtlabError, match=r"a.json:1 \(record 3\): not UTF-8; save the file as UTF-8"):
        read_rows(tmp_path / "a.json")


def test_faults_of_a_csv_are_listed_at_their_first_lines(tmp_path):
    file, skipped = tmp_path / "a.csv", []
    file.write_text('question,answer\na,"b\n\nc"\nd\ne,""\nf,g"h\n"i\nj",k,l\nm,n\n')
    assert [row.line for row in read_rows(file, on_error="skip", skipped=skipped)] == [2, 7, 10]
    told = ["5: 1 cells", "6: answer is empty", "8: 3 cells"]
    assert [fault.removeprefix(f"{file}:")[: len(start)] for fault, start in zip(skipped, told, strict=True)] == told


@pytest.mark.parametrize(
    ("record", "format", "told"),
    [
        ({"instruction": "a", "output": "b"}, QuestionAnswer(), "(data.train: [{path: ..., format: Alpaca}])"),
        ({"x": "a"}, QuestionAnswer("q", "a"), "(data.train: [{path: ..., format: X}])"),
        ({"question": "a"}, Messages(), "(data.train: [{path: ..., format: QuestionAnswer}])"),
    ],
)
def test_a_source_of_another_format_than_the_one_that_is_named_can_have_its_own(tmp_path, record, format, told):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(record))
    with pytest.raises(FtlabError) as error:
        read_rows(file, format)
    assert str(error.value).startswith(f"{file}:1: no '")
    assert str(error.value).endswith(f"mend the row, or give this source a format of its own {told}")
    with pytest.raises(FtlabError, match=r"mend the row, or let --data\.format null find out the format"):
        read_rows(file, format, need_answer=False)
    with pytest.raises(FtlabError, match=r"mend the row or name another format in exam\.format"):
        read_rows(file, format, need_answer=False, setting="exam.format")


def test_a_null_is_called_so(tmp_path):
    file, skipped = tmp_path / "a.jsonl", []
    turns = [{"role": "user", "content": None}, {"role": "assistant", "content": "b"}]
    records = [{"messages": turns}, {"messages": [None]}, None]
    file.write_text("".join(json.dumps(record) + "\n" for record in records) + '{"messages": [{"role": "user"')
    with pytest.raises(
        FtlabError, match=r":1: messages\[0\]: content is null; write its text, or leave the message out"
    ):
        read_rows(file, on_error="skip", skipped=skipped)
    file.write_text('{"question": "a", "answer": "b"}\n{"question": null, "answer": "b"}\nnull\n')
    read_rows(file, on_error="skip", skipped=skipped)
    assert skipped == [
        f"{file}:2: question is null; write its text, or leave the row out",
        f"{file}:3: this is null, not an object; write one object a line",
    ]


def test_a_row_before_an_open_quote_is_told_first(tmp_path):
    (tmp_path / "a.csv").write_text('question,answer\na,b\nc,\nd,"e\nf,g\n')
    with pytest.raises(FtlabError, match=r"a.csv:3: answer is empty"):
        read_rows(tmp_path / "a.csv")


def test_a_quoted_empty_cell_is_a_row_and_an_empty_line_is_none(tmp_path):
    file, skipped = tmp_path / "a.csv", []
    file.write_text('text\nhello\n""\n\n  \n"  "\nworld\n')
    assert [row.line for row in read_rows(file, on_error="skip", skipped=skipped)] == [2, 7]
    reason = "text is empty; write a text or leave the row out"
    assert skipped == [f"{file}:3: {reason}", f"{file}:6: {reason}"]


def test_a_format_of_the_minority_is_at_fault(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES + b'{"instruction": "a", "output": "b"}\n')
    reason = "this is Alpaca, but the file begins with QuestionAnswer; write each format to a file of its own"
    with pytest.raises(FtlabError, match=rf"a.jsonl:5: {reason}"):
        read_rows(file)


def test_the_same_content_elsewhere_has_its_own_place(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(LINES)
        assert read_rows(tmp_path / name).place(2) == f"{tmp_path / name}:3"


def test_large_files_are_read_in_parts(tmp_path):
    """Lines go on from part to part, and the first fault is told, whichever process finds one first."""
    records = [{"question": f"{i} " + "x" * 5000, "answer": "b"} for i in range(4000)]
    records[2000]["answer"] = records[3900]["answer"] = 3
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(record) + "\n\n" for record in records))
    with pytest.raises(FtlabError, match=r":4001: answer is int"):
        read_rows(file)
    skipped: list[str] = []
    rows = read_rows(file, on_error="skip", skipped=skipped)
    assert [fault.split(":")[1] for fault in skipped] == ["4001", "7801"]
    assert [rows[i].line for i in (0, 3333, 3997)] == [1, 6669, 7999]
    assert rows[3333].prompt[0]["content"].startswith("3334 ")
    (tmp_path / "a.json").write_text(json.dumps(records, indent=0))  # four lines each, after that of the bracket
    with pytest.raises(FtlabError, match=r"a.json:8002: answer is int"):
        read_rows(tmp_path / "a.json")


def test_folders_globs_and_lists(tmp_path):
    for name in ("b.jsonl", "a.csv", "c.jsonl.gz"):
        (tmp_path / name).write_bytes(SAME[name.replace("b.", "a.").replace("c.", "a.")][0])
    (tmp_path / "notes.md").write_text("no data")
    folder = str(tmp_path)
    assert [row.file for row in read_rows(folder)][::4] == [f"{folder}/{n}" for n in ("a.csv", "b.jsonl", "c.jsonl.gz")]
    assert len(read_rows(f"{folder}/*.jsonl*")) == 8
    rows = read_rows([f"{folder}/a.csv", Source(f"{folder}/*.jsonl", name="mine")])
    assert rows.sources == ["a", "mine"]
    assert rows.source_ids.tolist() == [0] * 4 + [1] * 4
    assert rows[4].source == "mine"


def test_sources_are_told_apart():
    def names(*sources):
        return [source.name for source in named_sources(list(sources))]

    assert names("a/x.jsonl.gz", "b/y.z.csv", "data/", "*.json", "owner/set") == ["x", "y.z", "data", "*", "set"]
    assert names("a/x.jsonl", "b/x.csv", Source("c/x.csv", name="c")) == ["a/x.jsonl", "b/x.csv", "c"]
    with pytest.raises(FtlabError, match="two sources are called x; give each a name of its own"):
        names(Source("a", name="x"), Source("b", name="x"))
    with pytest.raises(FtlabError, match="the list of sources is empty"):
        read_rows([])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none.jsonl", "none.jsonl: no such data file; paths are relative to "),
        ("*.jsonl", "*.jsonl: no file is so called; "),
        ("known/none", "known/none: no such data file; "),
        ("known", "known: no data file in this folder; the endings known are .json, "),
        ("known/a.docx", "known/a.docx: its name does not say what it holds; the endings known are .json, "),
    ],
)
def test_a_path_that_leads_nowhere_is_named(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "known").mkdir()
    (tmp_path / "known/a.docx").write_text("x")
    with pytest.raises(FtlabError) as error:
        read_rows(path)
    assert str(error.value).startswith(reason)


def test_folders_of_datasets_and_of_prepared_data(tmp_path):
    train, test = (datasets.Dataset.from_list(records) for records in (RECORDS, RECORDS[:1]))
    train.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "both")
    rows = read_rows(str(tmp_path / "one"))
    assert [row.prompt[0]["content"] for row in rows] == ["0?", "1?", "2?", "3?"]
    assert rows[3].place == f"{tmp_path}/one/data-00001-of-00002.arrow:2"
    assert len(read_rows(str(tmp_path / "both"))) == 4
    assert len(read_rows(Source(str(tmp_path / "both"), split="test"))) == 1
    with pytest.raises(FtlabError, match="both: no split is called dev; those there are test, train"):
        read_rows(Source(str(tmp_path / "both"), split="dev"))
    (tmp_path / "prepared").mkdir()
    for name, records in (("train", RECORDS), ("validation", RECORDS[:2])):
        (tmp_path / f"prepared/{name}.parquet").write_bytes(parquet(records))
    (tmp_path / "prepared/card.json").write_text("{}")
    assert len(read_rows(str(tmp_path / "prepared"))) == 4
    assert len(read_rows(Source(str(tmp_path / "prepared"), split="validation"))) == 2


def run(code, **environment):
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


READ = """
from ftlab.data.sources import FtlabError, read_rows
try:
    rows = read_rows({source!r})
    print(len(rows), rows[1].place, rows[1].reference)
except FtlabError as error:
    print(error)
"""


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["silent", "offline"])
def test_a_data_set_of_the_hub_that_cannot_be_had_is_named(tmp_path, environment):
    """The Hub is a socket that takes calls and never answers, as behind a bad firewall."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = run(READ.format(source="owner/name"), HF_HOME=str(tmp_path), HF_ENDPOINT=address, **environment)
    assert done.stdout.count("\n") == 1, done.stderr
    assert done.stdout.startswith(
        f"owner/name[train]: neither a file here nor a data set in the cache {tmp_path}/datasets, and the Hub cannot "
        'be reached; check the path, or run datasets.load_dataset("owner/name", split="train") in Python where'
    )


def test_a_part_of_a_split_is_not_taken_for_the_whole():
    with pytest.raises(FtlabError, match=r"owner/name: 'train\[:10\]' is not the name of a split; name a whole one"):
        read_rows(Source("owner/name", split="train[:10]"))


def test_a_data_set_of_the_hub_is_read_from_its_cache(tmp_path):
    """The cache is what `datasets` makes of a file, under the place where it keeps the data set of the Hub."""
    (tmp_path / "a.jsonl").write_bytes(LINES)
    datasets.load_dataset("json", data_files=str(tmp_path / "a.jsonl"), cache_dir=str(tmp_path / "made"))
    [made] = (tmp_path / "made").glob("json/*/*/*/dataset_info.json")
    kept = tmp_path / "datasets/owner___name/default" / made.parent.parent.name / made.parent.name
    shutil.copytree(made.parent, kept)
    info = json.loads((kept / "dataset_info.json").read_text()) | {"config_name": "default", "dataset_name": "name"}
    (kept / "dataset_info.json").write_text(json.dumps(info))
    [file] = kept.glob("*.arrow")
    file.rename(kept / "name-train.arrow")
    done = run(READ.format(source="owner/name"), HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.stdout == "4 owner/name[train]:2 1, é\n", done.stderr


def test_the_lessons_real_data(tmp_path):
    if not LESSON.is_dir():
        pytest.skip("the lesson's data are not here; FTLAB_LESSON_DATA names their folder")
    assert {name: len(read_rows(LESSON / f"{name}.jsonl")) for name in ("train_1k", "train_100", "test")} == {
        "train_1k": 1115,
        "train_100": 100,
        "test": 10,
    }


def test_columns_of_any_names(tmp_path):
    (tmp_path / "a.csv").write_text("q,a,s\n2 + 2?,4,\n3 + 3?,6,Be brief.\n")
    rows = read_rows(tmp_path / "a.csv", QuestionAnswer("q", "a", system="s", system_text="Add."))
    assert [row.messages[0]["content"] for row in rows] == ["Add.", "Be brief."]
    assert Path(rows[0].file).name == "a.csv"


@pytest.mark.slow
def test_a_million_rows_need_less_than_a_gigabyte_of_memory(tmp_path):
    """Loaded, and then each of them read once."""
    line = (
        '{"messages": [{"role": "user", "content": "%d?"}, {"role": "assistant", "content": "'
        + "word " * 185
        + '"}]}\n'
    )
    with (tmp_path / "a.jsonl").open("w") as file:
        file.writelines(line % i for i in range(1_000_000))
    assert (tmp_path / "a.jsonl").stat().st_size >= 1_000_000_000
    code = """
from ftlab.data.sources import read_rows
rows = read_rows("a.jsonl")
assert rows.fingerprint and sum(row.line for row in rows) == 500_000_500_000
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    command = [sys.executable, "-c", code]
    environment = os.environ | {"FTLAB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    shutil.rmtree(tmp_path)  # two gigabytes
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) << 10 < 1 << 30

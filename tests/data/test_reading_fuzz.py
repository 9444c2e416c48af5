"""Thousands of rows, each with one known slip or none: no traceback, no slip accepted, every line right."""

from __future__ import annotations

import copy
import csv
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError

#: Contents that look dangerous and are not.
TEXTS = ["Hi", " led by white space", "two\nlines, and a comma", '"quoted"', "<|im_end|>", "é漢🙂\u2028x", "{{ans:4}}"]
#: What is said of a row without a fault.
HARMLESS = None
CALL = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}


def text(rng):
    return f"{rng.choice(TEXTS)} {rng.randrange(10**6)}"


def turns(rng, system=True):
    made = [{"role": "system", "content": text(rng)}] if system and rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 3)):
        made += [{"role": "user", "content": text(rng)}, {"role": "assistant", "content": text(rng)}]
    return made


def shared_gpt(rng):
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return {"conversations": [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns(rng)]}


def preference_lists(rng):
    prompt, (chosen, rejected) = turns(rng)[:-1], [[{"role": "assistant", "content": text(rng)}] for _ in "ab"]
    return {"chosen": prompt + chosen, "rejected": prompt + rejected}


#: Good records of every format.
GOOD = {
    "messages": lambda rng: {"messages": turns(rng)},
    "alpaca": lambda rng: {"instruction": text(rng), "input": text(rng), "output": text(rng)},
    "sharegpt": shared_gpt,
    "prompt": lambda rng: {"prompt": text(rng), "completion": text(rng)},
    "prompt_lists": lambda rng: dict(zip(("prompt", "completion"), ((t := turns(rng))[:-1], t[-1:]), strict=True)),
    "question": lambda rng: {"question": text(rng), "answer": text(rng)},
    "preference": lambda rng: {"prompt": text(rng), "chosen": text(rng), "rejected": text(rng)},
    "preference_lists": preference_lists,
    "text": lambda rng: {"text": text(rng)},
}


def put(*path, value):
    """Return a mutation that sets what stands at a path; `-1` is the last message, `user` the first of that role."""

    def mutate(record):
        at = record
        for step in path[:-1]:
            at = next(m for m in at if step in (m.get("role"), m.get("from"))) if step in ROLES else at[step]
        at[path[-1]] = copy.deepcopy(value)

    return mutate


def drop(*path):
    def mutate(record):
        at = record
        for step in path[:-1]:
            at = next(m for m in at if step in (m.get("role"), m.get("from"))) if step in ROLES else at[step]
        del at[path[-1]]

    return mutate


def insert(key, at, value):
    return lambda record: record[key].insert(at if at >= 0 else len(record[key]), copy.deepcopy(value))


def only(key, role):
    """Return a mutation that keeps one role's turns alone."""

    def mutate(record):
        record[key] = [turn for turn in record[key] if role in (turn.get("role"), turn.get("from"))]

    return mutate


ROLES = ("user", "assistant", "human", "gpt")
BLANK = {"null": None, "nothing": "", "white space": " \n\t"}
NO_TEXT = {"int": 3, "nan": float("nan"), "infinite": 1e400, "bool": True, "list": ["x"], "object": {"a": 1}}


def become_messages(record):
    record.clear()
    record["messages"] = turns(random.Random(0))


def no_text(*path, reason, **more):
    """Yield mutations that put what is no text where one belongs."""
    for name, value in (BLANK | NO_TEXT | more).items():
        yield f"{path[-1]}: {name}", put(*path, value=value), reason
    yield f"no {path[-1]}", drop(*path), ""


def of_message(key, who):
    """Mutations of a list of messages."""
    yield from no_text(key, who, "content", reason="content")
    last = (key, "assistant") if who == "assistant" else None
    for role in ("usr", "User", None, 1, [], "document"):
        yield f"role: {role}", put(key, who, "role", value=role), "is not a role"
    yield "no role", drop(key, who, "role"), "is not a role"
    for name, value in {"text": "hi", "null": None, "int": 3, "list": [], "empty": {}}.items():
        yield f"a message: {name}", insert(key, 0, value), "[" if name == "empty" else "each message is"
    yield "no key of a message", put(key, who, "conent", value="x"), "did you mean content?"
    yield "name: int", put(key, who, "name", value=3), "name is int"
    yield "name: empty", put(key, who, "name", value=""), "name is empty"
    yield "name", put(key, who, "name", value="Ann"), HARMLESS
    yield "another key", put(key, who, "timestamp", value=12), HARMLESS
    for lost in ("function_call", "thinking", "reasoning"):
        yield lost, put(key, who, lost, value="x"), "would be lost"
        yield f"{lost}: null", put(key, who, lost, value=None), HARMLESS
    yield "half a character", put(key, who, "content", value="a\ud83d"), "half a surrogate pair"
    if last:
        for name, value in {"minus": -1, "nan": float("nan"), "text": "1", "bool": True, "huge": 10**400}.items():
            yield f"weight: {name}", put(*last, "weight", value=value), "weight is"
        for value in (0, 0.5, 2, None):
            yield f"weight {value}", put(*last, "weight", value=value), HARMLESS
        yield "train: text", put(*last, "train", value="no"), "train is str"
        yield "train: int", put(*last, "train", value=0), "train is int"
        yield "train: false", put(*last, "train", value=False), HARMLESS
        yield "reasoning: int", put(*last, "reasoning_content", value=1), "reasoning_content is int"
        yield "reasoning", put(*last, "reasoning_content", value="Let me see"), HARMLESS
        yield "tool_call_id", put(*last, "tool_call_id", value="c1"), "only a tool's message"
        for name, value in {
            "text": "add",
            "object": CALL,
            "of texts": ["add"],
            "no name": [{"function": {"arguments": {}}}],
            "name: int": [{"function": {"name": 1, "arguments": {}}}],
            "arguments: list": [{"function": {"name": "add", "arguments": [1]}}],
            "arguments: no JSON": [{"function": {"name": "add", "arguments": "{1"}}],
            "type": [CALL | {"type": "magic"}],
            "id": [CALL | {"id": 7}],
        }.items():
            yield f"tool_calls: {name}", put(*last, "tool_calls", value=value), "tool_calls"
        for name, value in {"dict": [CALL], "none": [], "null": None, "flat": [CALL["function"]]}.items():
            yield f"tool_calls: {name}", put(*last, "tool_calls", value=value), HARMLESS
        as_text = [{"function": {"name": "add", "arguments": '{"a": 1}'}}]
        yield "tool_calls: JSON", put(*last, "tool_calls", value=as_text), HARMLESS
    else:
        for name, key_, value in (("weight", "weight", 1), ("train", "train", True), ("calls", "tool_calls", [CALL])):
            yield f"the user's {name}", put(key, who, key_, value=value), "only the assistant"
        yield "the user's reasoning", put(key, who, "reasoning_content", value="x"), "only the assistant"
        yield "the user's train: false", put(key, who, "train", value=False), HARMLESS


def of_list(key, reason):
    """Mutations of what should be a list of messages or turns."""
    for name, value in {"int": 3, "object": {"a": 1}, "text": "hi", "empty": []}.items():
        yield f"{key}: {name}", put(key, value=value), reason


def mutations(name):
    """Yield each slip of a format: its name, what makes it, and what the message says; HARMLESS ones are accepted."""
    yield "another column", put("source", value={"a": [1, None]}), HARMLESS
    yield "an id", put("id", value="x"), HARMLESS
    yield "half a character in a column", put("source", value="\udc00"), "half a surrogate pair"
    if name == "messages":
        yield from of_message("messages", "user")
        yield from of_message("messages", "assistant")
        yield from of_list("messages", "must be a list")
        yield "null", put("messages", value=None), ""
        yield "no messages", drop("messages"), ""
        yield "two systems", insert("messages", -1, {"role": "system", "content": "x"}), "system message"
        yield "system last", insert("messages", -1, {"role": "system", "content": "x"}), "system message"
        yield "no answer", only("messages", "user"), "no assistant turn"
        yield "tool without content", insert("messages", -1, {"role": "tool"}), "has no content"
        yield "tool with none", insert("messages", -1, {"role": "tool", "content": ""}), "content is empty"
        yield "tool", insert("messages", -1, {"role": "tool", "content": "4", "tool_call_id": "c1"}), HARMLESS
        yield "tools: text", put("tools", value="search"), "tools must be a list"
        yield "tools: no name", put("tools", value=[{"description": "x"}]), "names no function"
        yield "tools", put("tools", value=[{"name": "add", "parameters": {}}]), HARMLESS
        yield "tools: JSON", put("tools", value='[{"type": "function", "function": {"name": "add"}}]'), HARMLESS
        yield "ends with the user", insert("messages", -1, {"role": "user", "content": "x"}), HARMLESS
    elif name == "sharegpt":
        yield from no_text("conversations", "human", "value", reason="")
        yield from no_text("conversations", "gpt", "value", reason="")
        yield from of_list("conversations", "must be a list")
        for value in ("humen", "Human", None, 3, []):
            yield f"from: {value}", put("conversations", "human", "from", value=value), "is no speaker"
        yield "no from", drop("conversations", "human", "from"), "is no speaker"
        yield "no answer", only("conversations", "human"), "no assistant turn"
        yield "a turn: text", insert("conversations", 0, "hi"), "[0]"
        yield "system last", insert("conversations", -1, {"from": "system", "value": "x"}), "system message"
        for value in ("add(1)", "", "3", "{}"):
            call = {"from": "function_call", "value": value}
            yield f"a call: {value}", insert("conversations", -1, call), "no function call"
        call = {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'}
        yield "a call", insert("conversations", -1, call), HARMLESS
        yield "a result", insert("conversations", -1, {"from": "observation", "value": "4"}), HARMLESS
        yield "a blank result", insert("conversations", -1, {"from": "observation", "value": ""}), "content is empty"
    elif name == "prompt_lists":
        yield from of_message("prompt", "user")
        yield from of_message("completion", "assistant")
        yield "the user completes", put("completion", "assistant", "role", value="user"), "assistant"
        for key in ("prompt", "completion"):
            yield from no_text(key, reason="")
    elif name == "preference_lists":
        yield from of_list("chosen", "")
        yield from of_list("rejected", "")
        yield "the same", lambda record: record.update(rejected=copy.deepcopy(record["chosen"])), "are the same"
        yield "a beginning", lambda record: record["rejected"].pop(), "the beginning of the other"
        yield "no prompt", lambda record: record.update({k: record[k][-1:] for k in record}), "no prompt"
        for key in ("chosen", "rejected"):
            yield f"{key}: no content", put(key, -1, "content", value=""), "content is empty"
            yield f"{key}: role", put(key, -1, "role", value="bot"), "is not a role"
            yield f"{key}: user last", put(key, -1, "role", value="user"), "assistant"
    else:
        needed = {
            "alpaca": ("instruction", "output"),
            "prompt": ("prompt", "completion"),
            "question": ("question", "answer"),
            "preference": ("prompt", "chosen", "rejected"),
            "text": ("text",),
        }[name]
        for key in needed:
            yield from no_text(key, reason="")
    if name == "alpaca":
        for value in (None, "", "  "):
            yield f"input: {value!r}", put("input", value=value), HARMLESS
        yield "no input", drop("input"), HARMLESS
        for value in (3, ["x"], float("nan")):
            yield f"input: {value}", put("input", value=value), "input is"
        for value in ([["a", "b"]], [], None):
            yield f"history: {value}", put("history", value=value), HARMLESS
        for value in ("a", 3, ["a"], [["a"]], [["a", "b", "c"]], [["a", None]], [["", "b"]], [[1, "b"]], {"a": 1}):
            yield f"history: {value}", put("history", value=value), "history"
    if name == "preference":
        yield "the same", lambda record: record.update(rejected=record["chosen"]), "are the same"
    if name in ("alpaca", "prompt", "sharegpt", "preference"):
        yield "system: int", put("system", value=3), "system is int"
        yield "system: nothing", put("system", value=""), HARMLESS
    if name != "messages":
        yield "another format", become_messages, "begins with"


#: What breaks a line of JSON whatever is in it; bytes to bytes.
BREAKS = {
    "cut": lambda raw: raw[:-2],
    "no quote": lambda raw: raw.replace(b'"', b"", 1),
    "comma": lambda raw: raw[:-1] + b",}",
    "two": lambda raw: raw + b" " + raw,
    "single quotes": lambda raw: b"{'a': 1}",
    "null": lambda raw: b"null",
    "list": lambda raw: b"[" + raw + b"]",
    "number": lambda raw: b"3",
    "text": lambda raw: b'"hi"',
    "not UTF-8": lambda raw: raw[:-2] + b"\xff" + raw[-2:],
    "Latin-1": lambda raw: '{"text": "é"}'.encode("latin-1"),
    "twice": lambda raw: raw[:-1] + b', "id": 1, "id": 2}',
    "deep": lambda raw: b'{"a": ' + b"[" * 100_000,
    "digits": lambda raw: b'{"a": ' + b"1" * 5000 + b"}",
    "control": lambda raw: raw[:-1] + b', "id": "a\tb"}',
    "word": lambda raw: b"hello",
    "empty": lambda raw: b"{}",
}
LINES = ("jsonl", "jsonl.gz", "jsonl.zst")
TABLES = ("parquet", "arrow")


def mutated(name, rng, times):
    """Return records with the slip of each and what the message says; good ones stand between them."""
    rows = [(GOOD[name](rng), "good", HARMLESS)]
    for _ in range(times):
        for slip, mutate, reason in mutations(name):
            record = GOOD[name](rng)
            mutate(record)
            rows.append((record, slip, reason))
            if rng.random() < 0.3:
                rows.append((GOOD[name](rng), "good", HARMLESS))
    return rows


def write(path, data):
    if path.suffix in (".gz", ".zst"):
        with pa.CompressedOutputStream(str(path), {".gz": "gzip", ".zst": "zstd"}[path.suffix]) as stream:
            stream.write(data)
    else:
        path.write_bytes(data)


def numbered(place):
    """Return the record's number of `1 (record 3)`, the line of `3`."""
    line, _, record = place.partition(" (record ")
    return int(record.removesuffix(")") or line)


def judge(path, expected):
    """Hold a file against what is known of each line: `(line, slip, reason)`; return how many lines were at fault."""
    skipped = []
    rows = read_rows(str(path), on_error="skip", skipped=skipped)
    said = {}
    for fault in skipped:
        assert fault.startswith(f"{path}:")
        assert "\n" not in fault
        assert " fails (" not in fault, "the net for plugins caught what a format should have named"
        line, what = fault[len(f"{path}:") :].split(": ", 1)
        assert ";" in what or "did you mean" in what, fault
        said[numbered(line)] = what
    accepted = {row.record or row.line for row in rows}
    for line, slip, reason in expected:
        if reason is HARMLESS:
            assert line in accepted, f"{slip} was refused: {said.get(line)}"
        else:
            assert line in said, f"{slip} was accepted"
            assert reason in said[line], f"{slip}: {said[line]}"
    assert len(accepted) + len(said) == len(expected)
    [*faulty] = [line for line, _, reason in expected if reason is not HARMLESS]
    if faulty:
        with pytest.raises(FtlabError) as error:
            read_rows(str(path))
        assert str(error.value) == skipped[0]
        assert numbered(str(error.value)[len(f"{path}:") :].partition(": ")[0]) == faulty[0]
    return len(faulty)


COUNTS = []


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("name", GOOD)
def test_lines(tmp_path, name, kind):
    """JSON Lines, plain and packed, with empty lines between."""
    rng = random.Random(f"{name} {kind}")
    rows = [
        (json.dumps(record).encode(), slip, reason)
        for record, slip, reason in mutated(name, rng, 2 if kind == "jsonl" else 1)
    ]
    rows += [(BREAKS[slip](json.dumps(GOOD[name](rng)).encode()), slip, "") for slip in BREAKS]
    lines, expected = [], []
    for raw, slip, reason in rows:
        lines += [rng.choice([b"", b"  ", b"\r"])] * rng.choice([0, 0, 0, 1, 2])
        lines.append(raw + rng.choice([b"", b" ", b"\r"]))
        expected.append((len(lines), slip, reason))
    write(tmp_path / f"a.{kind}", rng.choice([b"", b"\xef\xbb\xbf"]) + b"\n".join(lines) + rng.choice([b"", b"\n"]))
    COUNTS.append((len(expected), judge(tmp_path / f"a.{kind}", expected)))


@pytest.mark.parametrize("name", GOOD)
def test_one_list(tmp_path, name):
    """A JSON list over many lines, alone or in an object."""
    rng = random.Random(name)
    parts, expected = [rng.choice(["[", '{"version": [1, 2][0], "data": ['.replace("[1, 2][0]", "1")])], []
    rows = mutated(name, rng, 2)
    for number, (record, slip, reason) in enumerate(rows):
        parts.append("\n" * rng.randint(0, 2))
        expected.append(("".join(parts).count("\n") + 1, slip, reason))
        parts.append(json.dumps(record, indent=rng.choice([1, None])) + ("," if number < len(rows) - 1 else ""))
        parts.append("\n")
    text = "".join(parts) + ("]" if parts[0] == "[" else "]}")
    lines = [line for line, _, _ in expected]
    assert len(set(lines)) == len(lines)
    write(tmp_path / "a.json", text.encode())
    COUNTS.append((len(expected), judge(tmp_path / "a.json", expected)))


@pytest.mark.parametrize("name", GOOD)
def test_one_list_on_one_line(tmp_path, name):
    """Where the line says nothing, a record is known by its number."""
    rng = random.Random(f"{name} line")
    rows = mutated(name, rng, 1)
    around = rng.choice(["%s", '{"version": 1, "data": %s}'])
    write(tmp_path / "a.json", (around % json.dumps([record for record, _, _ in rows])).encode())
    COUNTS.append((len(rows), judge(tmp_path / "a.json", [(i, slip, why) for i, (_, slip, why) in enumerate(rows, 1)])))


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("name", GOOD)
def test_tables(tmp_path, name, kind):
    """Parquet and Arrow, with those slips that have a place in a table; a row's line is its number."""
    rng = random.Random(f"{name} {kind}")
    rows, table = [], None
    for row in mutated(name, rng, 1):
        if "half" in row[1] or row[1] in ("another column", "another format"):
            continue  # a table is of one format, and holds whole characters only
        try:
            table = pa.Table.from_pylist([record for record, _, _ in [*rows, row]], schema_of([*rows, row]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            continue
        rows.append(row)
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    expected = [(line, slip, reason) for line, (_, slip, reason) in enumerate(rows, 1)]
    COUNTS.append((len(expected), judge(path, expected)))


def schema_of(rows):
    """Return a schema with every column of some records: a table's is the first record's otherwise."""
    return pa.unify_schemas([pa.Table.from_pylist([record]).schema for record, _, _ in rows], promote_options="default")


CELLS = {
    "good": (lambda cells: cells, HARMLESS),
    "too few": (lambda cells: cells[:-1], "cells, but the header has"),
    "too many": (lambda cells: [*cells, "x"], "cells, but the header has"),
    "first empty": (lambda cells: ["", *cells[1:]], "is empty"),
    "last empty": (lambda cells: [*cells[:-1], ""], "is empty"),
    "last blank": (lambda cells: [*cells[:-1], " \n "], "is empty"),
    "lines": (lambda cells: [*cells[:-1], "a\n\nb"], HARMLESS),
    "not UTF-8": (lambda cells: [*cells[:-1], "caf\udce9"], "not UTF-8"),
}


@pytest.mark.parametrize("delimiter", [",", "\t"], ids=["csv", "tsv"])
@pytest.mark.parametrize("name", ["alpaca", "prompt", "question", "preference"])
def test_cells(tmp_path, name, delimiter):
    """CSV and TSV, where a cell may go over several lines."""
    rng = random.Random(f"{name} {delimiter}")
    keys = [key for key in GOOD[name](rng) if key != "input"]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=rng.choice(["\n", "\r\n"]))
    writer.writerow(keys)
    expected = []
    for _ in range(6):
        for slip, (mutate, reason) in CELLS.items():
            record = GOOD[name](rng)
            expected.append((out.getvalue().count("\n") + 1, slip, reason))
            writer.writerow(mutate([record[key] for key in keys]))
        expected.append((out.getvalue().count("\n") + 1, "a quote inside", "not CSV"))
        out.write(f'"a"b{delimiter}"c"\n')
    path = tmp_path / ("a.csv" if delimiter == "," else "a.tsv")
    path.write_bytes(out.getvalue().encode("utf-8", "surrogateescape"))
    COUNTS.append((len(expected), judge(path, expected)))
    path.write_bytes(path.read_bytes() + f'"a{delimiter}b\n\n"c"{delimiter}d\n'.encode())
    with pytest.raises(FtlabError, match=rf":{out.getvalue().count(chr(10)) + 1}: a cell from here to line "):
        read_rows(str(path), on_error="skip")


def test_paragraphs(tmp_path):
    """Plain text, of which bytes that are no characters are the only fault."""
    rng = random.Random(0)
    text, expected = b"", []
    for number in range(60):
        expected.append((text.count(b"\n") + 1, "good", HARMLESS))
        lines = [f"Line {number} {rng.choice('aé漢')}".encode() for _ in range(rng.randint(1, 3))]
        if number % 3 == 1:
            at = rng.randrange(len(lines))
            lines[at] += b"\xff"
            expected[-1] = (expected[-1][0] + at, "not UTF-8", "is not UTF-8")
        text += b"\n".join(lines) + b"\n" + b"\n" * rng.randint(1, 3)
    write(tmp_path / "a.txt", text)
    COUNTS.append((len(expected), judge(tmp_path / "a.txt", expected)))


def test_random_bytes(tmp_path):
    """Bytes changed at random: what is no JSON any more is at fault, what means the same is not, nothing ends it."""
    rng = random.Random(0)
    lines, verdicts = [], []
    for number in range(1500):
        name = "messages"
        raw = bytearray(json.dumps(GOOD[name](rng), ensure_ascii=False).encode())
        before = json.loads(raw)
        for _ in range(rng.randint(0, 2) if number else 0):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randint(0, 3)] = bytes(rng.choices(b'{}[]",:\\ux0 \xff\xc3', k=rng.randint(0, 2)))
        raw = bytes(raw).replace(b"\n", b" ")
        try:
            verdicts.append(HARMLESS if json.loads(raw.decode()) == before else "either")
        except ValueError:
            verdicts.append("fault")
        lines.append(raw or b"x")
    path = tmp_path / "a.jsonl"
    write(path, b"\n".join(lines))
    skipped = []
    accepted = {row.line for row in read_rows(str(path), on_error="skip", skipped=skipped)}
    refused = {int(fault[len(f"{path}:") :].split(":")[0]) for fault in skipped}
    assert not accepted & refused
    assert len(accepted) + len(refused) == len(lines)
    for line, verdict in enumerate(verdicts, 1):
        assert verdict == "either" or (line in refused) == (verdict == "fault"), (line, lines[line - 1])
    assert verdicts.count("fault") > 500


def test_there_were_enough():
    """The files above hold thousands of mutated rows; run on its own this proves nothing."""
    if len(COUNTS) < len(GOOD) * 6:
        pytest.skip("only some of the files were written")
    print(f"{sum(rows for rows, _ in COUNTS)} rows, {sum(faults for _, faults in COUNTS)} at fault")
    assert sum(faults for _, faults in COUNTS) > 2000

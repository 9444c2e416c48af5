"""The numbers are those that were planted, and every warning has its reason."""

import dataclasses
import json
import random

import numpy as np
import pytest

from ftlab.data.quality.describe import describe
from ftlab.data.rows import Row, Rows
from tests.data.quality.conftest import lesson, own, table


def described(rows, lengths=None, supervised=None, max_length=512):
    lengths = np.full(len(rows), 100) if lengths is None else np.array(lengths)
    supervised = lengths / 2 if supervised is None else np.array(supervised)
    description = describe(rows, lengths, supervised, max_length, learnt=True)
    assert json.loads(json.dumps(dataclasses.asdict(description)))["rows"] == len(rows)
    assert not any("\n" in warning for warning in description.warnings)
    return description


def warned(description, *words):
    return any(all(word in warning for word in words) for warning in description.warnings)


def questions(count):
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=20)) for _ in range(count)]


def test_tokens_and_their_histogram():
    lengths = np.arange(1, 1001)
    tokens = described(table(questions(1000)), lengths, max_length=900).tokens
    assert (tokens.p50, tokens.p95, tokens.max, tokens.beyond, tokens.beyond_share) == (500.5, 950.05, 1000, 100, 0.1)
    assert tokens.total == lengths.sum()
    assert sum(tokens.histogram.counts) == 1000
    assert len(tokens.histogram.edges) == len(tokens.histogram.counts) + 1


@pytest.mark.parametrize(("rows", "words"), [(99, "fewer than 100"), (999, "fewer than 1,000"), (1000, None)])
def test_few_rows_are_warned_of(rows, words):
    warnings = described(table(questions(rows))).warnings
    assert ["fewer" in warning for warning in warnings] == ([True] if words else [])
    assert words is None or words in warnings[0]


def test_too_long_rows_and_little_to_learn_are_warned_of():
    rows = table(questions(1000))
    assert warned(described(rows, [600] * 51 + [10] * 949), "longer than data.max_length 512")
    assert not warned(described(rows, [600] * 49 + [10] * 951), "max_length")
    assert warned(described(rows, supervised=[1] * 1000), "1.0%", "learnt")
    assert described(rows, supervised=[25] * 1000).supervised_share == 0.25


def test_repetition_is_told_once_each():
    texts = questions(1000)
    long = "The old harbour of the town was full of small ships that had come in during the night"
    more = [texts[0], texts[0], texts[1].upper(), long, long.replace("small", "large")]
    description = described(table(texts + more))
    assert (description.exact.count, description.exact.groups) == (2, 1)
    assert description.exact.places == [["rows.jsonl:1", "rows.jsonl:1001", "rows.jsonl:1002"]]
    assert (description.normalised.count, description.normalised.places) == (1, [["rows.jsonl:2", "rows.jsonl:1003"]])
    assert (description.near.count, description.near.places) == (1, [["rows.jsonl:1004", "rows.jsonl:1005"]])
    assert warned(description, "2 exact duplicates", "rows.jsonl:1 and rows.jsonl:1001")


def test_conflicts_are_told():
    description = described(table([("Who?", "Ann"), ("who", "Ben"), ("Why?", "So")]))
    assert (description.conflicts.count, description.conflicts.groups) == (2, 1)
    assert warned(description, "1 question with different answers", "rows.jsonl:1 and rows.jsonl:2")


def test_faults_of_answers():
    texts = questions(100)
    whole = [(text, f"This is a whole sentence about {text}.") for text in texts]
    faults = [
        ("q1", " … "), ("q2", "ok"), ("q3", "42"), ("q4", "是"),
        ("q5", "The reason for this is that the"),
        ("q6", "First we take the list,"),
        ("q7", "```python\nprint(1)"),
        ("q8", "```python\nprint(1)\n```"),
        ("q9", "Paris"),
        ("q10", "The area is 12 m² and so\n12 square metres"),
    ]  # fmt: skip
    description = described(table(whole + faults))

    def lines(found):
        return [int(place.partition(":")[2]) - 100 for [place] in found.places]

    assert lines(description.empty) == [1]
    assert lines(description.short) == [2]
    assert lines(description.cut_off) == [5, 6, 7]
    assert warned(description, "cut off", "rows.jsonl:105")


def test_a_style_without_full_stops_is_no_fault():
    rows = table([(text, f"this is how we write answers about {text}") for text in questions(100)])
    assert described(rows).cut_off.count == 0


def test_classes_and_their_balance():
    texts = questions(1000)
    labels = ["no"] * 950 + ["yes"] * 50
    description = described(table(zip(texts, labels, strict=True)))
    assert description.classes == {"no": 950, "yes": 50}
    assert description.short.count == 0
    assert warned(description, "950 answers are 'no'", "95%")
    even = described(table(zip(texts, ["no", "yes"] * 500, strict=True)))
    assert even.classes == {"no": 500, "yes": 500}
    assert even.warnings == []
    assert described(table(zip(texts, texts, strict=True))).classes == {}


def test_scripts_turns_and_sources():
    turns = [{"role": "user", "content": "abc"}, {"role": "assistant", "content": "где 中文 1!"}]
    system = {"role": "system", "content": ""}
    rows = [Row(turns, "a", 1, source="one"), Row([system, *turns, *turns], "b", 1, source="two")]
    description = described(Rows.of(rows))
    assert description.turns == {2: 1, 4: 1}
    assert description.sources == {"one": 1, "two": 1}
    assert description.scripts == {"Latin": 3 / 8, "Cyrillic": 3 / 8, "Han": 2 / 8}


def test_no_rows_and_documents():
    assert described(table([])).rows == 0
    document = Rows.of([Row([{"role": "document", "content": "A text."}], "t.txt", 1)])
    assert described(document).empty.count == 0


@pytest.mark.parametrize("read", [lesson, own])
def test_good_data_are_not_flagged_in_masses(read):
    description = described(read("train_1k"))
    for found in (description.exact, description.normalised, description.empty, description.short, description.cut_off):
        assert found.share < 0.005
    assert len(description.warnings) <= 2

"""Steps change or leave out what they should, keep places, and say what they did."""

import dataclasses
import json
import random
from dataclasses import dataclass
from functools import partial

import pytest

from ftlab.data.mixture import Replay
from ftlab.data.preparation import prepare
from ftlab.data.quality.cleaning import Step, clean
from ftlab.data.quality.steps import Conflicts, Duplicates, Lengths, Pattern, Whitespace
from ftlab.data.rows import Row, Rows
from ftlab.errors import SettingError
from ftlab.plugins import registered
from tests.data.quality.conftest import chat, lesson, table


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def said(rows):
    return [(row.messages[0]["content"], row.reference, row.line) for row in rows]


def test_the_built_in_steps_are_registered():
    assert {"Whitespace", "Duplicates", "Conflicts", "Lengths", "Pattern"} <= registered(Step).keys()


def test_no_step_does_nothing():
    rows = table(["a", "a"])
    assert clean(rows, []) == (rows, [])


def test_white_space_is_trimmed_and_indentation_stays():
    text = "\n  def f():  \r\n      return  1\n\n\n\n# end \n"
    rows, [report] = clean(table([("Hi", " Hello "), (text, "ok"), ("a", "b")]), [Whitespace()])
    assert said(rows) == [("Hi", "Hello", 1), ("def f():\n      return  1\n\n# end", "ok", 2), ("a", "b", 3)]
    assert (report.step, report.rows, report.changed, report.dropped) == ("Whitespace", 3, 2, 0)
    rows, _ = clean(table(["a  b\tc\n  d  e"]), [Whitespace(inner=True)])
    assert rows[0].messages[0]["content"] == "a b c\n  d e"


def test_a_message_of_white_space_alone_takes_its_row_with_it():
    rows, [report] = clean(table([("a", "  "), ("b", "c")]), [Whitespace()])
    assert said(rows) == [("b", "c", 2)]
    assert [dropped.place for dropped in report.left_out] == ["rows.jsonl:1"]
    assert "assistant" in report.left_out[0].reason


@pytest.mark.parametrize(
    ("kind", "lines"),
    [("exact", [1, 2, 4, 5]), ("normalised", [1, 4, 5]), ("number_masked", [1, 5]), ("near", [1, 4])],
)
def test_duplicates_keep_the_first(kind, lines):
    long = "{} friends of mine went to the old harbour because they wanted to see the ships there"
    texts = [
        long.format(3),
        long.format(3).upper(),
        long.format(3),
        long.format(4),
        long.format(3).replace("old", "new"),
    ]
    rows, [report] = clean(table(texts), [Duplicates(kind)])
    assert [row.line for row in rows] == lines
    assert report.dropped == 5 - len(lines)
    assert report.reasons == {f"{kind.replace('_', '-')} duplicate": report.dropped}
    assert report.left_out[-1].reason.endswith("of rows.jsonl:1")


def test_one_question_with_two_answers_is_no_duplicate():
    rows = table([("Who?", "Ann"), ("Who?", "Ben")])
    for kind in ("exact", "normalised", "number_masked", "near"):
        assert len(clean(rows, [Duplicates(kind)])[0]) == 2


@pytest.mark.parametrize(("keep", "lines"), [("none", [4]), ("first", [1, 4]), ("majority", [2, 3, 4])])
def test_conflicts(keep, lines):
    rows, [report] = clean(
        table([("Who?", "Ann"), ("who", "Ben"), ("Who?", "ben."), ("Why?", "So")]), [Conflicts(keep)]
    )
    assert [row.line for row in rows] == lines
    assert all("rows.jsonl:" in dropped.reason for dropped in report.left_out)


def test_lengths():
    rows = table([("one two", "a"), ("one two three four", "bb cc"), ("one", "d" * 9)])
    assert [row.line for row in clean(rows, [Lengths(min=2, max=8)])[0]] == [2]
    assert [row.line for row in clean(rows, [Lengths("question", 2, 3, "words")])[0]] == [1]
    assert [row.line for row in clean(rows, [Lengths("turn", max=8)])[0]] == [1]
    assert [row.line for row in clean(rows, [Lengths("any", max=10)])[0]] == [1]
    _, [report] = clean(rows, [Lengths(min=2, max=8)])
    assert report.reasons == {"answer too short": 1, "answer too long": 1}
    with pytest.raises(SettingError, match="max that is at least the min, 5"):
        Lengths(min=5, max=4)
    for bounds in ({}, {"min": 0}, {"of": "turn", "unit": "words"}):
        with pytest.raises(
            SettingError, match=r"data.clean: Lengths without a bound is not a limit; set min .* max or both"
        ):
            Lengths(**bounds)
    assert len(clean(rows, [Lengths(max=0)])[0]) == 0


HELD_OUT = [("a ", " A."), ("a", "A."), ("a", "Z."), ("b", "  "), ("mail c@d", "C" * 9)]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (Duplicates, [1, 3, 4, 5]),
        (Conflicts, [4, 5]),
        (partial(Lengths, max=8), [1, 2, 3, 4]),
        (partial(Pattern, "@"), [1, 2, 3, 4]),
        (Whitespace, [1, 2, 3, 5]),
    ],
)
def test_held_out_rows_are_left_out_only_where_a_step_is_set_so(step, left):
    def lines(**settings):
        rows, [report] = clean(table(HELD_OUT), [step(**settings)], held_out=True)
        assert report.dropped == len(report.left_out) == 5 - len(rows)
        return [row.line for row in rows]

    assert lines() == [1, 2, 3, 4, 5]
    assert lines(held_out=True) == left
    assert [row.line for row in clean(table(HELD_OUT), [step()])[0]] == left


def test_what_is_edited_is_edited_in_held_out_rows_too():
    steps = [Whitespace(), Pattern("@", "replace", " at "), Duplicates("exact")]
    rows, reports = clean(table(HELD_OUT), steps, held_out=True)
    edited = [("a", "A.", 1), ("a", "A.", 2), ("a", "Z.", 3), ("b", "  ", 4), ("mail c at d", "C" * 9, 5)]
    assert said(rows) == edited  # what would be left empty stays as it is
    assert [report.changed for report in reports] == [1, 1, 0]


def test_patterns():
    rows = table([("Mail a@b.de", "yes"), ("Call", "a@c.de"), ("Call", "no")])
    mail = r"(\w+)@(\w+)\.de"
    assert [row.line for row in clean(rows, [Pattern(mail)])[0]] == [3]
    assert [row.line for row in clean(rows, [Pattern(mail, "keep")])[0]] == [1, 2]
    assert [row.line for row in clean(rows, [Pattern(mail, of="answer")])[0]] == [1, 3]
    replaced, [report] = clean(rows, [Pattern(mail, "replace", r"<\2>")])
    assert said(replaced) == [("Mail <b>", "yes", 1), ("Call", "<c>", 2), ("Call", "no", 3)]
    assert report.changed == 2
    assert said(clean(rows, [Pattern(mail, "replace", "", "question")])[0])[0] == ("Mail ", "yes", 1)
    assert [row.line for row in clean(rows, [Pattern(mail, "replace", "")])[0]] == [1, 3]


@pytest.mark.parametrize(("pattern", "by"), [("(", ""), ("a", r"\2"), ("*", "")])
def test_a_bad_pattern_is_told_in_one_line(pattern, by):
    with pytest.raises(SettingError) as error:
        Pattern(pattern, "replace", by)
    assert str(error.value).startswith("data.clean: ")
    assert "\n" not in str(error.value)


def test_what_a_step_does_not_touch_is_kept():
    extra = {"id": 7, "kind": "x"}
    row = dataclasses.replace(
        chat("a ", "b", "f.jsonl", 9, extra=extra, source="s", rejected=[{"role": "assistant", "content": "c "}]),
        tools=[{"name": "t"}],
    )
    [cleaned], _ = clean(Rows.of([row]), [Whitespace()])
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert cleaned == dataclasses.replace(row, messages=messages, rejected=[{"role": "assistant", "content": "c"}])


def test_steps_apply_in_order_to_views_of_many_rows(cache):
    rng = random.Random(0)
    texts = [(f"{' ' * rng.randrange(2)}question {rng.randrange(900)}", "yes") for _ in range(5000)]
    rows = table(texts)[::-1]
    done, reports = clean(rows, [Whitespace(), Duplicates("exact"), Pattern("question", "replace", "Q")])
    seen, wanted = set(), []
    for line in range(5000, 0, -1):
        text = texts[line - 1][0].strip()
        if text not in seen:
            seen.add(text)
            wanted.append((text.replace("question", "Q"), "yes", line))
    assert said(done) == wanted
    assert said(rows)[-1] == (*texts[0], 1)
    assert [report.rows for report in reports] == [5000, 5000, len(wanted)]
    assert reports[0].changed == sum(text.startswith(" ") for text, _ in texts)
    assert list(cache.iterdir()) == []
    assert json.dumps([dataclasses.asdict(report) for report in reports])
    assert [done.place(0), done.sources, done[5:7][0].line] == ["rows.jsonl:5000", [""], wanted[5][2]]


@dataclass
class Shout(Step):
    """A plugin's step: raises the voice, and leaves out who shouts already."""

    mark: str = "!"

    def row(self, row: Row) -> Row | str:
        text = row.messages[0]["content"]
        if text.endswith(self.mark):
            return f"too loud: {text!r}"
        return dataclasses.replace(row, messages=[{"role": "user", "content": text + self.mark}, *row.messages[1:]])


def test_a_step_of_ones_own():
    rows, [report] = clean(table(["a", "b?"]), [Shout("?")])
    assert said(rows) == [("a?", "yes", 1)]
    assert (report.settings, report.changed, report.reasons) == ({"mark": "?"}, 1, {"too loud": 1})
    assert "Shout" in registered(Step)


def test_the_lesson_loses_one_duplicate_question():
    rows, [report] = clean(lesson("train_1k"), [Conflicts("first")])
    assert len(rows) == 1115 - report.dropped
    assert report.left_out[0].place.endswith(":138")


def test_every_split_is_cleaned_by_its_own_rule(write_chats):
    twice = [("Who wrote it? ", "Ann"), ("Who wrote it?", "Ann")]
    other = [("Where is it?", "There"), ("Where is it?", "There"), ("Where is it? ", "There")]
    sources = {"train": write_chats("t.jsonl", *twice), "validation": write_chats("v.jsonl", *other)}
    old = Replay(write_chats("old.jsonl", ("When is it?", "Now"), ("When is it?", "Now")))

    def prepared(**settings):
        done = prepare(sources, steps=[Whitespace(), Duplicates(**settings)], replay=old)
        assert not any(row.messages[0]["content"].endswith(" ") for rows in done.rows.values() for row in rows)
        return {name: [row.line for row in rows] for name, rows in done.rows.items()}, done.left_out()

    rows, left_out = prepared()
    assert rows == {"train": [1, 1], "validation": [1, 2, 3]}
    assert [line.rpartition("/")[0].count("jsonl") for line in left_out] == [1, 1]
    rows, left_out = prepared(held_out=True)
    assert rows == {"train": [1, 1], "validation": [1]}
    assert len(left_out) == 4


def test_where_no_row_is_left_each_step_and_its_reason_are_named(write_chats):
    sources = {"train": write_chats("t.jsonl", ("Who?", "Ann"), ("Who?", "Ann"), ("Where?", "There"))}
    steps = [Whitespace(), Duplicates(), Lengths(min=9)]
    with pytest.raises(SettingError) as error:
        prepare(sources, steps=steps)
    file = sources["train"]
    assert str(error.value) == (
        f"data.clean: no row of data.train is left: Duplicates left out 1 (first {file}:2: normalised duplicate: of "
        f"{file}:1), Lengths left out 2 (first {file}:1: answer too short: 3 characters); loosen the steps"
    )
    sources["validation"] = write_chats("v.jsonl", ("What?", "It"))
    kept = prepare({**sources, "train": write_chats("l.jsonl", ("Say it", "A long answer"))}, steps=steps)
    assert len(kept.rows["validation"]) == 1
    with pytest.raises(SettingError, match=r"no row of data.validation is left: Lengths left out 1 \(first .*v"):
        prepare({"validation": sources["validation"]}, steps=[Lengths(min=9, held_out=True)])
    with pytest.raises(SettingError, match=r"no row of data.replay is left: Lengths left out 1 "):
        prepare(
            {"train": write_chats("l.jsonl", ("Say it", "A long answer"))},
            steps=steps,
            replay=Replay(sources["validation"]),
        )

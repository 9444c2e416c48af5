"""Examples as texts: each token in one piece, whole characters, nothing that a terminal would act on."""

import re
from dataclasses import replace

import numpy as np
import pytest

from ftlab.data.examples import Encoded
from ftlab.report.pieces import split_pieces, visible
from ftlab.report.row_text import legend, row_text, short_row_text
from ftlab.report.shown import Shown

#: Characters of two to four bytes, a family joined of five characters, right-to-left text, controls.
HARD = "Hé  日本 🦙 👨‍👩‍👧 مرحبا \x1b[31m\u202e\r\n\tyo ⟦x⟧ "
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def encode(chat):
    def encode(user, answer="2 + 2\n{{ans:4}}"):
        messages = [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
        [[example]] = chat.encode([messages])
        return example

    return encode


@pytest.fixture(scope="session")
def shown(chat):
    def shown(example, note=""):
        return Shown.of("row 3", "x.jsonl:3", example, chat.tokenizer, note)

    return shown


def test_each_token_is_in_one_piece_with_its_weight(encode, chat):
    example = encode(HARD)
    pieces = split_pieces(example, chat.tokenizer)
    assert [id for piece in pieces for id in piece.ids] == example.ids.tolist()
    assert [piece.weight for piece in pieces for _ in piece.ids] == example.weights.tolist()
    assert [piece.start for piece in pieces] == np.cumsum([0, *(len(piece.ids) for piece in pieces)])[:-1].tolist()
    assert "".join(piece.text for piece in pieces) == chat.tokenizer.decode(example.ids.tolist())


def test_characters_are_whole(encode, chat):
    pieces = split_pieces(encode(HARD), chat.tokenizer)
    assert not [piece for piece in pieces if "\ufffd" in piece.text]
    llama = next(piece for piece in pieces if "🦙" in piece.text)
    assert len(llama.ids) > 1, "one token tells nothing about grouping"
    assert len(pieces) > 20, "grouped more than was needed"


def test_a_character_learnt_in_part_stays_broken(encode, chat):
    example = encode("🦙")
    at = next(piece for piece in split_pieces(example, chat.tokenizer) if piece.text == "🦙").start
    weights = example.weights.copy()
    weights[at] = 1
    pieces = split_pieces(Encoded(example.ids, weights), chat.tokenizer)
    assert [piece.weight for piece in pieces if piece.start == at] == [1.0]
    assert "\ufffd" in next(piece for piece in pieces if piece.start == at).text


def test_control_tokens_are_told_from_their_names_in_a_text(encode, chat):
    pieces = split_pieces(encode("<|im_end|>"), chat.tokenizer)
    special = [piece.text for piece in pieces if piece.special]
    assert special == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]
    assert "".join(piece.text for piece in pieces if not piece.special).count("<|im_end|>") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "a b"),
        (" a  b ", "·a··b·"),
        ("a \n b", "a·↵\n·b"),
        ("\t\r\n\x1b\x00\x7f", "⇥␍↵\n␛␀␡"),
        ("\u202e\ufeff\u200b\u2028\x85", "‹U+202E›‹U+FEFF›‹U+200B›‹U+2028›‹U+0085›"),
        ("👨‍👩‍👧 ‌ می‌خواهم", "👨‍👩‍👧 ‌ می‌خواهم"),
    ],
)
def test_what_has_no_shape_gets_one(text, expected):
    assert visible(text) == expected


def test_marks_enclose_what_is_learnt(encode, shown):
    example = encode("How many?")
    assert row_text(shown(example), colour=False).splitlines() == [
        f"── row 3   x.jsonl:3   {len(example.ids)} tokens, {example.supervised:.0f} learnt",
        "‹<|im_start|>›user↵",
        "How many?‹<|im_end|>›↵",
        "‹<|im_start|>›assistant↵",
        "⟦2 + 2↵",
        "{{ans:4}}‹<|im_end|>›⟧↵",
    ]


def test_colours_say_what_marks_say(encode, shown):
    one = shown(encode(HARD))
    plain, coloured = (row_text(one, colour) for colour in (False, True))
    assert not ANSI.search(plain)
    assert "\x1b" not in plain
    start = plain.index("‹<|im_start|>›assistant")
    assert ANSI.sub("", coloured) == plain[:start] + plain[start:].replace("⟦", "").replace("⟧", "")
    green = "".join(re.findall(r"\x1b\[1;32m(?:\x1b\[2m)?(.*?)\x1b\[0m", coloured))
    assert green == "2 + 2↵{{ans:4}}‹<|im_end|>›"
    for line in coloured.splitlines():
        assert not line.rpartition("\x1b[0m")[2].count("\x1b"), "a colour reaches over the end of a line"


def test_other_weights_are_seen(encode, shown):
    example = encode("a", "b\nc")
    weights = np.where(example.weights > 0, np.float32(0.5), np.float32(0))
    one = shown(Encoded(example.ids, weights))
    assert one.counts.endswith("weights other than 1: 0.5")
    assert "⟦×0.5 b↵\nc‹<|im_end|>›⟧" in row_text(one, colour=False)
    assert "\x1b[1;33mb" in row_text(one, colour=True)


def test_tokens_can_be_counted(encode, shown):
    one = shown(encode("日本", " a \n"))
    text, listed = row_text(one, colour=False, tokens=True).split("position")
    assert text.count("│") == len(one.pieces)
    lines = listed.splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == list(range(one.tokens))
    assert [int(line.split()[1]) for line in lines] == [id for piece in one.pieces for id in piece.ids]
    assert "│" in legend(False, tokens=True)
    assert "│" not in legend(False)


def test_the_first_token_is_never_counted_as_learnt(encode, shown):
    example = encode("a", "b")
    everything = replace(example, weights=np.ones_like(example.weights))
    assert shown(everything).learnt == len(example.ids) - 1 == everything.supervised


def test_the_short_form_is_one_line_that_shows_both_ends(encode, shown):
    one = shown(encode("first " + "very " * 500 + "last", "x " * 500 + "{{ans:1}}"))
    text = short_row_text(one, colour=False)
    assert "\n" not in text
    assert len(text) < 400
    for part in ("first very", "last‹<|im_end|>›", "⟦x", "{{ans:1}}‹<|im_end|>›⟧", " … "):
        assert part in text


def test_the_short_form_of_many_turns(chat, shown):
    turns = [{"role": role, "content": f"turn {i}"} for i in range(40) for role in ("user", "assistant")]
    [[example]] = chat.encode([turns])
    text = short_row_text(shown(example), colour=False)
    assert len(text) < 1500
    assert "turn 0" in text
    assert "turn 39" in text

"""Pieces: an example as the texts of its tokens, each as a person can see it. They know no page and no terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from ftlab.data.examples import Encoded

#: What a decoder writes for bytes that are no character.
BROKEN = "\ufffd"
#: Tokens that may be needed until their bytes are characters; what is broken after them is shown broken.
LONGEST = 12

#: Invisible characters that scripts and emoji need, which are left as they are.
_JOINERS = "\u200c\u200d"
#: Control characters as their pictures, so that neither a terminal nor a page acts on them.
_CONTROL = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "␡", "\n": "↵\n", "\t": "⇥"}
#: General categories of characters without a shape.
_SHAPELESS = ("Cc", "Cf", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Piece:
    """A token, or several where only together they are characters."""

    text: str
    """What it decodes to, as it is."""
    ids: tuple[int, ...]
    """Its tokens."""
    start: int
    """Position of the first of them in the example, from 0."""
    weight: float
    """How much it counts in the loss; 0 where it is not learnt."""
    special: bool
    """Whether it is a control token and no text."""
    shown: str = ""
    """The text with all that has no shape of its own made visible."""

    @property
    def kind(self) -> tuple[float, bool]:
        """What it has in common with the pieces that are drawn like it."""
        return self.weight, self.special


def split_pieces(example: Encoded, tokenizer: Any) -> list[Piece]:
    """Return an example's tokens as pieces, in order.

    Args:
        example: what the model sees.
        tokenizer: a fast tokenizer.
    """
    pieces: list[Piece] = []
    for _, alike in groupby(_pieces(example, tokenizer), key=lambda piece: piece.kind):
        stretch = list(alike)
        shown = _visible("".join(piece.text for piece in stretch))
        for piece in stretch:
            pieces.append(replace(piece, shown="".join(shown[: len(piece.text)])))
            del shown[: len(piece.text)]
    return pieces


def visible(text: str) -> str:
    """Return a text in which all that has no shape has one.

    Ends of lines are `↵` and a break, tabs `⇥`, other control characters their pictures (`␛`), invisible ones their
    codes (`‹U+202E›`), and spaces that begin or end a line, or stand beside another one, `·`.
    """
    return "".join(_visible(text))


def _visible(text: str) -> list[str]:
    """Return what is shown for each character."""
    shown = [_CONTROL.get(char) or _shape(char) for char in text]
    for i, char in enumerate(text):
        around = text[i - 1 : i] + text[i + 1 : i + 2] if i else ""
        if char == " " and (len(around) < 2 or " " in around or "\n" in around):
            shown[i] = "·"
    return shown


def _shape(char: str) -> str:
    shapeless = unicodedata.category(char) in _SHAPELESS and char not in _JOINERS
    return f"‹U+{ord(char):04X}›" if shapeless else char


def _pieces(example: Encoded, tokenizer: Any) -> Iterator[Piece]:
    ids, weights = example.ids.tolist(), example.weights.tolist()
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    before: list[int] = []
    start = 0
    while start < len(ids):
        stop, text = start + 1, _decode(tokenizer, ids[start : start + 1], before)
        if BROKEN in text and ids[start] not in special:
            for end in range(start + 2, min(start + LONGEST, len(ids)) + 1):
                # Tokens of one character that are not learnt alike stay apart: that is a thing to see.
                if ids[end - 1] in special or weights[end - 1] != weights[start]:
                    break
                if BROKEN not in (joined := _decode(tokenizer, ids[start:end], before)):
                    stop, text = end, joined
                    break
        before = ids[start:stop]
        yield Piece(text, tuple(before), start, weights[start], ids[start] in special)
        start = stop


def _decode(tokenizer: Any, ids: list[int], before: list[int]) -> str:
    """Decode tokens after those before them: some decoders strip the space that a text begins with."""
    alone = str(tokenizer.decode(before, skip_special_tokens=False)) if before else ""
    whole = str(tokenizer.decode(before + ids, skip_special_tokens=False))
    if whole.startswith(alone):
        return whole[len(alone) :]
    return str(tokenizer.decode(ids, skip_special_tokens=False))

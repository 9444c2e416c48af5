"""Row text: examples on a terminal, in colour or, where there is none, with marks. It knows no data and no commands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, groupby
from typing import TextIO

from ftlab.report.pieces import Piece, visible
from ftlab.report.shown import Shown

#: ANSI colours of what is learnt fully, learnt at another weight, not learnt, and of marks.
_LEARNT, _WEIGHTED, _PLAIN, _MARK, _END = "\x1b[1;32m", "\x1b[1;33m", "", "\x1b[2m", "\x1b[0m"

#: The short form of an example: most stretches of one kind, and most characters of each.
_STRETCHES, _STRETCH = 12, 110
_GAP = Piece(" … ", (), 0, 0.0, False, " … ")


def has_colour(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that wants colour (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def legend(colour: bool, tokens: bool = False) -> str:
    """Explain the marks in one line."""
    between = f"   {_ink('│', _MARK, colour)} between tokens" if tokens else ""
    space = f"   {_ink('↵', _MARK, colour)} end of line   {_ink('·', _MARK, colour)} space at an end{between}"
    if colour:
        named = (("learnt", _LEARNT), ("×0.5 learnt at that weight", _WEIGHTED), ("read only", _PLAIN))
        return "   ".join([*(_ink(text, ink, True) for text, ink in named), f"{_ink('‹special›', _MARK, True)}{space}"])
    return f"⟦learnt⟧   ⟦×0.5 learnt at that weight⟧   read only   ‹special›{space}"


def row_text(shown: Shown, colour: bool, tokens: bool = False) -> str:
    """Return an example with a heading.

    Args:
        shown: the example.
        colour: ANSI colours in place of brackets.
        tokens: draw a line between tokens, and list them below with position, id and weight.
    """
    note = f"\n{shown.note}" if shown.note else ""
    heading = _ink(f"── {shown.title}   {shown.place}   {shown.counts}", _MARK, colour) + note
    between = _ink("│", _MARK, colour) if tokens else ""
    text = "".join(_stretch(stretch, colour, between) for stretch in _alike(shown.pieces))
    listed = "\n" + "\n".join(_listed(shown.pieces)) if tokens and shown.pieces else ""
    return f"{heading}\n{text.removesuffix(chr(10))}{listed}\n"


def short_row_text(shown: Shown, colour: bool) -> str:
    """Return an example in one paragraph of few lines: long stretches are cut in their middle."""
    stretches = [_cut(stretch) for stretch in _alike(shown.pieces)]
    if len(stretches) > _STRETCHES:
        stretches[_STRETCHES // 2 : -_STRETCHES // 2] = [[_GAP]]
    return "".join(_stretch([_on_one_line(piece) for piece in stretch], colour, "") for stretch in stretches)


def _alike(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    for _, stretch in groupby(pieces, key=lambda piece: piece.weight):
        yield list(stretch)


def _cut(stretch: list[Piece]) -> list[Piece]:
    """Leave out the middle of a stretch that is too long."""
    ends = list(accumulate(len(piece.shown) for piece in stretch))
    if ends[-1] <= _STRETCH:
        return stretch
    head = [piece for piece, end in zip(stretch, ends, strict=True) if end <= _STRETCH // 2]
    tail = [piece for piece, end in zip(stretch, ends, strict=True) if end > ends[-1] - _STRETCH // 2]
    return [*head, replace(_GAP, weight=stretch[0].weight), *tail]


def _on_one_line(piece: Piece) -> Piece:
    return replace(piece, shown=piece.shown.replace("↵\n", "↵"))


def _stretch(pieces: list[Piece], colour: bool, between: str) -> str:
    """Draw pieces of one weight."""
    weight = pieces[0].weight
    ink = _PLAIN if not weight else _LEARNT if weight == 1 else _WEIGHTED
    drawn = [_ink(f"×{weight:g} ", _MARK, colour)] if weight not in (0, 1) else []
    for piece in pieces:
        text, end = piece.shown.removesuffix("\n"), "\n" if piece.shown.endswith("\n") else ""
        text = _ink(f"‹{text}›", ink + _MARK, colour) if piece.special else _ink(text, ink, colour)
        drawn.append(f"{text}{between}{end}")
    inner = "".join(drawn)
    return inner if colour or not weight else f"⟦{inner}⟧"


def _ink(text: str, ink: str, colour: bool) -> str:
    """Colour a text, no colour reaching over the end of a line."""
    if not (colour and ink and text):
        return text
    return "\n".join(f"{ink}{line}{_END}" if line else "" for line in text.split("\n"))


def _listed(pieces: Iterable[Piece]) -> Iterator[str]:
    yield f"{'position':>8}  {'id':>7}  {'weight':>6}  text"
    for piece in pieces:
        text = visible(piece.text).replace("↵\n", "↵")  # alone, so that its own spaces are seen
        for i, id in enumerate(piece.ids):
            shown = "〃" if i else f"‹{text}›" if piece.special else text
            yield f"{piece.start + i:>8}  {id:>7}  {piece.weight:>6g}  {shown}"

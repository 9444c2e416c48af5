"""Skeletons: what the template writes around the contents of chats of one shape, so that one rendering is enough.

The turns of a chat are found by several renderings. Chats of one shape (roles, and which texts they have) share all but
their contents; a skeleton, made once with probes in the place of contents, foretells a chat's text and where its turns
lie. Where the foretold text is not the rendered one, contents have changed what the template writes, and the chat is
looked at by itself. Skeletons know nothing of tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

from ftlab.data.chat.rendering import Message
from ftlab.data.chat.turns import PROBE, Part, Turns
from ftlab.errors import FtlabError

_SLOTS = ("content", "reasoning_content")
#: Keys of chats that differ in their texts alone; the last two are not the template's business.
_KNOWN = {"role", *_SLOTS, "train", "weight"}
_PROBES = re.compile(PROBE.format(r"(\d+)"))
#: White space around a probe that shows which part of it the template strips on that side.
_LEFT, _RIGHT = "\n \n", "\n \n"
_STRIPS: list[tuple[str | None, str, str]] = [("", _LEFT, _RIGHT), (None, "", ""), ("\n", " \n", "\n ")]

Shape = tuple[tuple[str, bool, bool], ...]
#: What becomes of a content: the characters stripped on the left and on the right; None is all white space, "" none.
Strip = tuple[str | None, str | None]


@dataclass(frozen=True)
class _Known:
    """One part of a chat of this shape."""

    size: int
    pieces: list[str | tuple[int, str, Strip]]
    """In turn the template's own text, and (message, key, strip) of a content."""
    spans: list[tuple[int, int, int]]
    """(turn, first piece, piece after the last)."""
    closing: str
    """What is added to the template's text: an end token that the template leaves to the next turn."""


Skeleton = list[_Known]


def shape_of(messages: Sequence[Message]) -> Shape | None:
    """Return what the skeleton of a chat depends on; None where that is more than roles and texts."""
    shape = []
    for message in messages:
        content, reasoning = (message.get(key, "") for key in _SLOTS)
        if not (message.keys() <= _KNOWN and isinstance(content, str) and isinstance(reasoning, str)):
            return None
        if content.isspace() or reasoning.isspace():  # once stripped, it may be as good as absent
            return None
        shape.append((message["role"], bool(content), bool(reasoning)))
    return tuple(shape)


def skeleton_of(turns: Turns, shape: Shape) -> Skeleton:
    """Return the skeleton of all chats of a shape, empty where there is none that holds."""
    chat = _chat(shape, lambda probe: probe)
    spaced = _chat(shape, lambda probe: f"{_LEFT}{probe}{_RIGHT}")
    known = []
    try:
        if turns.left_out(chat) is not None:
            return []
        for part in turns.parts(chat):
            text = turns.template.render(chat[: part.size])
            strips = _strips(text, turns.template.render(spaced[: part.size]))
            if strips is None or not part.text.startswith(text):
                return []
            known.append(_known(part, text, strips))
    except FtlabError:  # of the probes; the chats themselves will tell
        return []
    return known


def parts_by(skeleton: Skeleton, messages: Sequence[Message], rendered: Sequence[str]) -> list[Part]:
    """Return the parts of a chat as its skeleton foretells them, none where a rendering is another.

    Args:
        skeleton: of the chat's shape.
        messages: the chat.
        rendered: the template's own text of each part.
    """
    parts = []
    for known, text in zip(skeleton, rendered, strict=True):
        filled = [
            piece if isinstance(piece, str) else _stripped(messages[piece[0]][piece[1]], piece[2])
            for piece in known.pieces
        ]
        if "".join(filled) != text + known.closing:
            return []
        at = [0, *accumulate(map(len, filled))]
        parts.append(Part(known.size, text + known.closing, [(i, at[begin], at[end]) for i, begin, end in known.spans]))
    return parts


def _chat(shape: Shape, write: Callable[[str], str]) -> list[Message]:
    chat = []
    for i, (role, *present) in enumerate(shape):
        texts = {key: write(PROBE.format(2 * i + k)) for k, key in enumerate(_SLOTS) if present[k]}
        chat.append({"role": role, "content": "", **texts})
    return chat


def _strips(text: str, spaced: str) -> list[Strip] | None:
    """Return what is stripped of each content in the order of the text, None where that cannot be told."""
    own, other = _PROBES.split(text), _PROBES.split(spaced)
    if own[1::2] != other[1::2]:
        return None
    lefts: list[str | None] = []
    rights: list[str | None] = []
    last = len(own) // 2
    for i, (gap, wide) in enumerate(zip(own[::2], other[::2], strict=True)):
        before = _STRIPS if i > 0 else [("", "", "")]
        after = _STRIPS if i < last else [("", "", "")]
        found = [(r[0], s[0]) for r, s in product(before, after) if r[2] + gap + s[1] == wide]
        if not found:
            return None
        rights.append(found[0][0])
        lefts.append(found[0][1])
    return list(zip(lefts[:-1], rights[1:], strict=True))


def _known(part: Part, text: str, strips: list[Strip]) -> _Known:
    """Cut a part's text into pieces at its contents and at the bounds of its turns."""
    bounds = sorted({position for _, *span in part.spans for position in span})
    pieces: list[str | tuple[int, str, Strip]] = []
    piece_at: dict[int, int] = {}
    done = 0

    def literal(end: int) -> None:
        nonlocal done
        for cut in [*(bound for bound in bounds if done < bound < end), end]:
            if cut > done:
                pieces.append(part.text[done:cut])
                done = cut
            if cut in bounds:
                piece_at[cut] = len(pieces)

    for probe, strip in zip(_PROBES.finditer(part.text), strips, strict=True):
        literal(probe.start())
        place, slot = divmod(int(probe[1]), len(_SLOTS))
        pieces.append((place, _SLOTS[slot], strip))
        done = probe.end()
        if done in bounds:
            piece_at[done] = len(pieces)
    literal(len(part.text))
    spans = [(i, piece_at[start], piece_at[end]) for i, start, end in part.spans]
    return _Known(part.size, pieces, spans, part.text[len(text) :])


def _stripped(content: str, strip: Strip) -> str:
    left, right = strip
    if left != "":
        content = content.lstrip(left)
    return content if right == "" else content.rstrip(right)

"""Shown: rows as the model sees them, with what is said about each. It knows no terminal and no page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ftlab.data.chat import Chat
from ftlab.data.examples import Encoded
from ftlab.report.pieces import Piece, split_pieces

if TYPE_CHECKING:
    from ftlab.data.module import ChatData


@dataclass(frozen=True)
class Shown:
    """An example that is shown, and what is said about it."""

    title: str
    """Which it is: `row 3`."""
    place: str
    """Where it came from: `file:line`."""
    pieces: list[Piece]
    """Its tokens; none where the template refuses the row."""
    note: str = ""
    """Why it is left out of training, where it is."""

    @classmethod
    def of(cls, title: str, place: str, example: Encoded, tokenizer: Any, note: str = "") -> Shown:
        """Return an encoded example, to be shown."""
        return cls(title, place, split_pieces(example, tokenizer), note)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(len(piece.ids) for piece in self.pieces)

    @property
    def learnt(self) -> int:
        """Number of tokens that are learnt; the first of an example never is, for nothing comes before it."""
        learnt = sum(len(piece.ids) for piece in self.pieces if piece.weight)
        return learnt - bool(self.pieces and self.pieces[0].weight)

    @property
    def counts(self) -> str:
        """Say how much there is: `57 tokens, 22 learnt`."""
        weights = sorted({piece.weight for piece in self.pieces} - {0.0, 1.0})
        weighted = f", weights other than 1: {', '.join(f'{weight:g}' for weight in weights)}" if weights else ""
        return f"{self.tokens:,} tokens, {self.learnt:,} learnt{weighted}"


def show_rows(data: ChatData, chat: Chat, split: str, numbers: Sequence[int]) -> list[Shown]:
    """Return some rows as the model sees them, also those that are not learnt from.

    Args:
        data: whose rows.
        chat: the model's chat rendering.
        split: `train`, `validation` or `test`.
        numbers: which rows, counted from 1, after cleaning and splitting.
    """
    rows = data.prepare().rows[split].take([number - 1 for number in numbers])
    encoding = data.encoding(rows, chat, split)
    shown = {at: [Shown(f"row {numbers[at]}", rows.place(at), [], reason)] for at, reason in encoding.faults}
    examples = zip(encoding.examples.row_ids.tolist(), encoding.examples, strict=True)
    for at, group in groupby(examples, key=lambda item: item[0]):
        own = [example for _, example in group]
        titles = [f", example {i} of {len(own)}" if len(own) > 1 else "" for i in range(1, len(own) + 1)]
        shown[at] = [
            Shown.of(
                f"row {numbers[at]}{title}", rows.place(at), example, chat.tokenizer, _note(example, data.max_length)
            )
            for title, example in zip(titles, own, strict=True)
        ]
    return [one for at in sorted(shown) for one in shown[at]]


def first_row(data: ChatData, chat: Chat) -> Shown:
    """Return the first example that a run learns from, once the data are loaded."""
    row = int(data.examples["train"].row_ids[0])
    place = data.prepare().rows["train"].place(row)
    return Shown.of(f"row {row + 1}", place, data.examples["train"][0], chat.tokenizer)


def _note(example: Encoded, max_length: int) -> str:
    if len(example.ids) > max_length:
        return f"not learnt from: {len(example.ids):,} tokens, data.max_length is {max_length:,}"
    return "" if example.supervised else "not learnt from: nothing in it is to be learnt"

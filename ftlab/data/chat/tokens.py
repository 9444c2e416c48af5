"""Tokens: a text with what of it is learnt, as ids and weights. They know nothing of messages and templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ftlab.data.chat.rendering import Span
from ftlab.data.examples import Encoded


@dataclass(frozen=True)
class Marked:
    """A text and how much of it counts."""

    text: str
    spans: list[tuple[int, int, float]]
    """(start, end, weight) in order, none inside another. The model is asked at their bounds: no token may span one."""
    holes: list[Span] = field(default_factory=list)
    """What of the spans does not count all the same."""
    rest: float = 0.0
    """Weight of all that is outside of the spans."""

    def rewritten(self, write: Callable[[str], str]) -> Marked:
        """Return the text written otherwise, piece by piece, with its bounds where they are then."""

        def moved(bound: int) -> int:
            return len(write(self.text[:bound]))

        return Marked(
            write(self.text),
            [(moved(start), moved(end), weight) for start, end, weight in self.spans],
            [(moved(start), moved(end)) for start, end in self.holes],
            self.rest,
        )


def encode_all(tokenizer: Any, texts: Sequence[Marked]) -> list[Encoded]:
    """Return the ids and weights of texts by a tokenizer of the library `tokenizers`.

    The templates write the beginning token themselves; the tokenizer adds none.
    """
    encodings = tokenizer.encode_batch([marked.text for marked in texts], add_special_tokens=False)
    return [
        _encoded(marked, encoding) or _in_pieces(tokenizer, marked)
        for marked, encoding in zip(texts, encodings, strict=True)
    ]


def _encoded(marked: Marked, encoding: Any) -> Encoded | None:
    """Return a text's ids and weights, None where a token spans a bound."""
    ids = np.array(encoding.ids, dtype=np.int32)
    weights = np.full(len(ids), marked.rest, dtype=np.float32)
    for start, end, weight in marked.spans:
        first, last = (_token_from(encoding, bound, len(marked.text), len(ids)) for bound in (start, end))
        if first is None or last is None:
            return None
        weights[first:last] = weight
    _dig(weights, encoding, marked.holes)
    return Encoded(ids, weights)


def _token_from(encoding: Any, bound: int, length: int, tokens: int) -> int | None:
    """Return the first token from a bound on, None where a token begins before the bound and ends behind it."""
    if bound == length:
        return tokens
    if bound == 0:
        return 0
    token = encoding.char_to_token(bound)
    # Some tokenizers leave a leading space out of a token's offsets: ask where the token before it ends.
    return token if token and encoding.token_to_chars(token - 1)[1] == bound else None


def _dig(weights: np.ndarray, encoding: Any, holes: Sequence[Span]) -> None:
    if holes:
        starts = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[:, 0]
        for begin, end in holes:
            weights[(starts >= begin) & (starts < end)] = 0


def _in_pieces(tokenizer: Any, marked: Marked) -> Encoded:
    """Tokenize a text cut at its bounds, where a merge of the tokenizer would reach over one.

    At exam time the prompt ends at the bound, so the model must have been trained on just that cut.
    """
    cuts = [(0, marked.rest)]
    for start, end, weight in marked.spans:
        cuts += [(start, weight), (end, marked.rest)]
    ids, weights = [], []
    for (begin, weight), (end, _) in pairwise([*cuts, (len(marked.text), 0.0)]):
        encoding = tokenizer.encode(marked.text[begin:end], add_special_tokens=False)
        piece = np.full(len(encoding.ids), weight, dtype=np.float32)
        _dig(piece, encoding, [(start - begin, stop - begin) for start, stop in marked.holes])
        ids.append(np.array(encoding.ids, dtype=np.int32))
        weights.append(piece)
    return Encoded(np.concatenate(ids), np.concatenate(weights))

"""Attention: of one row of several examples on a CPU, each of which sees itself alone. It knows no modules.

Each example is cut into a few pieces of queries, which meet only the keys up to their own end: the half of the scores
that causality hides is mostly not computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Queries of a piece, more or less.
PIECE = 128


class Piece(NamedTuple):
    """Some queries of an example, and the keys that they may see."""

    first_query: int
    first_key: int
    end: int


class RowAttention(torch.autograd.Function):
    """softmax(scale q k^T + causal mask) v for each example, with the attention weights kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bounds: Sequence[int], window: int | None, scale: float
    ) -> Tensor:
        """Return attention of shape (tokens, heads, width).

        Args:
            ctx: of autograd.
            query: of shape (heads, tokens, width).
            key: of shape (groups, tokens, width); so many heads one after the other share one as there are fewer.
            value: likewise.
            bounds: where examples begin, and the end of the last.
            window: how many tokens back a token sees, itself included; None for all.
            scale: of the scores.
        """
        heads, groups = len(query), len(key)
        out = query.new_empty(query.shape[1], heads, value.shape[-1])
        query = query * scale  # here rather than in the scores, which are many more
        pieces, kept = list(_pieces(bounds, window)), []
        for piece in pieces:
            queries, keys = slice(piece.first_query, piece.end), slice(piece.first_key, piece.end)
            scores = _grouped(query[:, queries], groups) @ key[:, keys].transpose(1, 2)
            _hide(scores.unflatten(1, (heads // groups, -1)), piece, window)
            weights = torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)
            kept.append(weights)
            out[queries] = _apart(weights @ value[:, keys], heads).transpose(0, 1)
        ctx.pieces, ctx.scale = pieces, scale
        ctx.save_for_backward(query, key, value, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of query, key and value."""
        query, key, value, *kept = ctx.saved_tensors
        heads, groups = len(query), len(key)
        dquery, dkey, dvalue = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        dout = dout.transpose(0, 1)
        for piece, weights in zip(ctx.pieces, kept, strict=True):
            queries, keys = slice(piece.first_query, piece.end), slice(piece.first_key, piece.end)
            d = _grouped(dout[:, queries], groups)
            dvalue[:, keys] += weights.transpose(1, 2) @ d
            dscores = torch._softmax_backward_data(d @ value[:, keys].transpose(1, 2), weights, -1, weights.dtype)
            dquery[:, queries] = _apart(dscores @ key[:, keys], heads)
            dkey[:, keys] += dscores.transpose(1, 2) @ _grouped(query[:, queries], groups)
        return dquery.mul_(ctx.scale), dkey, dvalue, None, None, None


def _grouped(x: Tensor, groups: int) -> Tensor:
    """Lay heads that share keys end to end: (heads, tokens, width) to (groups, tokens of all of them, width)."""
    return x.reshape(groups, -1, x.shape[-1])


def _apart(x: Tensor, heads: int) -> Tensor:
    """Undo `_grouped`."""
    return x.view(heads, -1, x.shape[-1])


def _pieces(bounds: Sequence[int], window: int | None) -> Iterator[Piece]:
    for begin, end in itertools.pairwise(bounds):
        number = max(1, round((end - begin) / PIECE))
        cuts = [begin + (end - begin) * i // number for i in range(number + 1)]
        for first, last in itertools.pairwise(cuts):
            yield Piece(first, begin if window is None else max(begin, first - window + 1), last)


def _hide(scores: Tensor, piece: Piece, window: int | None) -> None:
    """Set the scores of keys that come after their query, or too far before it, to minus infinity."""
    size = piece.end - piece.first_query
    scores[..., -size:] += scores.new_full((size, size), float("-inf")).triu_(1)
    if window is not None and piece.end - piece.first_key > window:
        before = piece.first_query - piece.first_key
        scores += scores.new_full(scores.shape[-2:], float("-inf")).tril_(before - window)

"""LastBlock: what the last block computes for each token alone, only where the head reads it. It knows no losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ftlab.methods.anatomy import blocks, mlp
from ftlab.training.unpadded import MULTIPLE


def last_mlp(model: Any) -> nn.Module | None:
    """Return the part of the last block that transforms each token alone, if it may be given some tokens only.

    It may not where the block is computed again in the backward pass, or compiled, or where dropout would draw others.

    Args:
        model: the base with the method applied.
    """
    block = next(reversed(blocks(model).values()))
    if getattr(block, "gradient_checkpointing", False) or block._compiled_call_impl is not None:
        return None
    part = mlp(block)
    drops = part is not None and any(isinstance(module, nn.Dropout) and module.p for module in part.modules())
    return None if drops else part


@contextmanager
def only_at(part: nn.Module, wanted: Tensor) -> Iterator[None]:
    """Let a module transform some tokens only; it gives zeros for the others.

    Args:
        part: of a model, called once for all tokens.
        wanted: booleans of shape (rows, tokens).

    Raises:
        TypeError: it gives more than what became of its input.
    """
    own, patched = part.forward, "forward" in vars(part)
    number = math.ceil(int(wanted.sum()) / MULTIPLE) * MULTIPLE  # with others, so that kernels meet few sizes
    taken = wanted.flatten().to(torch.uint8).argsort(descending=True, stable=True)[:number]

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        rows = hidden_states.flatten(0, 1)
        out = own(rows.index_select(0, taken)[None], *args, **kwargs)
        if not isinstance(out, Tensor):
            raise TypeError(f"the last block's {type(part).__name__} gives more than hidden states")
        return out.new_zeros(len(rows), out.shape[-1]).index_copy(0, taken, out[0]).view(*hidden_states.shape[:-1], -1)

    part.forward = forward
    try:
        yield
    finally:
        del part.forward
        if patched:
            part.forward = own

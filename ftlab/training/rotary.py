"""Rotary: rotary position embeddings in few passes over memory. It knows no architecture.

transformers' models call a function of their own module; ours stands in for it while losses are computed, if it gives
the same numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: What transformers calls the function.
NAME = "apply_rotary_pos_emb"

Apply = Callable[..., tuple[Tensor, Tensor]]


class Rotate(torch.autograd.Function):
    """x cos + (-x2, x1) sin, where x1 and x2 are the halves of x.

    Source: Su et al., "RoFormer", 2021, arXiv:2104.09864, equation 34, with halves in place of neighbours.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Compute it, for x of shape (rows, heads, tokens, width), cos and sin of shape (rows, 1, tokens, width)."""
        ctx.save_for_backward(cos, sin)
        out = torch.empty_like(x)
        (x1, x2), (c1, c2), (s1, s2), (o1, o2) = (each.chunk(2, -1) for each in (x, cos, sin, out))
        torch.mul(x1, c1, out=o1).addcmul_(x2, s1, value=-1)
        torch.mul(x2, c2, out=o2).addcmul_(x1, s2)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        """Compute the gradient of x."""
        cos, sin = ctx.saved_tensors
        dx = torch.empty_like(dy)
        (y1, y2), (c1, c2), (s1, s2), (x1, x2) = (each.chunk(2, -1) for each in (dy, cos, sin, dx))
        torch.mul(y1, c1, out=x1).addcmul_(y2, s2)
        torch.mul(y2, c2, out=x2).addcmul_(y1, s1, value=-1)
        return dx, None, None


def rotating(block: nn.Module) -> list[str]:
    """Return the names of the Python modules of a block's layers whose function ours can stand in for."""
    names = sorted({type(module).__module__ for module in block.modules()})
    return [name for name in names if _is_known(vars(sys.modules[name]).get(NAME))]


@contextmanager
def fast_rotary(modules: Sequence[str]) -> Iterator[None]:
    """Let the layers of some Python modules compute rotary embeddings in few passes for a while.

    Args:
        modules: their names, of those that `rotating` gave.
    """
    own = {name: vars(sys.modules[name])[NAME] for name in modules}
    for name, function in own.items():
        setattr(sys.modules[name], NAME, partial(_apply, function))
    try:
        yield
    finally:
        for name, function in own.items():
            setattr(sys.modules[name], NAME, function)


def _apply(own: Apply, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *args: Any, **kwargs: Any) -> Any:
    if args or kwargs or not q.dtype == k.dtype == cos.dtype == torch.float32 or q.shape[-1] != cos.shape[-1]:
        return own(q, k, cos, sin, *args, **kwargs)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return Rotate.apply(q, cos, sin), Rotate.apply(k, cos, sin)


@cache
def _is_known(own: Apply | None) -> bool:
    """Return whether a function computes what ours does, as a try shows."""
    if own is None:
        return False
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, heads, 3, 8, generator=generator) for heads in (4, 2))
    cos, sin = (torch.randn(1, 3, 8, generator=generator) for _ in range(2))
    try:
        return all(map(torch.allclose, _apply(own, q, k, cos, sin), own(q, k, cos, sin)))
    except (RuntimeError, TypeError, ValueError):
        return False

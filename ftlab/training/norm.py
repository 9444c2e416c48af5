"""Norm: root mean square normalization in few passes over memory. It knows no modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class RMSNorm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) * (w + shift), over the last dimension.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, arXiv:1910.07467; Gemma shifts w by 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, shift: float) -> Tensor:
        """Compute it, for x of shape (..., width) and weights of shape (width,)."""
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        ctx.shift = shift
        return (x * scale).mul_(weight + shift if shift else weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of x and w."""
        x, weight, scale = ctx.saved_tensors
        scale = scale.masked_fill(scale == 0, float("nan"))  # squares overflowed; the formula has none either
        normal = x * scale
        dweight = (dy * normal).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, dweight, None, None
        dnormal = dy * (weight + ctx.shift if ctx.shift else weight)
        along = torch.linalg.vecdot(dnormal, normal).unsqueeze(-1).div_(x.shape[-1])
        return dnormal.addcmul_(normal, along, value=-1).mul_(scale), dweight, None, None

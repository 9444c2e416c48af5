"""Gated: silu(gate) * up of a gated MLP, of which the backward pass keeps the two inputs only. It knows no modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


class SwiGLU(torch.autograd.Function):
    """silu(gate) * up.

    Source: Shazeer, "GLU Variants Improve Transformer", 2020, arXiv:2002.05202.
    """

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        """Compute it, for two tensors of one shape."""
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of gate and up."""
        gate, up = ctx.saved_tensors
        dgate = torch.ops.aten.silu_backward(dy * up, gate)
        return dgate, functional.silu(gate).mul_(dy)

"""Linear: matrix products of frozen or trained weights, with or without a low-rank update. It knows no modules.

oneDNN's product is faster than MKL's on CPUs that are not Intel's; torch takes it for fp32 only where it is asked to.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Fewer rows than this, as when answers are generated token by token, gain nothing.
ROWS = 16

#: From so many rows on, a product with a low-rank update is cheaper with one sum of weights.
MANY = 256


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W^T + b, of shape (rows, outputs).

    Args:
        x: of shape (rows, inputs).
        weight: of shape (outputs, inputs), contiguous or the transpose of such.
        bias: of shape (outputs,).
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and len(x) >= ROWS and _prefers_onednn():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return torch.nn.functional.linear(x, weight, bias)


@cache
def _prefers_onednn() -> bool:
    """Return whether this is a CPU on which MKL holds back: one with AVX2 or more, and not Intel's."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False
    cpus = Path("/proc/cpuinfo")
    return cpus.is_file() and "GenuineIntel" not in cpus.read_text(encoding="utf-8")


class Linear(torch.autograd.Function):
    """x W^T + b + scale (x A^T) B^T, with one copy of x kept and none of any transpose.

    For many rows in full precision W + scale B A is formed for a moment, which costs less than adding to y and to dx.

    Source: Hu et al., "LoRA", 2021, arXiv:2106.09685, equation 3; without A and B a plain linear layer.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor | None, b: Tensor | None, scale: float
    ) -> Tensor:
        """Compute the layer, for x of shape (..., inputs)."""
        rows = x.reshape(-1, x.shape[-1])
        low = None
        ctx.merges = a is not None and len(rows) >= MANY and weight.dtype in (torch.float32, torch.float64)
        if a is None or b is None:
            y = product(rows, weight, bias)
        else:
            low = product(rows, a)
            if ctx.merges:
                y = product(rows, torch.addmm(weight, b, a, alpha=scale), bias)
            else:
                y = product(rows, weight, bias).addmm_(low, b.T, alpha=scale)
        trains = ctx.needs_input_grad[1] or (a is not None and ctx.needs_input_grad[3])
        ctx.save_for_backward(x if trains else None, weight, a, b, low)
        ctx.scale = scale
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients that are asked for."""
        x, weight, a, b, low = ctx.saved_tensors
        wants = ctx.needs_input_grad
        shape = dy.shape[:-1]
        dy = dy.reshape(-1, dy.shape[-1])
        rows = x.reshape(-1, x.shape[-1]) if x is not None else None
        whole = torch.addmm(weight, b, a, alpha=ctx.scale) if ctx.merges and wants[0] else weight
        dx = product(dy, whole.T) if wants[0] else None
        dw = _outer(dy, rows) if wants[1] else None
        dbias = dy.sum(0) if wants[2] else None
        da = db = None
        if a is not None:
            dlow = product(dy, b.T)
            if dx is not None and not ctx.merges:
                dx.addmm_(dlow, a, alpha=ctx.scale)
            if wants[3]:
                da = _outer(dlow, rows).mul_(ctx.scale)
            if wants[4]:
                db = _outer(dy, low).mul_(ctx.scale)
        return dx.view(*shape, -1) if dx is not None else None, dw, dbias, da, db, None


class LowRank(torch.autograd.Function):
    """y + scale (x A^T) B^T, for a y that another library's layer has computed, such as one of packed weights.

    Where A and B have more bits than y, the sum is made in theirs and rounded once, as peft does it.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """Compute the sum, for x of shape (..., inputs) and y of shape (..., outputs)."""
        low = product(x.reshape(-1, x.shape[-1]).to(a.dtype), a)
        total = torch.addmm(y.reshape(-1, y.shape[-1]).to(a.dtype), low, b.T, alpha=scale)
        ctx.save_for_backward(x, a, b, low)
        ctx.scale = scale
        return total.to(y.dtype).view(y.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients that are asked for; that of y is dy."""
        x, a, b, low = ctx.saved_tensors
        rows, wide = x.reshape(-1, x.shape[-1]).to(a.dtype), dy.reshape(-1, dy.shape[-1]).to(a.dtype)
        dlow = product(wide, b.T).mul_(ctx.scale)
        dx = (dlow @ a).to(x.dtype).view(x.shape) if ctx.needs_input_grad[1] else None
        da = _outer(dlow, rows) if ctx.needs_input_grad[2] else None
        db = _outer(wide, low).mul_(ctx.scale) if ctx.needs_input_grad[3] else None
        return dy, dx, da, db, None


def _outer(left: Tensor, right: Any) -> Tensor:
    """Return left^T right; the narrow one goes first, which is many times faster where it is very narrow."""
    return left.T @ right if left.shape[1] <= right.shape[1] else (right.T @ left).T

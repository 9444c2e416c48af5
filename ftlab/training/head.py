"""Head: from hidden states to the loss of each supervised token, a few at a time. It knows no models and no batches.

No more than a chunk of logits is ever held, for the gradient is formed together with the loss, in the forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ftlab.methods.anatomy import has_hooks
from ftlab.training.linear import product

#: Logits that are held at a time, more or less, and tokens that a chunk has at least: with fewer, products are slow.
CHUNK, LEAST = 1 << 21, 256

#: Of the vocabulary, what is computed at a time.
TILE = 1 << 13

#: Chances above this have all their digits, and so have their logarithms.
TINY = 1e-30


def head_losses(model: Any, hidden: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed weighted cross entropy of some tokens, and each token's without gradients.

    Args:
        model: a causal language model of transformers.
        hidden: what its decoder gave for the tokens before them, of shape (tokens, width).
        labels: the tokens.
        weights: theirs.
    """
    head = model.get_output_embeddings()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    if type(head) is nn.Linear and not has_hooks(head):
        return ChunkedCrossEntropy.apply(hidden, head.weight, head.bias, labels, weights, cap)
    logits = head(hidden).float()
    if cap is not None:
        logits = cap * torch.tanh(logits / cap)
    losses = weights * nn.functional.cross_entropy(logits, labels, reduction="none")
    return losses.sum(), losses.detach()


class ChunkedCrossEntropy(torch.autograd.Function):
    """Summed weighted cross entropy of softmax(cap tanh(h W^T / cap)), and each token's."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor,
        cap: float | None,
    ) -> tuple[Tensor, Tensor]:
        """Compute losses and, where they are wanted, gradients.

        Args:
            ctx: of autograd.
            hidden: of shape (tokens, width).
            weight: of the head, of shape (vocabulary, width).
            bias: of the head.
            labels: int64, of shape (tokens,).
            weights: float32, of shape (tokens,).
            cap: bound of the logits, as in Gemma 2; None for none.
        """
        wants = ctx.needs_input_grad[:3]
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        dhidden = torch.empty_like(hidden) if wants[0] else None
        dweight = torch.zeros_like(weight) if wants[1] else None
        dbias = torch.zeros_like(bias) if wants[2] and bias is not None else None
        size = min(max(CHUNK // len(weight), LEAST), len(hidden))
        buffer = torch.empty(size, len(weight), dtype=torch.float32, device=hidden.device)  # memory is dear to get
        for begin in range(0, len(hidden), size):
            part = slice(begin, begin + size)
            h, own, w = hidden[part], labels[part, None], weights[part, None]
            logits = _logits(h, weight, bias, cap, buffer[: len(h)])
            slope = 1 - (logits / cap) ** 2 if cap is not None and any(wants) else None
            chances = torch.softmax(logits, -1, out=logits)
            chance = chances.gather(-1, own)
            losses[part] = -chance[:, 0].log()
            if len(lost := (chance[:, 0] < TINY).nonzero()[:, 0]):
                again = _logits(h[lost], weight, bias, cap, buffer.new_empty(len(lost), len(weight)))
                losses[part][lost] = nn.functional.cross_entropy(again, own[lost, 0], reduction="none")
            if not any(wants):
                continue
            grad = chances.scatter_add_(-1, own, torch.full_like(own, -1, dtype=chances.dtype))
            grad = (grad if slope is None else grad.mul_(slope)).to(hidden.dtype)
            w = w.to(hidden.dtype)  # these are few numbers, and the logits many
            if dhidden is not None:
                dhidden[part] = product(grad, weight.T) * w
            if dweight is not None:
                dweight.addmm_(grad.T, h * w)
            if dbias is not None:
                dbias += grad.T @ w[:, 0]
        losses *= weights
        ctx.save_for_backward(dhidden, dweight, dbias)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        """Scale the gradients."""
        found = (None if each is None else each.mul_(grad) for each in ctx.saved_tensors)
        return (*found, None, None, None)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, cap: float | None, out: Tensor) -> Tensor:
    """Write logits in fp32 into memory that is there, a part of the vocabulary at a time; return it."""
    for begin in range(0, len(weight), TILE):
        part = slice(begin, begin + TILE)
        out[:, part] = product(hidden, weight[part], bias[part] if bias is not None else None)
    return out if cap is None else out.div_(cap).tanh_().mul_(cap)

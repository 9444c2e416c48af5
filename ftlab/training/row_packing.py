"""Row packing: several examples in one row of a batch, none of which sees another. It knows no data files.

transformers confines attention to each example where it gets positions that restart and no mask. Not every model and
method heeds that, so the two at hand are tried before training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ftlab.data.examples import Encoded
from ftlab.data.loader import collate
from ftlab.errors import SettingError
from ftlab.exam.generation import evaluation_mode
from ftlab.methods.base import Method, trainable

#: Lengths of the examples that are tried.
LENGTHS = (7, 5)

#: The largest relative difference that is rounding: where all weights are fp32, and where some have fewer bits. Where
#: a model or a method looks across a row it is 0.06 to 1.4, and in fp32 nothing else is more than 1e-5.
EXACT, ROUNDED = 1e-3, 0.2


def forward_packed(model: Any, batch: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a model's output for a batch whose rows may hold several examples, and the batch as it was laid out.

    No mask is given: padding is on the right, where causal attention cannot see it from any token that counts, and
    attention without a mask is faster. Flash kernels confine attention within one row only, so they get all rows as
    one, without padding.

    Args:
        model: a causal language model, with or without a method.
        batch: as `collate` makes it.
    """
    if "position_ids" in batch and str(model.config._attn_implementation).startswith("flash"):
        batch = in_one_row(batch)
    positions = {"position_ids": batch["position_ids"]} if "position_ids" in batch else {}
    return model(input_ids=batch["input_ids"], **positions, use_cache=False), batch


def in_one_row(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a packed batch with all rows laid end to end, without padding."""
    real = batch["attention_mask"].bool()
    return {name: tensor[real][None] if tensor.ndim == 2 else tensor for name, tensor in batch.items()}


def require_packable(method: Method) -> None:
    """Refuse a method that says itself that it cannot be packed.

    Raises:
        SettingError: with its reason.
    """
    if reason := method.why_not_packed():
        raise _refusal(method.title, reason)


def try_row_packing(model: Any, title: str) -> float:
    """Find out whether packed examples give the logits and gradients that they give alone; leave no trace.

    Gradients tell also of what a method does across a row from its first step on, while its new weights are still zero.

    Args:
        model: the base with the method applied.
        title: names both in the message.

    Returns:
        the largest relative difference.

    Raises:
        SettingError: they do not.
    """
    vocabulary, device = model.get_input_embeddings().weight.shape[0], model.get_input_embeddings().weight.device
    random = np.random.default_rng(0)
    first, second = (Encoded(random.integers(vocabulary, size=n), np.ones(n, np.float32)) for n in LENGTHS)
    batches = (
        {name: tensor.to(device) for name, tensor in collate(rows, 0, 1).items()}
        for rows in ([[first]], [[second]], [[first, second], [second, first]])  # two rows, for some kernels take one
    )
    exact = all(p.dtype in (torch.float32, torch.float64) for p in model.parameters())
    with evaluation_mode(model), torch.enable_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        one, other = (_logits(model, next(batches)) for _ in range(2))
        expected = torch.cat([one, other, other, one])
        try:
            found = _logits(model, next(batches))
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            raise _refusal(title, (str(error).strip() or type(error).__name__).splitlines()[0]) from error
        of_logits = float((found - expected).detach().norm() / expected.detach().norm())
        worst = float(np.max([of_logits, _gradients_differ(model, found, expected)]))  # which not a number is
    if not worst <= (EXACT if exact else ROUNDED):
        raise _refusal(title, f"chats that share a row change each other, by {worst:.2g} of what they are alone")
    return worst


def _logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits of a batch without padding, shape (tokens, vocabulary)."""
    output, batch = forward_packed(model, batch)
    return output.logits[:, -batch["input_ids"].shape[1] :].float().flatten(0, 1)  # virtual tokens come before


def _gradients_differ(model: Any, found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the difference of the gradients that two sets of logits give, as a share of the gradient."""
    parameters = list(trainable(model).values())
    if not parameters or not expected.requires_grad:
        return 0.0
    targets = torch.arange(len(expected), device=expected.device)
    losses = [functional.cross_entropy(logits, targets, reduction="sum") for logits in (found, expected)]

    def norm(loss: torch.Tensor, keep: bool) -> float:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
        return float(torch.stack([g.float().norm() for g in gradients if g is not None]).norm())

    size = norm(losses[1], keep=True) or 1.0
    return norm(losses[0] - losses[1], keep=False) / size  # one backward pass, for two sets of gradients may not fit


def _refusal(title: str, reason: str) -> SettingError:
    return SettingError("data.packing", f"{title} cannot be packed: {reason}; set data.packing to false")

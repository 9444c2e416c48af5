"""Fisher: how much each weight of the base matters to its own answers. It knows no penalty.

It imports torch; regularizers import it where they use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from ftlab.data.loader import IGNORE
from ftlab.exam.generation import evaluation_mode
from ftlab.training.loss import next_token_logits
from ftlab.training.regularizers.start import Start


def fisher(model: Any, start: Start, batches: Sequence[dict[str, Tensor]], drawn: bool) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information at the start, for each supervised token, by parameter.

    With answers drawn from the model the gradients of an example's tokens are uncorrelated and have mean zero, so the
    square of their sum is expected to be the sum of their squares: one backward pass for an example is enough.

    Args:
        model: the base with the method applied, whatever its weights by now.
        start: the parameters, and their values.
        batches: of one example each.
        drawn: whether answers are drawn from the model (always the same ones) or taken from the batches.
    """
    sums = {name: torch.zeros_like(p, dtype=_exact(p)) for name, p in start.values.items()}
    tokens = 0
    random = torch.Generator().manual_seed(0)
    with evaluation_mode(model), start.restored(model), torch.enable_grad():
        for value in start.values.values():
            value.requires_grad_(True)
        for batch in tqdm(batches, desc="Fisher", unit=" examples", delay=2, leave=False):
            logits, batch = next_token_logits(model, batch)
            learnt = batch["labels"][:, 1:] != IGNORE
            logits, labels = logits[learnt].to(_exact(logits)), batch["labels"][:, 1:][learnt]
            if drawn:
                chances = logits.detach().softmax(-1).cpu()
                labels = torch.multinomial(chances, 1, generator=random)[:, 0].to(labels.device)
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            gradients = torch.autograd.grad(loss, list(start.values.values()), allow_unused=True)
            for total, gradient in zip(sums.values(), gradients, strict=True):
                if gradient is not None:  # an expert that no token was sent to
                    total += gradient.to(total.dtype).square()
            tokens += len(labels)
        for value in start.values.values():
            value.requires_grad_(False)
    return {name: total / tokens for name, total in sums.items()}


def _exact(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)

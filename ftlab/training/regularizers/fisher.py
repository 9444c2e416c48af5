"""Fisher: how much each weight of the base matters to its own answers. It knows no penalty.

It imports torch; regularizers import it where they use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from ftlab.data.loader import IGNORE
from ftlab.exam.generation import evaluation_mode
from ftlab.training.loss import next_token_logits
from ftlab.training.regularizers.start import Start


def fisher(
    model: Any,
    start: Start,
    batches: Sequence[dict[str, Tensor]],
    drawn: bool,
    frozen: Mapping[str, nn.Parameter] | None = None,
) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information at the start, for each supervised token, by parameter of the base.

    The model is left as it was, which of its parameters are trained and their gradients included.

    With answers drawn from the model the gradients of an example's tokens are uncorrelated and have mean zero, so the
    square of their sum is expected to be the sum of their squares: one backward pass for an example is enough.

    Args:
        model: the base with the method applied, whatever its weights by now.
        start: the trained parameters, and their values; of those that the base has, it is taken.
        batches: of one example each.
        drawn: whether answers are drawn from the model (always the same ones) or taken from the batches.
        frozen: further parameters of the base, by name, which are not trained.
    """
    weights = {name: value for name, value in start.values.items() if name in start.own} | dict(frozen or {})
    sums = {name: torch.zeros_like(p, dtype=_exact(p)) for name, p in weights.items()}
    tokens = 0
    random = torch.Generator().manual_seed(0)
    with evaluation_mode(model), start.restored(model), _free(weights.values()), torch.enable_grad():
        for batch in tqdm(batches, desc="Fisher", unit=" examples", delay=2, leave=False):
            logits, batch = next_token_logits(model, batch)
            learnt = batch["labels"][:, 1:] != IGNORE
            logits, labels = logits[learnt].to(_exact(logits)), batch["labels"][:, 1:][learnt]
            if drawn:
                chances = logits.detach().softmax(-1).cpu()
                labels = torch.multinomial(chances, 1, generator=random)[:, 0].to(labels.device)
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for total, gradient in zip(sums.values(), gradients, strict=True):
                if gradient is not None:  # an expert that no token was sent to
                    total += gradient.to(total.dtype).square()
            tokens += len(labels)
    return {name: total / tokens for name, total in sums.items()}


@contextmanager
def _free(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let gradients of frozen parameters be taken for a while."""
    frozen = [weight for weight in weights if not weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def _exact(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)

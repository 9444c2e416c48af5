"""Way: how the losses of a batch are computed, the shortest that gives a model's own numbers. It knows no trainer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ftlab.data.examples import Encoded
from ftlab.data.loader import IGNORE, collate
from ftlab.exam.generation import evaluation_mode
from ftlab.methods.anatomy import plain
from ftlab.methods.base import Method, trainable
from ftlab.training.head import head_losses
from ftlab.training.last_block import last_mlp, only_at
from ftlab.training.loss import Batch, Losses, logit_losses, next_token_logits
from ftlab.training.row_packing import packing_refusal
from ftlab.training.speed import Speed
from ftlab.training.trunk_cache import TrunkCache
from ftlab.training.unpadded import one_row

#: Lengths of the examples that ways are tried on.
LENGTHS = (7, 5)

#: The largest relative difference that is rounding: where all weights are fp32, and where some have fewer bits. Where
#: a model or a method looks across a row it is 0.06 to 1.4, and in fp32 nothing else is more than 1e-5.
EXACT, ROUNDED = 1e-3, 0.2

#: What a model may raise that is asked in a way it does not know.
REFUSALS = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError)


@dataclass(frozen=True)
class Way:
    """A model, and which shortcuts it takes."""

    model: Any
    unpadded: bool = False
    supervised_head: bool = False
    note: str = ""
    """Which shortcuts were left out, and why."""
    last_mlp: nn.Module | None = None
    """Of the last block: computes only what the head reads."""
    cache: TrunkCache | None = None
    """Has what leaves the frozen blocks at the bottom."""

    def losses(self, batch: Batch) -> Losses:
        """Return the losses of a batch.

        Args:
            batch: as `collate` makes it.
        """
        return self.compute(batch)[0]

    def compute(self, batch: Batch) -> tuple[Losses, torch.Tensor | None, Batch]:
        """Return the losses of a batch, the logits of all its tokens but the last, and the batch as it was laid out.

        There are no logits where the head computes some of them only.

        Args:
            batch: as `collate` makes it.
        """
        if not self.unpadded and not self.supervised_head:
            logits, batch = next_token_logits(self.model, batch)
            return logit_losses(logits, batch), logits, batch
        inputs: dict[str, Any] = {"position_ids": batch["position_ids"]} if "position_ids" in batch else {}
        if self.unpadded:
            batch, inputs = one_row(self.model, batch)
        serving = self.cache.serving(batch, inputs) if self.cache is not None else nullcontext()
        if not self.supervised_head:
            with serving:
                logits = self.model(input_ids=batch["input_ids"], use_cache=False, **inputs).logits[:, :-1]
            return logit_losses(logits, batch), logits, batch
        inner = plain(self.model)
        learnt = functional.pad(batch["labels"][:, 1:] != IGNORE, (0, 1))  # what they tell is learnt one token before
        shortened = only_at(self.last_mlp, learnt) if self.last_mlp is not None else nullcontext()
        with serving, shortened:
            hidden = inner.get_decoder()(input_ids=batch["input_ids"], use_cache=False, **inputs).last_hidden_state
        where = learnt.flatten().nonzero()[:, 0]
        wanted = (name for name in ("labels", "weights", "sources") if name in batch)
        kept = {name: batch[name].flatten()[where + 1] for name in wanted}
        before = hidden.flatten(0, 1).index_select(0, where)
        total, each = head_losses(inner, before, kept["labels"], kept["weights"])
        return Losses(total, each, kept["weights"], kept.get("sources")), None, batch


def shortest_way(model: Any, method: Method, speed: Speed | None) -> Way:
    """Return the way of most shortcuts that gives the losses and gradients of the model's own forward pass.

    Args:
        model: the base with the method applied.
        method: it.
        speed: the shortcuts that are wanted; None takes none.
    """
    if speed is None:
        return Way(model)
    reasons: dict[str, str] = {}  # by what is left out, each reason once
    for unpadded, head in ((True, True), (True, False), (False, True)):
        if unpadded > speed.unpadded or head > speed.supervised_head:
            continue
        way = Way(model, unpadded, head, _note(reasons), last_mlp(model) if head else None)
        reason = (method.why_not_packed() if unpadded else None) or _fault(way)
        if not reason:
            return way
        shortcuts = [name for name, taken in (("unpadded", unpadded), ("supervised_head", head)) if taken]
        if reason not in reasons.values():
            reasons[" with ".join(shortcuts)] = reason
    return Way(model, note=_note(reasons))


def _note(reasons: dict[str, str]) -> str:
    return "; ".join(f"{shortcuts} left out: {reason}" for shortcuts, reason in reasons.items())


def _fault(way: Way) -> str | None:
    """Return why a way cannot be taken, if so."""
    try:
        apart = difference(way, [[0], [1]])
    except REFUSALS as error:
        return _first_line(error)
    return None if apart <= tolerance(way.model) else f"it would change the gradients by {apart:.2g} of what they are"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require_packing(way: Way, title: str) -> float:
    """Find out whether packed examples give the losses and gradients that they give alone; leave no trace.

    Args:
        way: how losses are computed.
        title: names model and method in the message.

    Returns:
        the largest relative difference.

    Raises:
        SettingError: they do not.
    """
    try:
        apart = difference(way, [[0, 1], [1, 0]])  # two rows, for some kernels take one
    except REFUSALS as error:
        raise packing_refusal(title, _first_line(error)) from error
    if not apart <= tolerance(way.model):
        raise packing_refusal(title, f"chats that share a row change each other, by {apart:.2g} of what they are alone")
    return apart


def tolerance(model: Any) -> float:
    """Return the largest relative difference that is rounding in this model's precision."""
    exact = all(p.dtype in (torch.float32, torch.float64) for p in model.parameters())
    return EXACT if exact else ROUNDED


def difference(way: Way, rows: Sequence[Sequence[int]]) -> float:
    """Return how far a way's losses and gradients are from those of each example alone, by the model's own pass.

    Gradients tell also of what a method does from its first step on, while its new weights are still zero.

    Args:
        way: to try.
        rows: of a batch, each the numbers of its examples, of which there are two.
    """
    model = way.model
    vocabulary, device = model.get_input_embeddings().weight.shape[0], model.get_input_embeddings().weight.device
    random = np.random.default_rng(0)
    examples = [Encoded(random.integers(vocabulary, size=n), np.ones(n, np.float32)) for n in LENGTHS]

    def losses(way: Way, rows: Sequence[Sequence[int]]) -> Losses:
        batch = collate([[examples[i] for i in row] for row in rows], 0, 1)
        return way.losses({name: tensor.to(device) for name, tensor in batch.items()})

    with evaluation_mode(model), torch.enable_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        found = losses(way, rows)
        alone = [losses(Way(model), [[i]]) for i in range(len(LENGTHS))]
        expected = torch.cat([alone[i].each for row in rows for i in row])
        of_losses = float((found.each - expected).norm() / expected.norm())
        total = torch.stack([alone[i].total for row in rows for i in row]).sum()
        return float(np.max([of_losses, _gradients_differ(model, found.total, total)]))  # which not a number is


def _gradients_differ(model: Any, found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the difference of the gradients of two losses, as a share of the gradient."""
    parameters = list(trainable(model).values())
    if not parameters or not expected.requires_grad:
        return 0.0

    def norm(loss: torch.Tensor, keep: bool) -> float:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)
        return float(torch.stack([g.float().norm() for g in gradients if g is not None]).norm())

    size = norm(expected, keep=True) or 1.0
    return norm(found - expected, keep=False) / size  # one backward pass, for two sets of gradients may not fit

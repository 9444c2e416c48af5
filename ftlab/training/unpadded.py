"""Unpadded: the examples of a batch as one row without padding, none of which sees another. It knows no losses.

Attention is confined to each example by a function of our own, which transformers calls by the name that it is
registered under. It computes as the model's own does wherever it is given no bounds, as in generation.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from ftlab.data.loader import IGNORE
from ftlab.training.attention import RowAttention

#: Before the name of a model's own way to compute attention, which ours stands in for.
PREFIX = "unpadded_"

#: A row is filled up to a multiple of so many tokens, so that kernels meet few sizes and use their buffers again.
MULTIPLE = 64

#: Examples up to this length keep their attention weights for the backward pass; of longer ones they are too many.
LONGEST = 1024


def one_row(model: Any, batch: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return a batch with all examples laid end to end, and what keeps them apart.

    Args:
        model: that will compute it.
        batch: as `collate` makes it.

    Returns:
        Tensors of shape (1, tokens), whose last ones, up to `MULTIPLE` - 1, are an example in which nothing is learnt;
        and the keyword arguments that the model's forward pass takes besides the ids.
    """
    real = batch["attention_mask"].bool()
    positions = batch.get("position_ids", real.cumsum(1) - 1)[real]
    filling = -len(positions) % MULTIPLE
    row = {}
    for name, tensor in batch.items():
        if tensor.ndim == 2:
            row[name] = functional.pad(tensor[real], (0, filling), value=IGNORE if name == "labels" else 0)[None]
        else:
            row[name] = tensor
    positions = torch.cat([positions, torch.arange(filling, device=positions.device)])
    bounds = functional.pad((positions == 0).nonzero()[:, 0], (0, 1), value=len(positions)).to(torch.int32)
    longest = int(bounds.diff().max())
    row["position_ids"] = positions[None]
    inputs = {
        "position_ids": positions[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    if str(model.config._attn_implementation).startswith(PREFIX):  # lets no mask be made
        inputs["attention_mask"] = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=positions.device)
    return row, inputs


def install(model: Any) -> None:
    """Let a model confine attention to bounds where it is given some; flash kernels do so by themselves.

    Args:
        model: a causal language model of transformers.
    """
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if PREFIX + str(getattr(config, "_attn_implementation", None)) in AttentionInterface._global_mapping:
            config._attn_implementation_internal = PREFIX + config._attn_implementation


def within_bounds(
    name: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return attention of shape (rows, tokens, heads, width) as transformers' functions do.

    Args:
        name: of the model's own way to compute it.
        module: the attention layer.
        query: of shape (rows, heads, tokens, width), as the next two.
        key: possibly of fewer heads.
        value: likewise.
        attention_mask: heeded where there are no bounds.
        cu_seq_lens_q: where examples begin in the only row, and its end; None where rows are what they are.
        kwargs: what the layer passes besides.
    """
    own = AttentionInterface().get(name) or sys.modules[type(module).__module__].eager_attention_forward
    if cu_seq_lens_q is None:
        return own(module, query, key, value, attention_mask, **kwargs)
    plain = not any(kwargs.get(each) is not None for each in ("softcap", "s_aux", "position_bias"))
    causal, window = getattr(module, "is_causal", True), kwargs.get("sliding_window")
    bounds = cu_seq_lens_q.tolist()
    lengths = [end - begin for begin, end in itertools.pairwise(bounds)]
    if plain and causal and not kwargs.get("dropout") and query.device.type == "cpu" and max(lengths) <= LONGEST:
        q, k = (x[0].to(value.dtype) for x in (query, key))  # rotary embeddings may have left more digits
        scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
        with torch.autocast("cpu", enabled=False):
            return RowAttention.apply(q, k, value[0], bounds, window, scale)[None], None
    outputs = []
    for q, k, v in zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True):
        masked = window is not None and q.shape[2] > window
        mask = _mask(q.shape[2], window if masked else None, q) if masked or not plain else None
        if plain:
            out = functional.scaled_dot_product_attention(
                q,
                k,
                v,
                mask,
                kwargs.get("dropout", 0.0),
                causal and mask is None,
                scale=kwargs.get("scaling"),
                enable_gqa=q.shape[1] != k.shape[1],
            )
            outputs.append(out.transpose(1, 2))
        else:
            outputs.append(own(module, q, k, v, mask, **kwargs)[0])
    return torch.cat(outputs, dim=1), None


def _mask(length: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """Return a causal mask of one example as numbers to add, shape (1, 1, length, length)."""
    seen = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, torch.finfo(like.dtype).min)[None, None]


def _register(name: str) -> None:
    function: Callable[..., Any] = partial(within_bounds, name)
    AttentionInterface.register(PREFIX + name, function)
    AttentionMaskInterface.register(PREFIX + name, AttentionMaskInterface()[name])


for _name in ("eager", "sdpa", "flex_attention"):
    _register(_name)

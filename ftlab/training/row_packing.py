"""Row packing: several examples in one row of a batch, none of which sees another. It knows no data files.

transformers confines attention to each example where it gets positions that restart and no mask. Not every model and
method heeds that, so the two at hand are tried before training.
"""

from __future__ import annotations

from typing import Any

import torch

from ftlab.errors import SettingError
from ftlab.methods.base import Method
from ftlab.training.unpadded import one_row


def forward_packed(model: Any, batch: dict[str, torch.Tensor]) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a model's output for a batch whose rows may hold several examples, and the batch as it was laid out.

    No mask is given: padding is on the right, where causal attention cannot see it from any token that counts, and
    attention without a mask is faster. Flash kernels confine attention within one row only, so they get all rows as
    one, without padding.

    Args:
        model: a causal language model, with or without a method.
        batch: as `collate` makes it.
    """
    inputs = {"position_ids": batch["position_ids"]} if "position_ids" in batch else {}
    if inputs and str(model.config._attn_implementation).startswith("flash"):
        batch, inputs = one_row(model, batch)
    return model(input_ids=batch["input_ids"], **inputs, use_cache=False), batch


def require_packable(method: Method) -> None:
    """Refuse a method that says itself that it cannot be packed.

    Raises:
        SettingError: with its reason.
    """
    if reason := method.why_not_packed():
        raise packing_refusal(method.title, reason)


def packing_refusal(title: str, reason: str) -> SettingError:
    """Return the error that says why a model with a method cannot be packed."""
    return SettingError("data.packing", f"{title} cannot be packed: {reason}; set data.packing to false")

"""Packed: what is different where a base's weights are quantized by bitsandbytes. It knows no method."""

from __future__ import annotations

from typing import Any

import torch

from ftlab.errors import FtlabError


def keep_packing(model: Any) -> None:
    """Let packed weights stay as they are stored.

    On CPUs with bfloat16 instructions bitsandbytes packs 4-bit weights anew when a model first answers in evaluation
    mode. What is trained after that gets no gradient, and unpacking for a merge or for DoRA gives other weights.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def try_packed(model: Any, method: str) -> None:
    """Find out at once whether a method can compute with packed weights, which not all of peft's can.

    Args:
        model: the base with the method applied.
        method: its name, for the message.

    Raises:
        FtlabError: it cannot.
    """
    torch.nn.Module.to(model, model.device)  # where what the method added is not yet; transformers' own refuses 8 bits
    try:
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device), use_cache=False)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FtlabError(f"method: {method} does not work on a quantized base: {reason}; load it in full") from error


def parameter_counts(model: Any) -> tuple[int, int]:
    """Return how many parameters are trainable, and how many there are; two packed in one byte count as two."""
    trainable = total = 0
    for parameter in model.parameters():
        packing = getattr(parameter, "quant_state", None)
        total += packing.shape.numel() if packing is not None else parameter.numel()
        trainable += parameter.numel() * parameter.requires_grad
    return trainable, total

"""Checkpointing: the blocks whose activations are computed again in the backward pass. It knows no method."""

from __future__ import annotations

from typing import Any

from transformers.modeling_layers import GradientCheckpointingLayer

from ftlab.errors import SettingError
from ftlab.methods.anatomy import blocks

KEY = "model.gradient_checkpointing"


def checkpoint_blocks(model: Any, wanted: bool | int | list[int]) -> None:
    """Let some blocks keep only their input for the backward pass, in which they are computed again.

    Args:
        model: a causal language model of transformers, before a method is applied.
        wanted: true for all blocks, a number n for every n-th from the bottom one on, or the blocks, counted from 0.

    Raises:
        SettingError: the model has no such block, or cannot do it.
    """
    layers = list(blocks(model).values())
    chosen = set(wanted if isinstance(wanted, list) else range(0, len(layers), wanted))
    if wrong := sorted(i for i in chosen if i >= len(layers)):
        raise SettingError(KEY, f"{wrong[0]} is no block of this model, whose {len(layers)} are counted from 0")
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise SettingError(KEY, f"{type(model).__name__} cannot do it; set it to false") from error
    if len(chosen) == len(layers):
        return
    if not all(isinstance(layer, GradientCheckpointingLayer) for layer in layers):
        raise SettingError(KEY, f"{type(model).__name__} can do it for all blocks or none; set it to true")
    for i, layer in enumerate(layers):
        for module in layer.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = i in chosen  # type: ignore[assignment]

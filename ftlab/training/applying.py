"""Applying: a method onto a loaded base, with its faults told in one line. It knows no trainer and no files."""

from __future__ import annotations

from typing import Any

import torch

from ftlab.errors import FtlabError
from ftlab.methods.base import Method
from ftlab.training.fused import fuse
from ftlab.training.packed import try_packed
from ftlab.training.speed import Speed
from ftlab.training.unpadded import install


def apply_method(method: Method, base: Any, speed: Speed | None = None) -> Any:
    """Return the base with the method applied, in training mode.

    Args:
        method: what changes it.
        base: as it was loaded.
        speed: what its layers are prepared for; None leaves them as they are.

    Raises:
        FtlabError: the method does not fit it.
    """
    try:
        with torch.device("cpu"):  # one seed is one start on every device; the trainer moves what is new
            model = method.apply(base)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise FtlabError(f"method: {method.title} does not fit this model: {reason}") from error
    if not isinstance(model, torch.nn.Module):
        kind = type(model).__name__
        raise FtlabError(f"method: apply of {method.title} returned {kind}; end it with `return model`")
    model.train()
    if getattr(base, "is_quantized", False):
        try_packed(model, method.title)
    if speed is not None and speed.unpadded:
        install(model)
    if speed is not None and speed.fused:
        fuse(model)
    return model

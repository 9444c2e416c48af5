"""Share: copies of a loaded base that cost no memory until they are written to. It knows no method and no files."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def shareable(model: Any) -> Any:
    """Return the model with memory of its own, on its device, so that it can be shared.

    What transformers has just loaded is a view of the file, which cannot be shared copy-on-write.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.clone()
    return model


def shared_copy(model: Any) -> Any:
    """Return a model of its own modules and settings on the tensors of another, which no change to it can reach.

    Tensors are shared copy-on-write: a method that trains, replaces or writes into some of them gets its own copy of
    those. Quantized ones are shared as they are; nothing writes into packed numbers, though a first forward pass may
    repack them into new ones and say so in what they carry, which is therefore the copy's own.

    Args:
        model: as `shareable` returned it, never run so far.
    """
    twins = {
        parameter: torch.Tensor._make_subclass(type(parameter), _share(parameter.data), parameter.requires_grad)
        for parameter in model.parameters()
    }
    memo: dict[int, Any] = {id(parameter): twin for parameter, twin in twins.items()}
    memo |= {id(buffer): _share(buffer) for buffer in model.buffers()}
    memo |= {id(tensor): tensor for parameter in twins for tensor in _carried(parameter)}
    twin_model = copy.deepcopy(model, memo)
    for parameter, twin in twins.items():
        twin.__dict__.update(copy.deepcopy(parameter.__dict__, memo))
    return twin_model


def _carried(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors that a quantized parameter carries beside its numbers, such as scales and tables."""
    for item in vars(value).values():
        if isinstance(item, torch.Tensor):
            yield item
        elif hasattr(item, "__dict__") and not isinstance(item, (nn.Module, type)):
            yield from _carried(item)


def _share(tensor: torch.Tensor) -> torch.Tensor:
    return torch._lazy_clone(tensor) if tensor.is_floating_point() else tensor

"""Key-value cache: room for tokens to come, and rows that leave. It knows nothing of models and answers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

#: Tokens that room is made for at a time.
_ROOM = 64


class RoomyLayer(DynamicLayer):
    """Keys and values with room behind them: transformers' own layer copies all of them for every new token.

    Args:
        layer: whose keys and values to take over.
    """

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self._stores: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all keys and values, the new ones behind the others."""
        start, more = self.get_seq_length(), key_states.shape[-2]
        if not self._stores or start + more > self._stores[0].shape[-2]:
            self._stores = [_with_room(self.keys, more + _ROOM), _with_room(self.values, more + _ROOM)]
        for store, states in zip(self._stores, (key_states, value_states), strict=True):
            store[..., start : start + more, :] = states
        self.keys, self.values = (store[..., : start + more, :] for store in self._stores)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows."""
        super().batch_select_indices(indices)
        self._stores = []


def _with_room(states: torch.Tensor, room: int) -> torch.Tensor:
    return torch.cat([states, states.new_empty(*states.shape[:-2], room, states.shape[-1])], dim=-2)


#: Layers that hold nothing but keys and values, one row for each answer.
_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer, RoomyLayer)


def make_room(carried: dict[str, Any]) -> None:
    """Give the layers of a cache room where they keep all keys and values.

    Args:
        carried: what `generate` carries from step to step, by name.
    """
    for cache in _caches(carried).values():
        cache.layers = [RoomyLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]


def has_rows(carried: dict[str, Any], count: int, width: int | None = None) -> bool:
    """Return whether all that is carried from step to step has one row for each of so many answers.

    Args:
        carried: what `generate` carries.
        count: how many answers.
        width: how many columns it must have besides; None takes any.
    """
    for value in carried.values():
        if isinstance(value, DynamicCache):
            if not all(type(layer) in _PLAIN for layer in value.layers):
                return False
        elif isinstance(value, torch.Tensor):
            if value.ndim != 2 or len(value) != count or width not in (None, value.shape[1]):
                return False
        elif not isinstance(value, int | float | str | None):
            return False
    return True


def empty_cache(carried: dict[str, Any]) -> DynamicCache | None:
    """Return the cache, where it is a single one that will hold all keys and values and as yet holds nothing."""
    caches = list(_caches(carried).values())
    plain = len(caches) == 1 and all(type(layer) is DynamicLayer for layer in caches[0].layers)
    return caches[0] if plain and not caches[0].get_seq_length() else None


def stack(parts: list[tuple[int, DynamicCache]]) -> DynamicCache:
    """Return one cache of the rows of several.

    Args:
        parts: caches, each with how many columns it lacks on the left; what stands there must be masked.
    """
    states = []
    for layers in zip(*(cache.layers for _, cache in parts), strict=True):
        padded = [
            [pad(states, (0, 0, missing, 0)) for states in (layer.keys, layer.values)]
            for (missing, _), layer in zip(parts, layers, strict=True)
        ]
        states.append((torch.cat([keys for keys, _ in padded]), torch.cat([values for _, values in padded])))
    return DynamicCache(states)


def keep_rows(carried: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """Return some rows of all that is carried; caches are cut in place, layer by layer."""
    for cache in _caches(carried).values():
        cache.batch_select_indices(rows)
    return {name: value[rows] if isinstance(value, torch.Tensor) else value for name, value in carried.items()}


def twin(carried: dict[str, Any]) -> dict[str, Any]:
    """Return the same with caches of its own, to be cut before they are used; they share the tensors until then."""
    twins = {name: copy.copy(cache) for name, cache in _caches(carried).items()}
    for cache in twins.values():
        cache.layers = [copy.copy(layer) for layer in cache.layers]
    return carried | twins


def _caches(carried: dict[str, Any]) -> dict[str, DynamicCache]:
    return {name: value for name, value in carried.items() if isinstance(value, DynamicCache)}

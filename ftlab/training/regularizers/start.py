"""Start: what the trained parameters were before the first step, and which of them the base has. It knows no penalty.

It imports torch; regularizers import it where they use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ftlab.methods.anatomy import base_name
from ftlab.methods.base import trainable


def shapes(base: nn.Module) -> dict[str, torch.Size]:
    """Return the shapes of a model's parameters by all of their names; a tied one has two."""
    return {name: p.shape for name, p in base.named_parameters(remove_duplicate=False)}


@dataclass
class Start:
    """A copy of the trained parameters, taken when the method has been applied and no checkpoint is read yet.

    It takes as much memory as what is trained: next to nothing for an adapter, a second model for `Full`.
    """

    values: dict[str, nn.Parameter]
    """By name; they are never trained."""
    own: set[str]
    """Names of those that the base has: their values are the base's. The others were added by the method."""

    @classmethod
    def of(cls, model: nn.Module, base: Mapping[str, torch.Size]) -> Start:
        """Copy a model's trained parameters.

        Args:
            model: the base with the method applied.
            base: the `shapes` of the base before that.
        """
        trained = trainable(model)
        values = {name: nn.Parameter(p.detach().clone(), requires_grad=False) for name, p in trained.items()}
        return cls(values, {name for name, p in trained.items() if base.get(base_name(name)) == p.shape})

    def to(self, model: nn.Module) -> Start:
        """Move all values to where the model's parameters are; return self."""
        for name, parameter in self._current(model).items():
            self.values[name].data = self.values[name].data.to(parameter.device)
        return self

    def moved(self, model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Parameter]]:
        """Yield name, current parameter and the base's value of each trained parameter that the base has."""
        current = self._current(model)
        for name in self.values:
            if name in self.own:
                yield name, current[name], self.values[name]

    def added(self) -> list[str]:
        """Return the names of the trained parameters that the base does not have."""
        return [name for name in self.values if name not in self.own]

    @contextmanager
    def restored(self, model: nn.Module) -> Iterator[None]:
        """Let the model compute with the values at the start for a while.

        Other tensors stand in the parameters' places meanwhile, and the parameters stay what they are: the graph of a
        forward pass before remains valid, and what autocast has cached of the parameters is not taken for the values.
        """
        twins = {id(parameter): self.values[name] for name, parameter in self._current(model).items()}
        places = [
            (module, key, parameter)
            for module in model.modules()
            for key, parameter in module._parameters.items()
            if id(parameter) in twins
        ]
        for module, key, parameter in places:
            module._parameters[key] = twins[id(parameter)]
        try:
            yield
        finally:
            for module, key, parameter in places:
                module._parameters[key] = parameter

    def _current(self, model: Any) -> dict[str, nn.Parameter]:
        return {name: p for name, p in model.named_parameters() if name in self.values}

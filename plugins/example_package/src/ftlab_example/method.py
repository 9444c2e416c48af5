"""OutputScale: trains a scale for each output of the linear layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab import FtlabError, Method
from ftlab.methods.anatomy import linear_layers

if TYPE_CHECKING:
    from torch import nn


@dataclass
class OutputScale(Method):
    """Train a scale for each output of every linear layer but the head; the base stays frozen.

    Source: Lian et al., "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning", 2022,
    arXiv:2210.08823, without the shift.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Wrap the layers and freeze the rest; all scales are one, so the model's answers are the base's."""
        from ftlab_example.layers import ScaledLinear

        model.requires_grad_(False)
        for name, (_, outputs) in linear_layers(model).items():
            model.set_submodule(name, ScaledLinear(model.get_submodule(name), outputs))
        return model

    def count(self, base: nn.Module) -> int:
        """Return the number of outputs."""
        return sum(outputs for _, outputs in linear_layers(base).values())

    def merge(self, model: nn.Module) -> nn.Module:
        """Fold the scales into the weights."""
        from ftlab_example.layers import ScaledLinear

        for name, module in list(model.named_modules()):
            if isinstance(module, ScaledLinear):
                try:
                    model.set_submodule(name, module.folded())
                except ValueError as error:
                    raise FtlabError(f"method: OutputScale cannot be merged ({error})") from error
        return model

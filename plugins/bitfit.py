"""BitFit: trains what the model already has, biases and norms. An example of a method by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab import Method
from ftlab.methods.anatomy import norms

if TYPE_CHECKING:
    from torch import nn


@dataclass
class BitFit(Method):
    """Train the biases and the norms' weights; in models without biases, as Llama, the norms alone.

    Source: Ben Zaken et al., "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
    Language-models", 2022, arXiv:2106.10199. Its authors train the biases; the norms' weights are added here.
    """

    norms: bool = True
    """Whether the norms' weights are trained too; a model without biases has nothing else to train."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Freeze the rest.

        Raises:
            ValueError: there is nothing to train.
        """
        trained = self._trained(model)
        if not trained:
            raise ValueError("it has no biases; set norms to true")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)
        return model

    def count(self, base: nn.Module) -> int:
        """Return the number of biases and norm weights."""
        return sum(parameter.numel() for parameter in self._trained(base).values())

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the model itself: nothing was added to it."""
        return model

    def _trained(self, model: nn.Module) -> dict[str, nn.Parameter]:
        biases = {name: p for name, p in model.named_parameters() if name.endswith("bias")}
        return biases | (norms(model) if self.norms else {})

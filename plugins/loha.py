"""LoHa: low-rank updates multiplied with each other. An example of a method through the peft library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab import Method
from ftlab.methods.anatomy import linear_layers

if TYPE_CHECKING:
    from torch import nn


@dataclass
class LoHa(Method):
    """Train the product, element by element, of two low-rank updates: rank r * r for the size of 2 * r.

    Source: Hyeon-Woo et al., "FedPara: Low-rank Hadamard Product for Communication-Efficient Federated Learning",
    2021, arXiv:2108.06098.
    """

    r: int = 4
    """Rank of each of the two; the rank of their product is up to r * r."""
    alpha: float = 8.0
    """The update is scaled by alpha / r."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the updates to all linear layers; one of the factors is zero at the start.

        Raises:
            ValueError: the weights are packed, which peft's LoHa cannot read.
        """
        from peft import LoHaConfig, TaskType, get_peft_model

        if getattr(model, "is_quantized", False):
            raise ValueError("its weights are quantized")
        config = LoHaConfig(task_type=TaskType.CAUSAL_LM, r=self.r, target_modules="all-linear")
        config.alpha = self.alpha  # type: ignore[assignment]  # annotated int, used as a factor
        return get_peft_model(model, config)

    def count(self, base: nn.Module) -> int:
        """Return two pairs of factors for each layer."""
        return sum(2 * self.r * (inputs + outputs) for inputs, outputs in linear_layers(base).values())

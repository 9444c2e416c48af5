"""Layers: what the method puts into a model. Apart, because importing torch takes seconds and listing needs none."""

import torch
from torch import nn


class ScaledLinear(nn.Module):
    """A linear layer, frozen or quantized, whose outputs are scaled.

    Args:
        layer: the layer.
        width: how many outputs it has.
    """

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.scale = nn.Parameter(torch.ones(width, device=next(layer.parameters()).device))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the scaled outputs."""
        outputs = self.layer(inputs)
        return outputs * self.scale.to(outputs.dtype)

    def folded(self) -> nn.Linear:
        """Return the layer with the scale in its weights.

        Raises:
            ValueError: its weights are packed.
        """
        layer = self.layer
        if not isinstance(layer, nn.Linear) or not layer.weight.is_floating_point():
            raise ValueError("the weights are quantized")
        with torch.no_grad():
            layer.weight.mul_(self.scale[:, None])
            if layer.bias is not None:
                layer.bias.mul_(self.scale)
        return layer

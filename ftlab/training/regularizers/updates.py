"""Updates: how much peft's adapters add to the base's weights. They know no penalty and no trainer.

It imports torch; regularizers import it where they use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ftlab.training.regularizers.start import Start

#: Packages of peft's tuners of which it is tested that `get_delta_weight` is what they add to a weight; of others, such
#: as OFT's, it is a factor of the weight.
ADDITIVE = ("adalora", "loha", "lokr", "lora", "vera")


def squares(tensor: Tensor) -> Tensor:
    """Return the sum of the squares, in no fewer bits than fp32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)).square().sum()


@dataclass
class Update:
    """What is added to the weight of one layer, by peft's own account of it."""

    name: str
    """Of the layer."""
    layer: Any

    def squares(self) -> Tensor:
        """Return the squared norm of the sum of all that is added."""
        return squares(self.layer.get_delta_weight(*self.layer.active_adapters))


@dataclass
class LowRank(Update):
    """scaling * (B A - B0 A0), where B0 and A0 are those that were there before the first step.

    Their product is zero but for starts such as PiSSA's, which take it out of the base's weight.
    """

    start: Start

    def squares(self) -> Tensor:
        """Return the squared norm through products of the size of the rank: tr(A^T B^T B A) = sum(B^T B * A A^T)."""
        [adapter] = self.layer.active_adapters
        (b, b_name), (a, a_name) = self._factor("B", adapter), self._factor("A", adapter)
        first_b, first_a = self.start.values.get(b_name, b), self.start.values.get(a_name, a)
        if first_b.any() and first_a.any():
            b, a = torch.cat([b, -first_b], dim=1), torch.cat([a, first_a])
        found = self.layer.scaling[adapter] ** 2 * ((b.T @ b) * (a @ a.T)).sum()
        bias = getattr(self.layer.lora_B[adapter], "bias", None) if self.layer.lora_B else None
        return found if bias is None else found + squares(self.layer.scaling[adapter] * bias)

    def _factor(self, side: str, adapter: str) -> tuple[Tensor, str]:
        if layers := getattr(self.layer, f"lora_{side}"):
            return layers[adapter].weight, f"{self.name}.lora_{side}.{adapter}.weight"
        return getattr(self.layer, f"lora_embedding_{side}")[adapter], f"{self.name}.lora_embedding_{side}.{adapter}"


def updates(model: nn.Module, start: Start) -> list[Update]:
    """Return the layers of a model to whose weights something is added, so that all of it is known."""
    return [
        LowRank(name, layer, start) if _low_rank(layer) else Update(name, layer)
        for name, layer in model.named_modules()
        if _tuner(layer) in ADDITIVE and hasattr(layer, "get_delta_weight") and not _varied(layer)
    ]


def _tuner(layer: nn.Module) -> str | None:
    """Return the package of the tuner that a layer of peft is from."""
    module = type(layer).__module__
    return module.split(".")[2] if module.startswith("peft.tuners.") else None


def _low_rank(layer: Any) -> bool:
    """Return whether a layer adds the product of two matrices as they are, unlike those of convolutions and experts."""
    if _tuner(layer) != "lora" or hasattr(layer, "parameter_name"):
        return False
    return all(isinstance(factor, nn.Linear) for factor in layer.lora_A.values())


def _varied(layer: Any) -> bool:
    """Return whether a layer of LoRA does something else with its matrices, as DoRA does."""
    return bool(getattr(layer, "lora_variant", None))

"""Updates: how much peft's adapters add to the base's weights. They know no penalty and no trainer.

It imports torch; regularizers import it where they use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ftlab.training.regularizers.start import Start

#: Packages of peft's tuners of which it is tested that `get_delta_weight` is what they add to a weight; of others, such
#: as OFT's, it is a factor of the weight.
ADDITIVE = ("adalora", "loha", "lokr", "lora", "vera")


def exact(tensor: Tensor) -> Tensor:
    """Return a tensor in no fewer bits than fp32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def squares(tensor: Tensor) -> Tensor:
    """Return the sum of the squares, in no fewer bits than fp32."""
    return exact(tensor).square().sum()


@dataclass
class Update:
    """What is added to the weight of one layer, by peft's own account of it."""

    name: str
    """Of the layer."""
    layer: Any

    def squares(self) -> Tensor:
        """Return the squared norm of the sum of all that is added."""
        return squares(self.layer.get_delta_weight(*self.layer.active_adapters))

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each parameter of the base that is added to, and what is, as a tensor of its shape."""
        yield self._base(), exact(self.layer.get_delta_weight(*self.layer.active_adapters))

    def _base(self, parameter: str = "weight") -> str:
        """Return the name of the base's parameter, below all that peft has wrapped around its layer."""
        name, layer = self.name, self.layer
        while hasattr(layer, "base_layer"):
            name, layer = f"{name}.base_layer", layer.base_layer
        return f"{name}.{getattr(self.layer, 'parameter_name', parameter)}"


@dataclass
class LowRank(Update):
    """scaling * (B A - B0 A0), where B0 and A0 are those that were there before the first step.

    Their product is zero but for starts such as PiSSA's, which take it out of the base's weight.
    """

    start: Start

    def squares(self) -> Tensor:
        """Return the squared norm through products of the size of the rank: tr(A^T B^T B A) = sum(B^T B * A A^T)."""
        b, a = self._factors()
        found = self.layer.scaling[self._adapter] ** 2 * ((b.T @ b) * (a @ a.T)).sum()
        bias = self._bias()
        return found if bias is None else found + squares(bias)

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each parameter of the base that is added to, and what is, as a tensor of its shape."""
        b, a = self._factors()
        product = self.layer.scaling[self._adapter] * (b @ a)
        transposed = not self.layer.lora_A or getattr(self.layer, "fan_in_fan_out", False)  # the former: an embedding
        yield self._base(), product.T if transposed else product
        if (bias := self._bias()) is not None:
            yield self._base("bias"), bias

    @property
    def _adapter(self) -> str:
        [adapter] = self.layer.active_adapters
        return adapter

    def _bias(self) -> Tensor | None:
        """Return what is added to the layer's bias."""
        bias = getattr(self.layer.lora_B[self._adapter], "bias", None) if self.layer.lora_B else None
        return None if bias is None else self.layer.scaling[self._adapter] * exact(bias)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """Return the two matrices whose product, but for the scaling, is added."""
        (b, b_name), (a, a_name) = self._factor("B", self._adapter), self._factor("A", self._adapter)
        first_b, first_a = self.start.values.get(b_name, b), self.start.values.get(a_name, a)
        if first_b.any() and first_a.any():
            b, a = torch.cat([b, -first_b], dim=1), torch.cat([a, first_a])
        return exact(b), exact(a)

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


def elsewhere(start: Start, found: Sequence[Update]) -> list[str]:
    """Return the names of what is trained and neither is the base's own nor added to a weight of it by an update."""
    prefixes = tuple(f"{update.name}." for update in found)
    return [name for name in start.added() if not name.startswith(prefixes)]


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

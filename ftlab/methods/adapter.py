"""Adapter: small bottleneck networks between the layers of a frozen base. It knows no architecture by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftlab.errors import FtlabError, require
from ftlab.methods import anatomy
from ftlab.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Name under which a module of the base holds its bottleneck.
_NAME = "adapter"


@dataclass
class Adapter(Method):
    """Train bottleneck networks inserted into each block; the base and its norms stay frozen.

    Each computes scaling * up(dropout(activation(down(h)))). The weights are kept in fp32, since small updates are
    lost in fewer bits, and are cast to the type of the hidden states, in which it computes. It costs time when
    answering, too, for it cannot be merged.

    Source: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", 2019, arXiv:1902.00751 (`houlsby`);
    Pfeiffer et al., "AdapterFusion", 2021, arXiv:2005.00247 (`pfeiffer`); He et al., "Towards a Unified View of
    Parameter-Efficient Transfer Learning", 2022, arXiv:2110.04366 (`parallel`).
    """

    bottleneck: int = 64
    """Width of the bottleneck. Wider learns more, takes more memory and time, and overfits small data sooner."""
    placement: Literal["houlsby", "pfeiffer", "parallel"] = "pfeiffer"
    """`pfeiffer` changes the output of each MLP; `houlsby` that of each attention too, at twice the cost; `parallel`
    reads the MLP's input and adds to its output, so that it need not undo what the MLP does."""
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    """What makes the bottleneck more than a low-rank matrix."""
    dropout: float = 0.0
    """Share of the bottleneck that is zeroed while training, against overfitting."""
    scaling: float = 1.0
    """Factor of what the bottleneck adds; higher acts like a higher learning rate. He et al. take 4 for `parallel`."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.bottleneck >= 1, "method.bottleneck", self.bottleneck, "1 or more")
        require(0 <= self.dropout < 1, "method.dropout", self.dropout, "between 0 and 1")
        require(self.scaling > 0, "method.scaling", self.scaling, "above 0")

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the bottlenecks; their second projection is zero, so the model's answers are the base's."""
        import torch
        from torch import nn

        places, width = self._places(model), anatomy.width(model)
        model.requires_grad_(False)
        for place in places:
            # Bare parameters, which a LoRA of all linear layers in the same list leaves alone.
            bottleneck: Any = nn.ParameterDict(
                {
                    "down": torch.empty(self.bottleneck, width, device="cpu").uniform_(-(width**-0.5), width**-0.5),
                    "down_bias": torch.zeros(self.bottleneck),
                    "up": torch.zeros(width, self.bottleneck),
                    "up_bias": torch.zeros(width),
                }
            )
            bottleneck.settings = self
            bottleneck.to(next(place.parameters()).device)
            place.add_module(_NAME, bottleneck)
            # A function of the module, which holds no module itself: a copy of the model runs its own bottlenecks.
            if self.placement == "parallel":
                place.register_forward_hook(_beside, with_kwargs=True)
            else:
                place.register_forward_hook(_after)
        return model

    def count(self, base: nn.Module) -> int:
        """Return 2md + d + m for each bottleneck of width m and hidden states of width d, as Houlsby et al. do."""
        m, d = self.bottleneck, anatomy.width(base)
        return len(self._places(base)) * (2 * m * d + d + m)

    def merge(self, model: nn.Module) -> nn.Module:
        """Refuse.

        Raises:
            FtlabError: always.
        """
        raise FtlabError(
            "method: Adapter cannot be merged, for no weight matrix computes what its nonlinear bottlenecks do; keep "
            "base and adapter apart, or train a LoRA"
        )

    def _places(self, model: nn.Module) -> list[nn.Module]:
        """Return the modules to change.

        Raises:
            ValueError: there are none, or one that cannot be changed where the settings say.
        """
        places: dict[nn.Module, None] = {}  # in order and once each, for blocks may share a module
        for block in anatomy.blocks(model).values():
            mlp = anatomy.mlp(block)
            places |= dict.fromkeys(anatomy.mixers(block) if self.placement == "houlsby" else [])
            places |= dict.fromkeys([mlp] if mlp is not None else [])
        if not places:
            raise ValueError("its blocks have no MLP for an adapter; take placement: houlsby")
        for place in places:
            kind = type(place).__name__
            if hasattr(place, _NAME):
                raise ValueError(f"its {kind} has an adapter already")
            if self.placement == "parallel" and hasattr(place, "in_features"):
                raise ValueError(f"its MLP is not a module of its own, only a last {kind}; take placement: pfeiffer")
            if self.placement != "parallel" and anatomy.adds_residual(place):
                raise ValueError(f"its {kind} adds the residual before an adapter can act; take placement: parallel")
        return list(places)


def _after(place: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    """Hook: add to a module's output what its bottleneck makes of that output."""
    return _added(place, _hidden(output), output)


def _beside(place: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """Hook: add to a module's output what its bottleneck makes of its input."""
    return _added(place, next(iter((*args, *kwargs.values()))), output)


def _hidden(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output  # attention adds its weights, experts their routing


def _added(place: nn.Module, read: Tensor, output: Any) -> Any:
    from torch.nn import functional

    bottleneck: Any = getattr(place, _NAME)
    down, down_bias, up, up_bias = (bottleneck[name].to(read.dtype) for name in ("down", "down_bias", "up", "up_bias"))
    settings: Adapter = bottleneck.settings
    narrow = getattr(functional, settings.activation)(functional.linear(read, down, down_bias))
    narrow = functional.dropout(narrow, settings.dropout, bottleneck.training)
    hidden = _hidden(output)
    # Some experts put out a flat list of tokens.
    result = hidden + settings.scaling * functional.linear(narrow, up, up_bias).view_as(hidden)
    return (result, *output[1:]) if isinstance(output, tuple) else result

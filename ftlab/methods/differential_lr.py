"""DifferentialLR: learning rates that differ between parts of the model. It adds no parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ftlab.errors import SettingError, require
from ftlab.methods import anatomy
from ftlab.methods.base import Method, trainable

if TYPE_CHECKING:
    from torch import nn


@dataclass
class DifferentialLR(Method):
    """Train parts of the model at their own multiples of the learning rate: alone all of it, in a list what others do.

    Take one of `groups`, `layer_decay`, and `backbone_scale` with `head_scale`; with none it is `layer_decay: 0.8`.
    At the end of a list, after LoRA say, it splits what the others train. A head that is tied to the embeddings is one
    matrix with them and has one rate: the embeddings' under `layer_decay`, the head's under `head_scale`.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, arXiv:1801.06146,
    for rates that differ; Clark et al., "ELECTRA", 2020, arXiv:2003.10555, for a decay from block to block.
    """

    groups_only: ClassVar[bool] = True

    groups: dict[str, float] | None = None
    """Scale of the rate by regular expression, searched for in the names of parameters: `{"lora_B": 16, "mlp": 0.5}`.
    The first that is found decides; the rest of the parameters keep scale 1."""
    layer_decay: float | None = None
    """Scale of each block relative to the one above it; the top block, the final norm and the head have 1, the
    embeddings one factor less than the bottom block. Lower keeps more of the base; 1 / 2.6 is Howard and Ruder's."""
    backbone_scale: float | None = None
    """Scale of everything but the head; below 1 it keeps the features closer to the base's."""
    head_scale: float | None = None
    """Scale of the head."""
    freeze: list[str] = field(default_factory=list)
    """Do not train the parameters in whose name one of these regular expressions is found."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other or make no sense."""
        two = {"backbone_scale": self.backbone_scale, "head_scale": self.head_scale}
        scales = {key: value for key, value in two.items() if value is not None}
        ways = [key for key in ("groups", "layer_decay") if getattr(self, key) is not None] + list(scales)[:1]
        if len(ways) > 1:
            raise SettingError(f"method.{ways[1]}", f"stands beside method.{ways[0]}; leave one of them out")
        if not ways:
            self.layer_decay = 0.8
        if self.layer_decay is not None:
            require(0 < self.layer_decay <= 1, "method.layer_decay", self.layer_decay, "above 0 and at most 1")
        scales |= {f"groups.{pattern}": scale for pattern, scale in (self.groups or {}).items()}
        for key, scale in scales.items():
            require(scale > 0, f"method.{key}", scale, "above 0; name what is not to be trained under freeze")
        anatomy.require_patterns("method.groups", self.groups or {})
        anatomy.require_patterns("method.freeze", self.freeze)

    def apply(self, model: nn.Module) -> nn.Module:
        """Freeze what is to be frozen, and train all else.

        Raises:
            ValueError: weights are packed, or a setting does not fit the model.
        """
        anatomy.refuse_packed(model)
        return self.regroup(model)

    def regroup(self, model: nn.Module) -> nn.Module:
        """Freeze what is to be frozen, and leave the rest as trainable as it is."""
        for parameter in self._frozen(model).values():
            parameter.requires_grad_(False)
        if not trainable(model):
            raise ValueError("freeze leaves nothing to train")
        self.param_groups(model)  # so that faults show before the run begins
        return model

    def count(self, base: nn.Module) -> int:
        """Return the size of all that is not frozen."""
        return anatomy.size(base) - sum(p.numel() for p in self._frozen(base).values())

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return a group for each part that trains anything, named block.0, embeddings, head, or by its pattern.

        Raises:
            ValueError: a scale is set for a part that trains nothing.
        """
        left = trainable(model)
        groups: list[dict[str, Any]] = []
        for name, scale, part in self._parts(model, left):
            ids = {id(p) for p in part.values()}
            params = [p for p in left.values() if id(p) in ids]
            left = {key: p for key, p in left.items() if id(p) not in ids}
            if params:
                groups.append({"name": name, "params": params, "lr_scale": scale})
            elif name in (self.groups or ()):
                raise ValueError(f"earlier patterns of groups take all that {name!r} is found in; write it before them")
            elif getattr(self, f"{name}_scale", None) is not None:
                raise ValueError(f"{name}_scale is set, but nothing of the {name} is trained")
        return groups

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the model itself: nothing was added to it."""
        return model

    def _frozen(self, model: nn.Module) -> dict[str, nn.Parameter]:
        free = trainable(model)
        return {name: p for pattern in self.freeze for name, p in anatomy.matching(pattern, free).items()}

    def _parts(
        self, model: nn.Module, free: dict[str, nn.Parameter]
    ) -> list[tuple[str, float, dict[str, nn.Parameter]]]:
        """Return name, scale and parameters of each part; where parts overlap, the first has it."""
        if self.groups is not None:
            named = [(pattern, scale, anatomy.matching(pattern, free)) for pattern, scale in self.groups.items()]
            return [*named, ("rest", 1.0, free)]
        if self.layer_decay is None:
            return [
                ("head", self.head_scale or 1.0, anatomy.head(model)),
                ("backbone", self.backbone_scale or 1.0, free),
            ]
        blocks = list(anatomy.blocks(model).values())
        scales = [self.layer_decay ** (len(blocks) - i) for i in range(len(blocks) + 1)]  # embeddings, then bottom up
        inner = [(f"block.{i}", scales[i + 1], dict(b.named_parameters())) for i, b in enumerate(blocks)]
        return [*inner, ("embeddings", scales[0], anatomy.below_blocks(model)), ("head", 1.0, free)]

"""Freeze: partial fine-tuning, which trains some of the base's own parameters. It adds none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab.errors import SettingError, require
from ftlab.methods import anatomy
from ftlab.methods.base import Method

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Freeze(Method):
    """Train the blocks or parameters that are named and freeze the rest; with none named, the top block.

    Take one of `last`, `first` and `modules`, or none where `head`, `norms` or `embeddings` say it all. In a list it
    stands before methods that add weights to the blocks, such as LoRA. Where the head is tied to the embeddings, both
    are one matrix: `head` without `embeddings` gives the head a copy of its own and so leaves the features alone, while
    `embeddings` or a pattern that names them trains both.

    Source: Yosinski et al., "How transferable are features in deep neural networks?", 2014, arXiv:1411.1792.
    """

    last: int | None = None
    """Train so many blocks at the top. More learns more and forgets more; `last: 0` with `head: true` keeps all
    features of the base fixed."""
    first: int | None = None
    """Train so many blocks at the bottom, where inputs differ more from the base's than answers do."""
    modules: list[str] | None = None
    r"""Train the parameters in whose name one of these regular expressions is found, as `re.search` does:
    `down_proj`, `layers\.(2[4-9]|3\d)\.mlp`, `^lm_head\.weight$`. Note that `layers.1` is found in `layers.10` too."""
    head: bool = False
    """Also train the layer that turns features into tokens; it has a row for each token, which is much memory."""
    norms: bool = False
    """Also train all normalization layers: few parameters that change much."""
    embeddings: bool = False
    """Also train the input embeddings, which new tokens or another language need."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other or train nothing."""
        ways = [key for key in ("last", "first", "modules") if getattr(self, key) is not None]
        if len(ways) > 1:
            raise SettingError(f"method.{ways[1]}", f"stands beside method.{ways[0]}; leave one of them out")
        further = self.head or self.norms or self.embeddings
        if not ways and not further:
            self.last, ways = 1, ["last"]
        for key in ways:
            value = getattr(self, key)
            require(isinstance(value, list) or value >= 0, f"method.{key}", value, "0 or more")
            require(bool(value) or further, f"method.{key}", value, "enough to train; name a part, such as head: true")
        anatomy.require_patterns("method.modules", self.modules or [])

    def apply(self, model: nn.Module) -> nn.Module:
        """Freeze all but the chosen parameters; nothing is added, so the model's answers are the base's."""
        if self.head and not self.embeddings:
            anatomy.untie_head(model)
        chosen = self._chosen(model)
        if packed := [name for name, p in chosen.items() if not p.is_floating_point()]:
            raise ValueError(f"{packed[0]} is quantized and cannot be trained; load the base in full or choose others")
        model.requires_grad_(False)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        return model

    def count(self, base: nn.Module) -> int:
        """Return the size of the chosen parameters; a head that is tied has the size that its copy will have."""
        return sum(p.numel() for p in self._chosen(base).values())

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the model itself: nothing was added to it."""
        return model

    def _chosen(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the parameters to train by name.

        Raises:
            ValueError: there are fewer blocks, or a pattern is in no name.
        """
        chosen: dict[str, nn.Parameter] = {}
        everything = dict(model.named_parameters())
        for pattern in self.modules or []:
            chosen |= anatomy.matching(pattern, everything)
        if wanted := self.last or self.first:
            blocks = list(anatomy.blocks(model).items())
            if wanted > len(blocks):
                raise ValueError(f"{wanted} blocks are to be trained and it has {len(blocks)}")
            for name, block in blocks[-wanted:] if self.last else blocks[:wanted]:
                chosen |= {f"{name}.{end}": p for end, p in block.named_parameters()}
        for wish, part in (
            (self.head, anatomy.head),
            (self.norms, anatomy.norms),
            (self.embeddings, anatomy.embeddings),
        ):
            chosen |= part(model) if wish else {}
        return chosen

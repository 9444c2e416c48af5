"""LoRA: low-rank updates beside frozen linear layers, through the peft library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab.errors import require
from ftlab.methods.base import Method
from ftlab.methods.peft_format import wrap

if TYPE_CHECKING:
    from torch import nn


@dataclass
class LoRA(Method):
    """Train low-rank updates of linear layers; the base stays frozen.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021, arXiv:2106.09685.
    """

    r: int = 8
    """Rank of each update. Higher learns more, takes more memory, and overfits small data sooner."""
    alpha: float = 16.0
    """The update is scaled by alpha / r. Twice the rank is usual; higher acts like a higher learning rate."""
    dropout: float = 0.0
    """Share of an update's inputs that is zeroed while training, against overfitting."""
    target_modules: list[str] | str = "all-linear"
    """Names of the layers that get an update; `all-linear` means every linear layer but the head."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.r >= 1, "method.r", self.r, "1 or more")
        require(0 <= self.dropout < 1, "method.dropout", self.dropout, "between 0 and 1")

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the updates; they are zero at the start, so the model's answers are the base's."""
        from peft import LoraConfig

        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # annotated int, used as a factor
            lora_dropout=self.dropout,
            target_modules=self.target_modules,
        )
        return wrap(model, config)

"""PTuning: embeddings before those of the input, made by a trained network, through peft. It knows no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ftlab.errors import require
from ftlab.methods.base import BEFORE_A_ROW, Method

if TYPE_CHECKING:
    from torch import nn


@dataclass
class PTuning(Method):
    """Train a small network that makes the embeddings of virtual tokens before every chat; the base stays frozen.

    Source: Liu et al., "GPT Understands, Too", 2021, arXiv:2103.10385.
    """

    starts_as_base: ClassVar[bool] = False

    num_virtual_tokens: int = 20
    """Length of the prompt; each takes the room and the time of a token."""
    encoder: Literal["mlp", "lstm"] = "mlp"
    """Kind of network. `lstm` is the paper's first: two layers in both directions, then two linear ones; slower."""
    encoder_hidden_size: int = 128
    """Width of the network. Wider has more parameters; what is used in the end has the same size."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.num_virtual_tokens >= 1, "method.num_virtual_tokens", self.num_virtual_tokens, "1 or more")
        require(self.encoder_hidden_size >= 1, "method.encoder_hidden_size", self.encoder_hidden_size, "1 or more")

    def why_not_packed(self) -> str:
        """Return that virtual tokens are a row's."""
        return BEFORE_A_ROW

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the network; what it makes at the start is random."""
        from peft import PromptEncoderConfig

        from ftlab.methods.soft_prompts import wrap_prompt

        config = PromptEncoderConfig(
            num_virtual_tokens=self.num_virtual_tokens,
            encoder_reparameterization_type=self.encoder.upper(),
            encoder_hidden_size=self.encoder_hidden_size,
        )
        return wrap_prompt(model, config)

    def count(self, base: nn.Module) -> int:
        """Return tokens x width of an embedding, and the network's weights and biases."""
        width = base.get_input_embeddings().weight.shape[1]  # type: ignore[operator]
        hidden = self.encoder_hidden_size
        table = self.num_virtual_tokens * width
        if self.encoder == "mlp":
            return table + (width + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * width
        # Four gates in two directions; each sees the layer's inputs and its own outputs, with a bias for either.
        lstm = sum(2 * 4 * hidden * (inputs + hidden + 2) for inputs in (width, 2 * hidden))
        return table + lstm + (2 * hidden + 1) * 2 * hidden + (2 * hidden + 1) * width

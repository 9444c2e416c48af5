"""Prefix: trained keys and values before those of every layer, through peft. It knows no trainer and no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ftlab.errors import SettingError, require
from ftlab.methods.anatomy import blocks
from ftlab.methods.base import BEFORE_A_ROW, Method

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Prefix(Method):
    """Train keys and values of virtual tokens in every layer; the base stays frozen.

    Source: Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", 2021, arXiv:2101.00190.
    """

    starts_as_base: ClassVar[bool] = False

    num_virtual_tokens: int = 20
    """Length of the prefix. Longer learns more, and takes memory and time in every layer."""
    init_text: str | None = None
    """The prefix starts as this text before every chat, repeated to fill; without it, as common tokens at random."""
    projection: bool = False
    """Train a network that makes the prefix, as the paper does: steadier at high rates, many more parameters."""
    encoder_hidden_size: int = 512
    """Width of that network. Wider has more parameters; what is used in the end has the same size."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.num_virtual_tokens >= 1, "method.num_virtual_tokens", self.num_virtual_tokens, "1 or more")
        require(self.encoder_hidden_size >= 1, "method.encoder_hidden_size", self.encoder_hidden_size, "1 or more")
        if self.projection and self.init_text is not None:
            raise SettingError("method.init_text", "a network makes the prefix; leave this or projection out")

    def why_not_packed(self) -> str:
        """Return that virtual tokens are a row's."""
        return BEFORE_A_ROW

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the prefix: without a network, what the base itself keeps in its cache of some real tokens."""
        from peft import PrefixTuningConfig

        from ftlab.methods.soft_prompts import keys_and_values, start_ids, wrap_prefix

        start = None
        if not self.projection:
            start = keys_and_values(model, start_ids(model, self.num_virtual_tokens, self.init_text))
        config = PrefixTuningConfig(
            num_virtual_tokens=self.num_virtual_tokens,
            prefix_projection=self.projection,
            encoder_hidden_size=self.encoder_hidden_size,
        )
        wrapped = wrap_prefix(model, config)
        if start is not None:
            wrapped.prompt_encoder["default"].embedding.weight.data.copy_(start)
        return wrapped

    def count(self, base: nn.Module) -> int:
        """Return tokens x layers x keys and values; with a network, its table and its two layers."""
        config = base.config.get_text_config()  # type: ignore[union-attr,operator]
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        outputs = 2 * len(blocks(base)) * width
        if not self.projection:
            return self.num_virtual_tokens * outputs
        hidden = self.encoder_hidden_size
        return self.num_virtual_tokens * width + (width + 1) * hidden + (hidden + 1) * outputs

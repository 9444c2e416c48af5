"""Prompt: trained embeddings before those of the input, through peft. It knows no trainer and no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ftlab.errors import require
from ftlab.methods.base import BEFORE_A_ROW, Method

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Prompt(Method):
    """Train the embeddings of virtual tokens before every chat; the base stays frozen.

    Source: Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", 2021, arXiv:2104.08691.
    """

    starts_as_base: ClassVar[bool] = False

    num_virtual_tokens: int = 20
    """Length of the prompt. Beyond 20 the paper gains little; each takes the room and the time of a token."""
    init_text: str | None = None
    """The prompt starts as this text, repeated to fill; without it, as common tokens at random."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.num_virtual_tokens >= 1, "method.num_virtual_tokens", self.num_virtual_tokens, "1 or more")

    def why_not_packed(self) -> str:
        """Return that virtual tokens are a row's."""
        return BEFORE_A_ROW

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the prompt; it starts from real tokens, which the paper finds better than random numbers."""
        from peft import PromptTuningConfig

        from ftlab.methods.soft_prompts import start_ids, wrap_prompt

        # Not by peft's own start from a text: it counts special tokens in, cuts off what is too long, and may ask at
        # the terminal whether to run a repository's code.
        ids = start_ids(model, self.num_virtual_tokens, self.init_text)
        start = model.get_input_embeddings()(ids)  # type: ignore[operator]
        wrapped = wrap_prompt(model, PromptTuningConfig(num_virtual_tokens=self.num_virtual_tokens))
        wrapped.prompt_encoder["default"].embedding.weight.data.copy_(start.detach())
        return wrapped

    def count(self, base: nn.Module) -> int:
        """Return tokens x width of an embedding."""
        return self.num_virtual_tokens * base.get_input_embeddings().weight.shape[1]  # type: ignore[operator]

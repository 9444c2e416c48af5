"""Learn: which of a chat's tokens count in the loss, and how much. It knows nothing of templates and tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: What opens and closes reasoning inside a message's content.
THINK, END_THINK = "<think>", "</think>"


@dataclass(frozen=True)
class Learn:
    """What of a chat is learnt.

    A message's own `weight` (and `train: false`, which is a weight of 0) holds for all tokens of its turn, the end
    token included. A text alone is always learnt whole.
    """

    on: Literal["all_assistant", "last_assistant", "all"] = "all_assistant"
    """`all_assistant`: every turn of the assistant; `last_assistant`: the last one alone; `all`: every token."""
    reasoning: bool = True
    """False leaves the assistant's reasoning out: `reasoning_content`, and `<think>...</think>` inside content."""

    def weights(self, messages: Sequence[dict[str, Any]]) -> dict[int, float]:
        """Return the weight of each of the assistant's turns by its place in the chat."""
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        last = turns[-1] if turns else None
        return {i: own_weight(messages[i]) if self.on != "last_assistant" or i == last else 0.0 for i in turns}


def own_weight(message: dict[str, Any]) -> float:
    """Return the weight that a message asks for."""
    weight = message.get("weight")
    return 0.0 if message.get("train") is False else 1.0 if weight is None else float(weight)

"""Perplexity: grades how probable a model finds the references. It knows no generated answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.exam.graders.by_model import Measured, ModelGrader
from ftlab.exam.graders.likelihood import likelihoods

if TYPE_CHECKING:
    from ftlab.data.chat import Chat
    from ftlab.data.rows import Row


@dataclass
class Perplexity(ModelGrader):
    """exp(-nll / tokens) points, the geometric mean of the probabilities of the reference's tokens, end token included.

    `nll` is the sum of -log p over them. The total `perplexity` is exp(sum of nll / sum of tokens) over all questions
    (Jelinek et al., "Perplexity, a measure of the difficulty of speech recognition tasks", 1977). Prompts and padding
    do not count.
    """

    def measure(self, model: Any, chat: Chat, rows: Sequence[Row], batch_size: int, title: str) -> list[Measured]:
        """Return for each row its sum and its number of tokens as text, and the points."""
        found = likelihoods(model, chat, [(row, row.messages[-1]) for row in rows], batch_size, title)
        return [
            Measured(
                f"nll {-one.total:.6f} over {one.tokens} tokens",
                math.exp(one.mean) if math.isfinite(one.mean) else 0.0,
            )
            for one in found
        ]

    def totals(self, answers: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        """Return `perplexity` and the number of `tokens`; it is None where the model gave no finite numbers."""
        fields = [answer.split() for answer in answers]
        nll, tokens = sum(float(field[1]) for field in fields), sum(int(field[3]) for field in fields)
        mean = nll / tokens if tokens else math.nan
        return {"perplexity": math.exp(mean) if mean < 700 else None, "tokens": tokens}

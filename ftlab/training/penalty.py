"""Penalty: a regularizer at work in one run, from the loaded base to the logged figure. It knows no formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ftlab.data.chat import Chat
from ftlab.data.module import ChatData
from ftlab.methods.base import Method
from ftlab.training.regularizers.base import Regularizer
from ftlab.training.regularizers.sample import sample
from ftlab.training.regularizers.start import Start


class Penalty:
    """What a run pays for besides the loss; nothing, where there is no regularizer.

    Args:
        regularizer: what computes it.
    """

    def __init__(self, regularizer: Regularizer | None) -> None:
        self.regularizer = regularizer
        self._examples: list[dict[str, torch.Tensor]] = []
        self._start: Start
        self._sum: torch.Tensor | None = None  # over the batches accumulated so far

    @property
    def reads_logits(self) -> bool:
        """Whether the logits of whole batches are needed."""
        return self.regularizer is not None and self.regularizer.reads_logits

    def draw(self, data: ChatData, chat: Chat) -> None:
        """Take the examples that the regularizer wants to see; before the base is loaded, for they may be at fault."""
        if self.regularizer is not None:
            self._examples = sample(self.regularizer, data, chat)

    def watch(self, model: Any, known: Mapping[str, torch.Size]) -> None:
        """Note the trained parameters, before a checkpoint's are read into them.

        Args:
            model: the base with the method applied.
            known: the `shapes` of the base before that.
        """
        if self.regularizer is not None:
            self._start = Start.of(model, known)

    def prepare(self, model: Any, method: Method, device: torch.device) -> None:
        """Let the regularizer get ready, with the model on its device."""
        if self.regularizer is not None:
            batches = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in self._examples]
            self.regularizer.prepare(model, method, self._start.to(model), batches)

    def __call__(self, model: Any, batch: dict[str, torch.Tensor], logits: Any) -> torch.Tensor | float:
        """Return a batch's part of its step's penalty."""
        if self.regularizer is None:
            return 0.0
        part = self.regularizer.penalty(model, batch, logits)
        self._sum = part.detach() if self._sum is None else self._sum + part.detach()
        return part

    def read(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the sum of the parts since the last time as `penalty`, nothing where there are none.

        Args:
            reduce: sums over all devices.
        """
        found, self._sum = self._sum, None
        return {} if found is None else {"penalty": reduce(found)}

"""KLToBase: holds the model's predictions near the base's. It knows no weights by name and no trainer."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftlab.errors import SettingError, require
from ftlab.training.regularizers.base import Regularizer

if TYPE_CHECKING:
    from torch import Tensor

    from ftlab.methods.base import Method
    from ftlab.training.regularizers.start import Start

#: Tokens on which two ways to the base's answers are compared.
PROBE = 8


@dataclass
class KLToBase(Regularizer):
    """Add strength * KL between the base's and the model's next-token distributions to each step's loss.

    The mean over tokens of T^2 KL(p || q), p = softmax(base's logits / T), q = softmax(logits / T): the model may
    change its weights as it likes, so long as it says what the base would. There is no second model: with an adapter of
    peft's the base answers with the adapter switched off, else with the trained weights' old values put in for a
    moment, of which a copy is kept (for `Full` as much memory as the weights). Each batch takes one more forward pass.

    Source: Li and Hoiem, "Learning without Forgetting", 2016, arXiv:1606.09282 (`forward`); Ziegler et al.,
    "Fine-Tuning Language Models from Human Preferences", 2019, arXiv:1909.08593 (`reverse`); Hinton et al.,
    "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, for the temperature and its square.
    """

    strength: float = 0.1
    """Factor of the divergence. Higher keeps more of the base and learns less; 0 changes nothing."""
    temperature: float = 1.0
    """Above 1, the unlikely tokens count more."""
    direction: Literal["forward", "reverse"] = "forward"
    """`forward` is KL(base || model): the model must go on to expect all that the base does. `reverse` is
    KL(model || base): it may drop some of that, but not expect what the base would not."""
    positions: Literal["supervised", "all"] = "supervised"
    """Tokens at which the two are compared: those that the loss counts, by their weights, or those of prompts too. The
    sum is divided by the number of supervised tokens either way."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.strength >= 0, "regularizer.strength", self.strength, "0 or more")
        require(self.temperature > 0, "regularizer.temperature", self.temperature, "above 0")

    def prepare(self, model: Any, method: Method, start: Start, batches: list[dict[str, Tensor]]) -> None:
        """Find out how this model gives the base's answers.

        Raises:
            SettingError: it cannot.
        """
        import torch

        self._start, self._method = start, method
        self._off = method.switched_off(model) is not None
        if method.starts_as_base:
            if self._off:  # a start such as PiSSA's has changed the weights below the adapter
                device = model.get_input_embeddings().weight.device
                probe = {"input_ids": torch.arange(PROBE, device=device)[None]}
                off = self.base_logits(model, probe)
                self._off = False
                self._off = torch.equal(off, self.base_logits(model, probe))
        elif not self._off:
            raise SettingError(
                "regularizer",
                f"KLToBase cannot ask the base: {method.title} changes its answers from the start and has no "
                "switched_off; give it one, or take another regularizer",
            )

    def penalty(self, model: Any, batch: dict[str, Tensor], logits: Any) -> Tensor:
        """Return the batch's part of strength * T^2 * mean KL."""
        from ftlab.data.loader import IGNORE

        if self.positions == "supervised":
            counted, weights = batch["labels"][:, 1:] != IGNORE, batch["weights"][:, 1:]
        else:
            counted = batch["attention_mask"][:, 1:].bool()
            if "position_ids" in batch:  # no token predicts the first one of the next chat in its row
                counted = counted & (batch["position_ids"][:, 1:] != 0)
            weights = counted.to(batch["weights"].dtype)
        model_log = self._log_chances(logits[counted])
        base_log = self._log_chances(self.base_logits(model, batch)[counted])
        one, other = (base_log, model_log) if self.direction == "forward" else (model_log, base_log)
        divergence = (one.exp() * (one - other)).sum(-1) * weights[counted]
        return self.strength * self.temperature**2 * divergence.sum() / batch["step_tokens"]

    def base_logits(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Return what the base gives for a batch, of all tokens but the last; the model is left as it was."""
        import torch

        from ftlab.exam.generation import evaluation_mode
        from ftlab.training.loss import next_token_logits

        with torch.no_grad(), evaluation_mode(model), self._start.restored(model):
            off = self._method.switched_off(model) if self._off else None
            with off or nullcontext():
                return next_token_logits(model, batch)[0]

    def _log_chances(self, logits: Any) -> Tensor:
        import torch

        return (logits.to(torch.promote_types(logits.dtype, torch.float32)) / self.temperature).log_softmax(-1)

"""IA3: trains one scale for each channel of keys, values and MLP activations. An example of a method as a plugin.

A file in `plugins/` is loaded by every `ftlab` command that runs beside it: `ftlab fit ... --method IA3`.
"""

from dataclasses import dataclass
from typing import Any

from ftlab import Method


@dataclass
class IA3(Method):
    """Train a scale for each channel of keys, values and MLP: the fewest parameters of all.

    Source: Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
    2022, arXiv:2205.05638.
    """

    attention: tuple[str, ...] = ("k_proj", "v_proj")
    """Attention layers whose outputs are scaled."""
    mlp: tuple[str, ...] = ("down_proj",)
    """MLP layers whose inputs are scaled."""

    def apply(self, model: Any) -> Any:
        """Add the scales; all are one at the start, so the model's answers are the base's."""
        from peft import IA3Config, TaskType, get_peft_model

        targets = [*self.attention, *self.mlp]
        config = IA3Config(task_type=TaskType.CAUSAL_LM, target_modules=targets, feedforward_modules=list(self.mlp))
        return get_peft_model(model, config)

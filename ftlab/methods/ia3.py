"""IA3: trains one scale for each channel of keys, values and MLP activations. It knows no trainer and no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftlab.methods.anatomy import ends_with, linear_layers, plain
from ftlab.methods.base import Method
from ftlab.methods.peft_format import wrap

if TYPE_CHECKING:
    from torch import nn


@dataclass
class IA3(Method):
    """Train a scale for each channel of keys, values and MLP: the fewest parameters of all.

    Source: Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
    2022, arXiv:2205.05638.
    """

    attention: list[str] | None = None
    """Layers whose outputs are scaled; null means `k_proj` and `v_proj` where the base calls them so, else what peft
    knows of its architecture. Where queries, keys and values are one layer, all three are scaled."""
    feedforward: list[str] | None = None
    """Layers whose inputs are scaled; null means `down_proj`, else what peft knows. An empty list scales none."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Add the scales; all are one at the start, so the model's answers are the base's.

        Raises:
            ValueError: the names are not in the model, or are not known for it.
        """
        from peft import IA3Config

        attention, feedforward = self.targets(model)
        return wrap(model, IA3Config(target_modules=[*attention, *feedforward], feedforward_modules=list(feedforward)))

    def count(self, base: nn.Module) -> int:
        """Return the outputs of the scaled attention layers and the inputs of the scaled MLP layers."""
        attention, feedforward = self.targets(base)
        sizes = linear_layers(base)
        outputs = sum(sizes[name][1] for names in attention.values() for name in names)
        return outputs + sum(sizes[name][0] for names in feedforward.values() for name in names)

    def targets(self, base: nn.Module) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return the names of the layers whose outputs and whose inputs are scaled, by the names in the settings.

        Raises:
            ValueError: a name is not in the model, or none is known for it.
        """
        from peft.utils import constants

        layers = list(linear_layers(base))
        kind: str = plain(base).config.model_type
        inputs = constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(kind, [])
        both = constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind, [])
        outputs = [name for name in both if name not in inputs]

        def find(key: str, chosen: list[str] | None, usual: list[str], known: list[str]) -> dict[str, list[str]]:
            options = [chosen] if chosen is not None else [usual, known]
            for names in options:
                found = {end: [n for n in layers if ends_with(n, (end,))] for end in names}
                if all(found.values()) and (found or chosen is not None):
                    return found
            short = sorted({name.rpartition(".")[2] for name in layers})
            raise ValueError(f"{key}: set it to names of this {kind} model's linear layers: {', '.join(short)}")

        return (
            find("attention", self.attention, ["k_proj", "v_proj"], outputs),
            find("feedforward", self.feedforward, ["down_proj"], inputs),
        )

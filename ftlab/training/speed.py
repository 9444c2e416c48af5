"""Speed: the settings of what makes training faster and smaller without changing its numbers. It computes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from ftlab.errors import require


@dataclass
class Speed:
    """Shortcuts of training. Losses and gradients are those of the plain way up to rounding: in fp32 a part in 1e5.

    Each is tried on the model and the method at hand before training, and left out, which the log says, where it does
    not give the same numbers.
    """

    unpadded: bool = True
    """Lay the chats of a batch end to end, with attention confined to each, so that no padding is computed. Otherwise
    chats of like length share batches, and are padded to the longest."""
    supervised_head: bool = True
    """Compute the model's predictions only where something is learnt, a few tokens at a time: with large vocabularies
    most of the memory, and much of the time."""
    fused: bool = True
    """Compute each linear layer together with its low-rank update, saving its input once, and on CPUs where it is
    faster with oneDNN; norms and rotary embeddings in few passes over memory. Layers with dropout or another variant of
    LoRA, and whatever gives other numbers when it is tried, stay as they are."""
    trunk_cache_gb: float = 10.0
    """Most disk space, in GB, for what the frozen blocks below the first trained one give, so that they are computed in
    the first epoch only. 0 computes them in every epoch. Nothing is cached where dropout below makes it random."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.trunk_cache_gb >= 0, "speed.trunk_cache_gb", self.trunk_cache_gb, "0 or more")

"""Optimizer and schedule from a method's parameter groups. It knows neither models nor Lightning."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from ftlab.errors import require
from ftlab.training.muon import MuonAdamW


@dataclass
class Optimizer:
    """The optimizer and the course of its learning rate."""

    name: Literal["adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "muon"] = "adamw"
    """`adamw` (Loshchilov and Hutter, 2019, arXiv:1711.05101) suits every method. `muon` (Jordan et al., 2024, scaled
    as in Liu et al., 2025, arXiv:2502.16982, so that AdamW's rates fit) orthogonalizes the update of weight matrices:
    it needs fewer tokens when a model is trained from scratch. Vectors and embeddings stay with AdamW. The others are
    AdamW by bitsandbytes: `8bit` (Dettmers et al., 2021, arXiv:2110.02861) keeps the moments in a quarter of the
    memory, a little less exact, but those of embeddings and of tensors below 4096 numbers; `paged` lets them move to
    the CPU's memory when the GPU's is short, and on a CPU changes nothing."""
    lr: float = 2e-4
    """Peak learning rate. Too high and the loss jumps or never falls; too low and it falls too slowly."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Memory of the mean and of the square of the gradients; a lower second value adapts faster."""
    eps: float = 1e-8
    """Added to the denominator, against division by zero."""
    weight_decay: float = 0.0
    """Pull towards zero at each step, times the learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Course of the rate after the warmup: level, or falling to `min_lr_ratio` along a line or half a cosine."""
    min_lr_ratio: float = 0.0
    """Share of the peak rate at which the last step ends."""
    warmup: float = 0.03
    """Steps in which the rate rises from zero: below 1 a share of all steps, from 1 on their number."""
    gradient_clip: float = 1.0
    """Largest norm of all gradients together; longer ones are scaled down. 0 switches it off."""
    fused: bool = True
    """Let `adamw` step all parameters in one call, three to five times as fast and equal up to rounding; the others are
    as they are."""

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        require(self.lr > 0, "optimizer.lr", self.lr, "above 0")
        require(0 <= self.min_lr_ratio <= 1, "optimizer.min_lr_ratio", self.min_lr_ratio, "between 0 and 1")
        for key in ("weight_decay", "warmup", "gradient_clip", "eps"):
            require(getattr(self, key) >= 0, f"optimizer.{key}", getattr(self, key), "0 or more")

    def build(
        self, groups: list[dict[str, Any]], total_steps: int, embeddings: set[int]
    ) -> tuple[torch.optim.Optimizer, LambdaLR]:
        """Return the optimizer and its schedule, stepped once per optimizer step.

        Args:
            groups: a method's `param_groups`; `lr_scale` multiplies the peak rate.
            total_steps: optimizer steps of the whole run.
            embeddings: ids of the parameters that embed tokens, at either end.
        """
        scaled = [{**g, "lr": self.lr * g.get("lr_scale", 1.0)} for g in groups]
        common: dict[str, Any] = {
            "lr": self.lr,
            "betas": self.betas,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }
        optimizer: torch.optim.Optimizer
        if self.name == "muon":
            optimizer = MuonAdamW(scaled, embeddings, **common)
        elif self.name == "adamw":
            optimizer = torch.optim.AdamW(scaled, **common, fused=self.fused or None)
            # It could undo the scaling of fp16 itself, but then would gradients be clipped while they are scaled.
            optimizer._step_supports_amp_scaling = False
        else:
            optimizer = _from_bitsandbytes(self.name, scaled, embeddings, common)
        return optimizer, LambdaLR(optimizer, lambda step: self.rate_at(step, total_steps))

    def override(self, optimizer: torch.optim.Optimizer, schedule: LambdaLR) -> None:
        """Let these settings win over the ones that a resumed checkpoint brought along; its moments stay.

        Args:
            optimizer: as `build` made it and a checkpoint changed it.
            schedule: likewise.
        """
        rate = schedule.lr_lambdas[0](schedule.last_epoch)
        for i, group in enumerate(optimizer.param_groups):
            schedule.base_lrs[i] = group["initial_lr"] = self.lr * group.get("lr_scale", 1.0)
            group["lr"] = group["initial_lr"] * rate
            group["weight_decay"] = self.weight_decay
            if "betas" in group:
                group["betas"], group["eps"] = self.betas, self.eps
            if self.name == "adamw":
                group["fused"] = self.fused or None
                for p in group["params"]:
                    count = optimizer.state.get(p, {}).get("step")
                    if count is not None:
                        optimizer.state[p]["step"] = count.to(p.device if self.fused else "cpu")

    def rate_at(self, step: int, total_steps: int) -> float:
        """Return the learning rate of a step (counted from 0) as a share of the peak."""
        warmup = self.warmup * total_steps if self.warmup < 1 else self.warmup
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return 1.0
        done = min(1.0, (step - warmup) / max(1.0, total_steps - warmup))
        falling = 1 - done if self.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * falling


def _from_bitsandbytes(
    name: str, groups: list[dict[str, Any]], embeddings: set[int], common: dict[str, Any]
) -> torch.optim.Optimizer:
    from bitsandbytes import optim

    warnings.filterwarnings("ignore", "Paged optimizers are not supported on CPU")  # the setting's text says so
    classes = {"adamw_8bit": optim.AdamW8bit, "paged_adamw": optim.PagedAdamW, "paged_adamw_8bit": optim.PagedAdamW8bit}
    manager = optim.GlobalOptimManager.get_instance()
    manager.initialize()  # it goes by ids, and those of an earlier run's parameters may be in use again
    kept = [p for group in groups for p in group["params"] if id(p) in embeddings]
    manager.override_config(kept, "optim_bits", 32)
    return classes[name](groups, **common)

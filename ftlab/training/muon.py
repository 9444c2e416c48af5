"""MuonAdamW: torch's Muon for weight matrices and AdamW for the rest, as one optimizer for Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class MuonAdamW(torch.optim.Optimizer):
    """Two optimizers behind one face; each group is split in two that keep its name and learning rate.

    Args:
        groups: parameter groups.
        embeddings: ids of parameters that are matrices and yet AdamW's.
        lr: learning rate of groups without their own.
        betas: AdamW's.
        eps: AdamW's.
        weight_decay: of both.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        embeddings: set[int],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        matrices: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for group in groups:
            for part, wanted in ((matrices, True), (others, False)):
                params = [p for p in group["params"] if (p.ndim == 2 and id(p) not in embeddings) is wanted]
                if params:
                    part.append({**group, "params": params})
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(
                torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        """Let a schedule that writes to these groups write to the parts' own."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return both states."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load both states."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

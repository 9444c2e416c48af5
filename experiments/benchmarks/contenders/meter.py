"""Meter: tokens, CPU time and memory of a training loop from a step on. It knows no trainer."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: What all train with: LoRA on all linear layers, AdamW at a constant rate, gradients clipped at a norm of 1.
BATCH, MAX_LENGTH, RATE, CLIP = 8, 512, 1e-3, 1.0
RANK, ALPHA = 8, 16

#: The label of what is not learnt.
IGNORE = -100


def arguments(**flags: str) -> argparse.Namespace:
    """Return the options of every contender: the folder of the work, seed, threads, warm-up.

    Args:
        flags: further switches by name, with their help.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True, help="folder with model/ and train.jsonl")
    parser.add_argument("--warmup", type=int, default=4, help="first steps, which are not measured")
    parser.add_argument("--seed", type=int, default=0, help="of the order of chats")
    parser.add_argument("--threads", type=int, default=1)
    for flag, text in flags.items():
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    return parser.parse_args()


class Meter:
    """Counts from the end of the warm-up to the end of the last step.

    Args:
        warmup: steps that are left out.
    """

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.steps = 0
        self.trained = 0
        self.tokens = 0
        self.padded = 0
        self.learnt = 0
        self.losses: list[float] = []
        self.peak = 0
        self._begin = self._end = (0.0, 0.0)

    def model(self, model: Any) -> None:
        """Count the parameters that are trained, for all contenders train the same ones."""
        self.trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    def batch(self, inputs: Mapping[str, Any]) -> None:
        """Count the tokens of a batch that is about to be trained, the padding apart, and those that are learnt."""
        size, mask = inputs["input_ids"].numel(), inputs.get("attention_mask")
        real = size if mask is None or mask.dim() != 2 else int(mask.sum())
        if self.steps >= self.warmup:
            self.tokens += real
            self.padded += size - real
            self.learnt += int((inputs["labels"] != IGNORE).sum())

    def step(self, loss: float | None = None) -> None:
        """End an optimizer step."""
        wait_for_gpu()
        self.steps += 1
        self._end = time.process_time(), time.perf_counter()
        if self.steps == self.warmup:
            self._begin = self._end
        if loss is not None:
            self.losses.append(loss)
        self.look()

    def look(self) -> None:
        """Look at the peak of memory, before something resets it."""
        self.peak = max(self.peak, peak_bytes())

    def report(self, packages: list[str]) -> None:
        """Print what was measured as the last line: one of JSON.

        Args:
            packages: whose versions are told.
        """
        if self.steps <= self.warmup:
            raise SystemExit(f"{self.steps} steps are no more than the warm-up of {self.warmup}")
        found = {
            "steps": self.steps - self.warmup,
            "tokens": self.tokens,
            "trained": self.trained,
            "learnt": self.learnt / self.tokens,
            "padding": self.padded / (self.tokens + self.padded),
            "cpu_seconds": self._end[0] - self._begin[0],
            "wall_seconds": self._end[1] - self._begin[1],
            "peak_bytes": self.peak,
            "losses": self.losses,
            "versions": {name: version(name) for name in packages},
        }
        print("\n" + json.dumps(found), flush=True)


def wait_for_gpu() -> None:
    """Wait until a GPU that is used has done all it was told to."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def peak_bytes() -> int:
    """Return the most memory in use so far: of the GPU where one is used, else resident of this process."""
    import torch

    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "Linux tells it"
    return int(found[1]) * 1024

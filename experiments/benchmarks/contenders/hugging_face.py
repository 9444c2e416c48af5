"""Hugging Face: how every trainer on top of transformers' Trainer is measured, and what all of them are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meter import BATCH, CLIP, RATE, Meter
from transformers import TrainerCallback


def training_settings(output: Path, seed: int) -> dict[str, Any]:
    """Return training arguments: one epoch in fp32 on the CPU, without checkpoints, logging to nowhere.

    Args:
        output: folder for what is written all the same.
        seed: of the order of chats.
    """
    return {
        "output_dir": str(output),
        "num_train_epochs": 1,
        "per_device_train_batch_size": BATCH,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": CLIP,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "seed": seed,
        "dataloader_num_workers": 0,
        "dataloader_drop_last": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


class Measure(TrainerCallback):
    """Tells the meter of batches, steps and losses.

    Args:
        meter: what counts.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Look at the model, and watch what goes into it."""

        def count(module: Any, args: Any, inputs: dict[str, Any]) -> None:
            self.meter.batch(inputs)

        self.meter.model(model)
        model.register_forward_pre_hook(count, with_kwargs=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step."""
        self.meter.step()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Note the loss."""
        if "loss" in logs:
            self.meter.losses.append(float(logs["loss"]))

"""HF Trainer: transformers' Trainer on peft's model, with the raw loop's data."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from chats import collate, encode, load_model
from hugging_face import Measure, training_settings
from meter import Meter, arguments
from transformers import Trainer, TrainingArguments


def main() -> None:
    """Train one epoch."""
    args = arguments()
    torch.set_num_threads(args.threads)
    meter = Meter(args.warmup)
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(**training_settings(Path(folder), args.seed))
        trainer = Trainer(
            load_model(args.work),
            settings,
            train_dataset=encode(args.work),  # type: ignore[arg-type]
            data_collator=collate,
            callbacks=[Measure(meter)],
        )
        trainer.train()
    meter.report(["torch", "transformers", "peft", "accelerate"])


if __name__ == "__main__":
    main()

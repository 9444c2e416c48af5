"""TRL: SFTTrainer, which reads and renders the chats itself, with and without packing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from chats import lora_settings
from datasets import Dataset
from hugging_face import Measure, training_settings
from meter import MAX_LENGTH, Meter, arguments
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer


def main() -> None:
    """Train one epoch."""
    args = arguments(packing="lay several chats in a row")
    torch.set_num_threads(args.threads)
    meter = Meter(args.warmup)
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            **training_settings(Path(folder), args.seed),
            model_init_kwargs={"dtype": "float32"},
            max_length=MAX_LENGTH,
            assistant_only_loss=True,
            packing=args.packing,
        )
        trainer = SFTTrainer(
            str(args.work / "model"),
            settings,
            train_dataset=Dataset.from_json(str(args.work / "train.jsonl"), cache_dir=folder),
            peft_config=LoraConfig(**lora_settings()),
            callbacks=[Measure(meter)],
        )
        trainer.train()
    meter.report(["torch", "transformers", "peft", "trl"])


if __name__ == "__main__":
    main()

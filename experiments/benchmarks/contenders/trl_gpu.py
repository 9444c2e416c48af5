"""TRL on a GPU: SFTTrainer in bf16 with packed rows and Liger's kernels, on LoRA or QLoRA."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from hugging_face import Measure, training_settings
from meter import ALPHA, Meter, arguments
from peft import LoraConfig
from transformers import BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

RANK, LENGTH, ROWS = 16, 2048, 4


def main() -> None:
    """Train one epoch."""
    args = arguments(quantized="the base in 4 bits", cpu="on a CPU, to see that it runs")
    meter = Meter(args.warmup)
    loading: dict[str, Any] = {"dtype": "bfloat16"}
    if importlib.util.find_spec("flash_attn"):
        loading["attn_implementation"] = "flash_attention_2"
    if args.quantized:
        loading["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    with tempfile.TemporaryDirectory() as folder:
        told = training_settings(Path(folder), args.seed)
        told |= {"use_cpu": args.cpu, "bf16": True, "per_device_train_batch_size": ROWS, "learning_rate": 1e-4}
        settings = SFTConfig(
            **told,
            model_init_kwargs=loading,
            max_length=LENGTH,
            assistant_only_loss=True,
            packing=True,
            use_liger_kernel=not args.cpu,
        )
        trainer = SFTTrainer(
            str(args.work / "model"),
            settings,
            train_dataset=Dataset.from_json(str(args.work / "train.jsonl"), cache_dir=folder),
            peft_config=LoraConfig(
                r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
            callbacks=[Measure(meter)],
        )
        trainer.train()
    meter.report(["torch", "transformers", "peft", "trl"])


if __name__ == "__main__":
    main()

"""ms-swift: its own `sft_main`, as `swift sft` calls it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from hugging_face import Measure, training_settings
from meter import ALPHA, MAX_LENGTH, RANK, Meter, arguments
from swift.arguments import SftArguments
from swift.callbacks import callbacks_map
from swift.pipelines import sft_main


def main() -> None:
    """Train one epoch."""
    args = arguments()
    torch.set_num_threads(args.threads)
    meter = Meter(args.warmup)
    callbacks_map["measure"] = lambda settings, trainer: Measure(meter)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = training_settings(Path(folder), args.seed)
        settings |= {"report_to": ["none"], "gradient_accumulation_steps": 1}
        sft_main(
            SftArguments(
                **settings,
                model=str(args.work / "model"),
                model_type="qwen2",
                template="chatml",
                torch_dtype="float32",
                tuner_type="lora",
                lora_rank=RANK,
                lora_alpha=ALPHA,
                lora_dropout=0.0,
                target_modules=["all-linear"],
                dataset=[str(args.work / "train.jsonl")],
                split_dataset_ratio=0.0,
                max_length=MAX_LENGTH,
                callbacks=["measure"],
            )
        )
    meter.report(["torch", "transformers", "peft", "ms-swift"])


if __name__ == "__main__":
    main()

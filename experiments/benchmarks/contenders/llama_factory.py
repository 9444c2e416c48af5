"""LLaMA-Factory: its own `run_exp`, as `llamafactory-cli train` calls it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from meter import ALPHA, MAX_LENGTH, RANK, Meter, arguments

os.environ["DISABLE_VERSION_CHECK"] = "1"  # it refuses versions that it was not tried with

from hugging_face import Measure, training_settings
from llamafactory.train.tuner import run_exp

#: How its data are described: as `messages`, with the template that the tokenizer brings.
DATA: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def main() -> None:
    """Train one epoch."""
    args = arguments()
    torch.set_num_threads(args.threads)
    meter = Meter(args.warmup)
    with tempfile.TemporaryDirectory() as folder:
        told = {"chats": {"file_name": str(args.work.resolve() / "train.jsonl"), **DATA}}
        Path(folder, "dataset_info.json").write_text(json.dumps(told), encoding="utf-8")
        settings = training_settings(Path(folder), args.seed)
        del settings["gradient_checkpointing"]  # it has a name of its own
        run_exp(
            settings
            | {
                "model_name_or_path": str(args.work / "model"),
                "stage": "sft",
                "do_train": True,
                "finetuning_type": "lora",
                "lora_rank": RANK,
                "lora_alpha": ALPHA,
                "lora_dropout": 0.0,
                "lora_target": "all",
                "disable_gradient_checkpointing": True,
                "dataset_dir": folder,
                "dataset": "chats",
                "cutoff_len": MAX_LENGTH,
            },
            [Measure(meter)],
        )
    meter.report(["torch", "transformers", "peft", "llamafactory"])


if __name__ == "__main__":
    main()

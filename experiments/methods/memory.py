"""Memory: peak memory of a training step of each method at the shape of a large model with random weights.

    python experiments/methods/memory.py                       # Qwen2.5-7B's shape; wants a GPU of 140 GB for Full
    python experiments/methods/memory.py --shape small --methods lora qlora   # a minute on a CPU, to see that it runs

Batch 1, length 512, gradient checkpointing, bf16 weights, three steps of AdamW. Each method has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from ftlab import Adapter, Base, FineTuner, Full, LoRA, Method, Optimizer, Prefix, QLoRA
from ftlab.callbacks.meter import peak_bytes

SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-7b": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
    "small": {
        "vocab_size": 8192,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    },
}
METHODS: dict[str, Method] = {
    "full": Full(),
    "lora": LoRA(r=8, alpha=16),
    "qlora": QLoRA(r=8, alpha=16),
    "adapter": Adapter(bottleneck=64),
    "prefix": Prefix(num_virtual_tokens=20),
}
LENGTH, STEPS = 512, 3


def main() -> None:
    """Write the random base once, then measure each method in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="qwen2.5-7b")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--base", type=Path, help="folder of a base that is there already; also used by the processes")
    args = parser.parse_args()
    if args.base:
        [name] = args.methods
        print(json.dumps(measure(name, args.base)))
        return
    print("| method | peak memory | loss of three steps |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_base(args.shape, Path(folder))
        for name in args.methods:
            command = [sys.executable, __file__, "--methods", name, "--base", folder]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                print(f"| {name} | {result.stderr.strip().splitlines()[-1]} | |")
                continue
            found = json.loads(result.stdout.splitlines()[-1])
            print(f"| {name} | {found['peak_bytes'] / 1e9:.1f} GB | {', '.join(f'{x:.2f}' for x in found['losses'])} |")


def write_base(shape: str, folder: Path) -> None:
    """Write a model of the shape with random bf16 weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("qwen2", **SHAPES[shape])
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    Base().load_chat().tokenizer.save_pretrained(folder)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Take three steps; return the peak memory of the device in bytes, and the losses."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = Base(str(folder), dtype="bfloat16", gradient_checkpointing=True)
    tuner = FineTuner(base, METHODS[name], Optimizer(lr=1e-5), seed=0)
    tuner.configure_model()
    tuner.model.to(device)
    ids = torch.randint(0, 8000, (1, LENGTH), generator=torch.Generator().manual_seed(0)).to(device)
    ones = torch.ones_like(ids)
    batch = {"input_ids": ids, "attention_mask": ones, "labels": ids, "weights": ones.float()}
    optimizer, _ = tuner.optimizer.build(tuner.method.param_groups(tuner.model), STEPS, set())
    losses = []
    for _ in range(STEPS):
        with torch.autocast(device, torch.bfloat16):
            found = tuner.way.losses(batch)
        mean = found.total / found.weights.sum()
        mean.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(mean.detach()))
    return {"peak_bytes": peak_bytes(), "losses": losses}


if __name__ == "__main__":
    main()

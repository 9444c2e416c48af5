"""GPU: ftlab and TRL with Liger's kernels on packed rows at the shape of Qwen2.5-1.5B, in bf16, LoRA and QLoRA.

    python experiments/benchmarks/gpu.py                  # wants a GPU, and `pip install liger-kernel`
    python experiments/benchmarks/gpu.py --cpu            # a tiny model with LoRA on a CPU, to see that it runs

Rank 16 on all linear layers, rows of 2,048 tokens, four a step. MFU is the share of the GPU's peak that 4 operations
for each weight and token come to: forward, and backward through weights that are frozen.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", "..", "contenders"))
from ftlab_fit import fit, settings
from measuring import machine
from peers import FOLDER
from recording import put_table
from work import SHAPES, synthetic_chats, write_model

HERE = Path(__file__).parent

QWEN = {
    "vocab_size": 151936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
RANK, LENGTH, ROWS, WARMUP = 16, 2048, 4, 5
CHATS, FEW = 800, 240
METHODS = ("lora", "qlora")

#: Dense bf16 operations a second of GPUs by a part of their names.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}


def main() -> None:
    """Measure each side with each method in a process of its own; write gpu.json and the table of the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="a tiny model with LoRA on a CPU, to see that it runs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for models, data and caches")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for gpu.json")
    args = parser.parse_args()
    if not (args.cpu or torch.cuda.is_available()):
        raise SystemExit("no GPU here: the figures of GPUs stay empty (--cpu shows that the script runs)")
    os.environ |= {"HF_HUB_OFFLINE": "1", "FTLAB_CACHE": str((args.folder / "cache").resolve())}
    work = write_gpu_work(args.folder / "work", args.cpu)
    turns = [(name, method) for method in (METHODS[:1] if args.cpu else METHODS) for name in ("ftlab", "trl")]
    found = {}
    for name, method in tqdm(turns, unit=" runs", delay=2, leave=False):
        found[f"{name} {method}"] = (ours if name == "ftlab" else trl)(work, method, args.cpu)
    told = {"device": device(args.cpu), "date": date.today().isoformat(), "runs": found}
    told["mfu"] = {name: mfu(run, work) for name, run in found.items()}
    print(table(told))
    if not args.cpu:
        (args.results / "gpu.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        if args.results == HERE:
            put_table(HERE / "README.md", "gpu", table(told))


def write_gpu_work(folder: Path, cpu: bool) -> Path:
    """Write chats and a model with random weights in bf16 where they are not yet; return their folder."""
    work = folder / ("gpu-tiny" if cpu else "gpu")
    if not (work / "train.jsonl").is_file():
        write_model(work / "model", SHAPES["tiny"] if cpu else QWEN, dtype="bfloat16")
        lines = [json.dumps(row) + "\n" for row in synthetic_chats(FEW if cpu else CHATS)]
        (work / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    return work


def ours(work: Path, method: str, cpu: bool) -> dict[str, Any]:
    """Return what `ftlab fit` reports."""
    told = settings(work, WARMUP, seed=0, threads=torch.get_num_threads())
    attention = {"attention": "flash_attention_2"} if importlib.util.find_spec("flash_attn") else {}
    told["model"] |= {"dtype": "bfloat16"} | attention
    told["method"] = {"class_path": "QLoRA" if method == "qlora" else "LoRA", "init_args": {"r": RANK, "alpha": 16}}
    told["data"] |= {"max_length": LENGTH, "packing": True, "batch_size": ROWS}
    told["optimizer"] |= {"lr": 1e-4}
    told["trainer"] |= {"accelerator": "cpu" if cpu else "gpu", "devices": 1, "precision": "bf16-mixed"}
    return fit(told)


def trl(work: Path, method: str, cpu: bool) -> dict[str, Any]:
    """Return what TRL's trainer reports.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, str(HERE / "contenders" / "trl_gpu.py"), "--work", str(work), "--warmup", str(WARMUP)]
    command += ["--quantized"] * (method == "qlora") + ["--cpu"] * cpu
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"trl: {result.stderr.strip()[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def device(cpu: bool) -> str:
    """Return what computed."""
    return machine() if cpu else torch.cuda.get_device_name()


def mfu(run: dict[str, Any], work: Path) -> float | None:
    """Return the share of the GPU's peak that was used; None where the peak is not known."""
    from transformers import AutoConfig, AutoModelForCausalLM

    peak = next((peak for part, peak in PEAKS.items() if torch.cuda.is_available() and part in device(False)), None)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(work / "model"))
    weights = sum(parameter.numel() for parameter in model.parameters())  # tied: the embedding counts as the head
    return 4 * weights * run["tokens"] / run["wall_seconds"] / peak if peak else None


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["| | tokens/s | MFU | peak memory |", "|---|---|---|---|"]
    for name, run in found["runs"].items():
        share = "" if found["mfu"][name] is None else f"{100 * found['mfu'][name]:.0f} %"
        speed = run["tokens"] / run["wall_seconds"]
        lines.append(f"| {name} | {speed:,.0f} | {share} | {run['peak_bytes'] / 1e9:.1f} GB |".replace("  |", " |"))
    return "\n".join(lines) + f"\n\n{found['date']}, {found['device']}.\n"


if __name__ == "__main__":
    main()

"""Memory: what each setting that saves memory saves, and what it costs in time. It knows no other library.

    .venv/bin/python experiments/benchmarks/memory.py

Each figure is a real fine-tuning in a process of its own with one thread, so that peaks are apart: a Qwen2 of random
weights, every batch 8 chats of 512 tokens. Time is that of the processor, which other work on the machine does not
change. All settings take turns, and medians over the turns are told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", ".."))
from recording import put_table
from work import SHAPES, Writer, chat, count, write_model

HERE = Path(__file__).parent

#: Chats of a batch, tokens of each, steps of a run, and the first of them that are not measured.
ROWS, TOKENS, STEPS, WARM = 8, 512, 6, 2


@dataclass(frozen=True)
class Case:
    """A run: what differs from the defaults."""

    setting: str
    """As in the YAML."""
    method: str = "LoRA"
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("defaults"),
    Case("`model.gradient_checkpointing: true`", model={"gradient_checkpointing": True}),
    Case("`model.gradient_checkpointing: 2`", model={"gradient_checkpointing": 2}),
    Case("`model.dtype: bfloat16`", model={"dtype": "bfloat16"}),
    Case("`trainer.precision: bf16-mixed`", trainer={"precision": "bf16-mixed"}),
    Case("defaults", "Full"),
    Case("`optimizer.fused: false`", "Full", optimizer={"fused": False}),
    Case("`optimizer.name: adamw_8bit`", "Full", optimizer={"name": "adamw_8bit"}),
]

#: Settings that do nothing without a GPU.
GPU_ONLY = ["`model.offload_activations: true`", "`model.stream: true`", "`optimizer.name: paged_adamw`"]


def write_work(folder: Path) -> None:
    """Write the model and chats of exactly `TOKENS` tokens."""
    write_model(folder / "model", SHAPES["small"])
    writer = Writer(random.Random(0))
    empty = count(chat("", "")["messages"])
    half = (TOKENS - empty) // 2
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(ROWS * STEPS):
            row = chat(writer.text(half), writer.text(TOKENS - empty - half))
            file.write(json.dumps(row) + "\n")


def measure(folder: Path, case: Case) -> dict[str, float]:
    """Fit once in this process; return the peak in bytes and the processor's seconds for a token."""
    from time import process_time

    import lightning.pytorch as pl

    from ftlab import Base, ChatData, FineTuner, Full, LoRA, Optimizer, WandB, fit
    from ftlab.cli.libraries import import_libraries

    class Clock(pl.Callback):
        def __init__(self) -> None:
            self.ends: list[float] = []
            self.tokens: list[int] = []

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.ends.append(process_time())
            self.tokens.append(int(batch["attention_mask"].sum()))

    import_libraries()
    clock = Clock()
    method = LoRA(r=8) if case.method == "LoRA" else Full()
    tuner = FineTuner(Base(str(folder / "model"), **case.model), method, Optimizer(**case.optimizer), seed=7)
    options: dict[str, Any] = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False} | case.trainer
    data = ChatData(train=str(folder / "train.jsonl"), max_length=TOKENS, batch_size=ROWS)
    run = fit(tuner, data, early_stopping=None, wandb=WandB(mode="off"), memorisation=0, callbacks=[clock], **options)
    seconds = clock.ends[-1] - clock.ends[WARM - 1]
    memory = run.summary["memory"]
    return {"peak_bytes": memory["peak_bytes"], "seconds_per_token": seconds / sum(clock.tokens[WARM:])}


def measure_apart(folder: Path, number: int) -> dict[str, float]:
    """Measure a case in a process of its own."""
    result = folder / "result.json"
    command = [sys.executable, str(Path(__file__).resolve()), "--case", str(number), "--work", str(folder)]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{CASES[number].setting}: {done.stderr.strip()[-2000:]}")
    return json.loads(result.read_text(encoding="utf-8"))


def table(results: list[dict[str, Any]]) -> str:
    """Return the results in Markdown."""
    lines = ["| method | setting | peak memory | time per token |", "|---|---|---|---|"]
    plain: dict[str, Any] = {}
    for each in results:
        base = plain.setdefault(each["method"], each)
        memory = f"{each['peak_bytes'] / 1e9:.2f} GB"
        time = f"{each['seconds_per_token'] * 1e6:,.0f} µs"
        if each is not base:
            memory += f" ({each['peak_bytes'] / base['peak_bytes'] - 1:+.0%})"
            time += f" ({each['seconds_per_token'] / base['seconds_per_token'] - 1:+.0%})"
        lines.append(f"| {each['method']} | {each['setting']} | {memory} | {time} |")
    lines += [f"| any | {setting} | GPU only, not measured | |" for setting in GPU_ONLY]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure everything, write memory.json and the table of the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--results", type=Path, default=HERE / "memory.json")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        found = measure(options.work, CASES[options.case])
        (options.work / "result.json").write_text(json.dumps(found), encoding="utf-8")
        return
    turns: list[list[dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_work(folder)
        for _ in range(options.turns):
            turns.append([measure_apart(folder, i) for i in range(len(CASES))])
            record(turns, options.results)  # each time, for a turn takes minutes
    found = table(json.loads(options.results.read_text(encoding="utf-8"))["results"])
    print(found)
    if options.results == HERE / "memory.json":
        put_table(HERE / "README.md", "memory", found)


def record(turns: list[list[dict[str, float]]], file: Path) -> None:
    """Write the medians over the turns so far, with what they were measured on."""
    results = [
        asdict(case)
        | {key: statistics.median(turn[i][key] for turn in turns) for key in turns[0][i]}
        | {"turns": [turn[i] for turn in turns]}
        for i, case in enumerate(CASES)
    ]
    packages = ("torch", "transformers", "peft", "lightning", "bitsandbytes")
    about = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {package: version(package) for package in packages},
        "command": "python experiments/benchmarks/memory.py",
    }
    file.write_text(json.dumps(about | {"results": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

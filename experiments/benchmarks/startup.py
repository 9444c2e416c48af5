"""Start-up: CPU seconds from the command to the end of the first optimizer step, of `ftlab fit` and of a raw script.

    OMP_NUM_THREADS=1 python experiments/benchmarks/startup.py      # 5 rounds, a few minutes

The raw script imports torch, transformers and peft, loads the same model, tokenises the same 1,000 chats, adds the same
LoRA and steps once, on one chat, for with more of them ftlab's faster step would hide its start. Both run in turn, each
time in a new process that ends after its first step. `ftlab fit` has no exam here; its W&B run is the default one. With
`again` its cache knows the data, with `first` it is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

#: What is compared, the raw script first.
WAYS = ("raw", "again", "first")
#: What `again` may take, as a multiple of the raw script's.
LARGEST = 1.15
BATCH, RANK, ALPHA, RATE = 1, 8, 16, 1e-3


def main() -> None:
    """Measure, write startup.json and the table of the README; end with 1 above the largest multiple."""
    from measuring import machine
    from peers import FOLDER
    from recording import put_table
    from work import write_work

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the model and the chats")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for startup.json")
    args = parser.parse_args()
    work = write_work(args.folder.resolve(), "small", 1000)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for way in ("raw", "again"):  # reads all files once
            run(way, work, cache)
        rounds = [{way: run(way, work, cache) for way in WAYS} for _ in range(args.rounds)]
    found: dict[str, Any] = {"machine": machine(), "date": date.today().isoformat(), "rounds": rounds}
    for key in ("cpu", "wall"):
        found[key] = {way: statistics.median(each[way][key] for each in rounds) for way in WAYS}
        ratios = {way: statistics.median(each[way][key] / each["raw"][key] for each in rounds) for way in WAYS}
        found[f"{key}_ratio"] = ratios
    (args.results / "startup.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    if args.results == HERE:
        put_table(HERE / "README.md", "startup", table(found))
    if found["cpu_ratio"]["again"] > LARGEST:
        raise SystemExit(f"{found['cpu_ratio']['again']:.2f} times the raw script's is more than {LARGEST}")


def run(way: str, work: Path, cache: Path) -> dict[str, float]:
    """Return the seconds of one process up to the end of its first step."""
    with tempfile.TemporaryDirectory() as folder:
        own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HERE.parents[1])}
        own["FTLAB_CACHE"] = str(Path(folder) / "cache" if way == "first" else cache)
        command = [sys.executable, str(Path(__file__).resolve()), "--child", way, str(work), str(time.time())]
        done = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False)
        last = (done.stdout.splitlines() or [""])[-1]
        if done.returncode or not last.startswith("{"):
            raise SystemExit(f"{way} took no step: {done.stderr[-2000:]}")
        return json.loads(last)


def child(way: str, work: Path, start: float) -> None:
    """Run up to the end of the first step, and print what that took."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def end(*_: Any) -> None:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(each.ru_utime + each.ru_stime for each in used)
        print("\n" + json.dumps({"cpu": cpu, "wall": time.time() - start}), flush=True)
        os._exit(0)

    register_optimizer_step_post_hook(end)
    if way == "raw":
        train(work)
    else:
        from ftlab.cli.main import main as ftlab

        settings = {
            "model": {"base": str(work / "model")},
            "method": {"class_path": "LoRA", "init_args": {"r": RANK, "alpha": ALPHA}},
            "data": {"train": str(work / "train.jsonl"), "batch_size": BATCH},
            "optimizer": {"lr": RATE},
        }
        Path("config.yaml").write_text(json.dumps(settings), encoding="utf-8")  # which is YAML too
        ftlab(["fit", "--config", "config.yaml"])


def train(work: Path) -> None:
    """Take one step in the way that anyone would write it down."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(7)
    tokenizer = AutoTokenizer.from_pretrained(work / "model")
    model = AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32)
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    chats = [json.loads(line)["messages"] for line in (work / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [tokenizer.apply_chat_template(c, return_dict=True, return_assistant_tokens_mask=True) for c in chats]
    batch = [rows[i] for i in torch.randperm(len(rows))[:BATCH]]
    longest = max(len(row["input_ids"]) for row in batch)
    ids, mask = torch.zeros(BATCH, longest, dtype=torch.long), torch.zeros(BATCH, longest, dtype=torch.long)
    labels = torch.full((BATCH, longest), -100)
    for i, row in enumerate(batch):
        size = len(row["input_ids"])
        ids[i, :size], mask[i, :size] = torch.tensor(row["input_ids"]), 1
        labels[i, :size] = torch.where(torch.tensor(row["assistant_masks"]) == 1, ids[i, :size], -100)
    model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    optimizer.step()


def table(found: dict[str, Any]) -> str:
    """Return the medians in Markdown."""
    names = {
        "raw": "raw script",
        "again": "`ftlab fit`, data known",
        "first": "`ftlab fit`, data new",
    }
    lines = ["| | CPU s | x raw | wall s | x raw |", "|---|---|---|---|---|"]
    for way, name in names.items():
        cells = [f"{found[key][way]:.2f}" for key in ("cpu", "cpu_ratio", "wall", "wall_ratio")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{found['machine']}, one thread, {found['date']}.\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
    else:
        main()

"""ftlab: the whole of `ftlab fit --config`, with its loader, logging and callbacks, and Weights & Biases off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from meter import ALPHA, BATCH, CLIP, MAX_LENGTH, RANK, RATE, arguments


def settings(work: Path, warmup: int, seed: int, threads: int) -> dict[str, Any]:
    """Return the settings of the run; what is not told is ftlab's default.

    Args:
        work: folder with model/ and train.jsonl.
        warmup: first steps, which are not measured.
        seed: of the order of chats.
        threads: of PyTorch.
    """
    return {
        "name": "benchmark",
        "seed_everything": seed,
        "model": {"base": str(work.resolve() / "model")},
        "method": {"class_path": "LoRA", "init_args": {"r": RANK, "alpha": ALPHA}},
        "data": {"train": str(work.resolve() / "train.jsonl"), "max_length": MAX_LENGTH, "batch_size": BATCH},
        "optimizer": {"lr": RATE, "schedule": "constant", "warmup": 0, "gradient_clip": CLIP},
        "memorisation": 0,  # it asks questions after training, which is not measured here
        "wandb": {"mode": "off"},
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "reporter.Reporter", "init_args": {"warmup": warmup, "threads": threads}}],
        },
    }


def fit(settings: dict[str, Any]) -> dict[str, Any]:
    """Run `ftlab fit` in a process and a folder of its own; return what its callback reports.

    Args:
        settings: of the run.

    Raises:
        SystemExit: it failed.
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "fit.yaml")
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-m", "ftlab", "fit", "--config", str(file)]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode or not found:
        raise SystemExit(result.stderr.strip()[-2000:])
    return json.loads(found[-1])


def main() -> None:
    """Fit; print the figures."""
    args = arguments()
    told = settings(args.work, args.warmup, args.seed, args.threads)
    told["trainer"]["log_every_n_steps"] = 1  # as all the others
    print(json.dumps(fit(told)))


if __name__ == "__main__":
    main()

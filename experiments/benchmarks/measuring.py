"""Measuring: one contender in a process of its own, and what several runs of it come to. It knows no table."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from peers import PACKAGES, python_of

CONTENDER_FOLDER = Path(__file__).parent / "contenders"

#: What is kept of each run.
KEPT = ("steps", "trained", "tokens", "learnt", "cpu_seconds", "wall_seconds", "peak_bytes")

#: Seconds after which a run hangs.
PATIENCE = 3600


class Contender(NamedTuple):
    """Who trains, and how it is called."""

    title: str
    script: str
    flags: tuple[str, ...] = ()


CONTENDERS = {
    "raw": Contender("raw PyTorch loop", "raw"),
    "ftlab": Contender("ftlab fit", "ftlab_fit"),
    "lightning": Contender("Lightning, minimal", "lightning_minimal"),
    "hf_trainer": Contender("HF Trainer + peft", "hf_trainer"),
    "trl": Contender("TRL SFTTrainer", "trl_sft"),
    "trl_packing": Contender("TRL SFTTrainer, packing", "trl_sft", ("--packing",)),
    "llamafactory": Contender("LLaMA-Factory", "llama_factory"),
    "ms_swift": Contender("ms-swift", "ms_swift"),
}


def measure(name: str, work: Path, warmup: int, seed: int, threads: int, folder: Path) -> dict[str, Any]:
    """Let a contender train the work; return what it reports.

    Args:
        name: in `CONTENDERS`.
        work: folder with model/ and train.jsonl.
        warmup: steps that are not measured.
        seed: of the order of chats.
        threads: of PyTorch.
        folder: with the environments of peers and for caches.

    Raises:
        RuntimeError: it failed, or takes forever.
    """
    contender = CONTENDERS[name]
    python = python_of(name, folder) if name in PACKAGES else Path(sys.executable)
    options = {"--work": work, "--warmup": warmup, "--seed": seed, "--threads": threads}
    command = [str(python), str(CONTENDER_FOLDER / f"{contender.script}.py"), *contender.flags]
    command += [str(word) for pair in options.items() for word in pair]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "FTLAB_CACHE": str((folder / "cache").resolve()),
    }
    try:
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"it takes more than {PATIENCE} seconds") from None
    found = [line for line in result.stdout.splitlines() if line.startswith('{"steps"')]
    if result.returncode or not found:
        raise RuntimeError((result.stderr or result.stdout).strip()[-2000:])
    return json.loads(found[-1])


def require_environments(names: Iterable[str], folder: Path) -> None:
    """Refuse contenders whose environment is missing, before hours are spent on the others.

    Args:
        names: in `CONTENDERS`.
        folder: with the environments of peers.

    Raises:
        SystemExit: one is missing.
    """
    for name in names:
        if name in PACKAGES and not python_of(name, folder).is_file():
            missing = python_of(name, folder)
            raise SystemExit(
                f"{name}: no {missing}; run experiments/benchmarks/peers.py, or leave it out of --contenders"
            )


def summary(runs: list[dict[str, Any]], raw: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of a contender's runs, and of its ratios to the raw loop's run of the same round.

    Args:
        runs: one a round.
        raw: those of the raw loop.
    """
    median = statistics.median
    pairs = list(zip(runs, raw, strict=True))
    return {
        "tokens_per_cpu_second": median(cpu_speed(run) for run in runs),
        "tokens_per_second": median(wall_speed(run) for run in runs),
        "speed": median(cpu_speed(run) / cpu_speed(other) for run, other in pairs),
        "wall_speed": median(wall_speed(run) / wall_speed(other) for run, other in pairs),
        "peak_bytes": median(run["peak_bytes"] for run in runs),
        "memory": median(run["peak_bytes"] / other["peak_bytes"] for run, other in pairs),
        "padding": statistics.mean(run["padding"] for run in runs),
        "loss": statistics.mean(statistics.mean(run["losses"]) for run in runs),
        "first_loss": statistics.mean(run["losses"][0] for run in runs),
        "last_loss": statistics.mean(run["losses"][-1] for run in runs),
        "runs": [{key: run[key] for key in KEPT} for run in runs],
        "versions": runs[0]["versions"],
        "machine": machine(),
        "date": date.today().isoformat(),
    }


def cpu_speed(run: dict[str, Any]) -> float:
    """Return real tokens per CPU second."""
    return run["tokens"] / run["cpu_seconds"]


def wall_speed(run: dict[str, Any]) -> float:
    """Return real tokens per second of the clock."""
    return run["tokens"] / run["wall_seconds"]


def machine() -> str:
    """Return what computed."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    name = found[1].strip() if found else platform.machine()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, {platform.system()}, Python {platform.python_version()}"

"""Overhead: what Lightning, callbacks and logging of `ftlab fit` cost beside the computation of a step.

    python experiments/benchmarks/overhead.py             # a minute; its share of a step of 50 ms belongs below 3 %

A model with random weights trains at some 50 ms a step. After each step a callback takes the same step once more, bare
(forward, backward, clipping, AdamW), and counts the CPU seconds of both; their difference is what the rest costs. The
loader, which a bare loop has too, is told apart. Weights & Biases and the progress bar are on, as they are by default.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", "..", "contenders"))
from ftlab_fit import fit, settings
from measuring import machine
from peers import FOLDER
from recording import put_table
from work import write_work

HERE = Path(__file__).parent

#: Seconds of the step whose share is told, and what the share may be.
STEP, LARGEST = 0.050, 0.03


def main() -> None:
    """Measure, write overhead.json and the table of the README; end with 1 above the largest share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=3, help="chats in a step; more take longer")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for models, data and caches")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for overhead.json")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "FTLAB_CACHE": str((args.folder / "cache").resolve())}
    found = measure(args.folder, args.steps, args.batch)
    (args.results / "overhead.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    if args.results == HERE:
        put_table(HERE / "README.md", "overhead", table(found))
    if found["overhead"] > LARGEST * STEP:
        raise SystemExit(
            f"{1000 * found['overhead']:.1f} ms a step are more than {LARGEST:.0%} of {1000 * STEP:.0f} ms"
        )


def measure(folder: Path, steps: int, batch: int) -> dict[str, Any]:
    """Return the medians of a run: seconds of its step, of the bare one, and of their difference.

    Args:
        folder: for models, data and caches.
        steps: of the run, the first 20 of which are not measured.
        batch: chats in a step.
    """
    told = settings(write_work(folder / "work", "tiny", steps * batch), warmup=0, seed=0, threads=1)
    told["data"]["batch_size"] = batch
    told["trainer"] |= {
        "callbacks": [{"class_path": "overhead_reporter.OverheadReporter"}],
        "enable_progress_bar": True,
    }
    del told["wandb"]
    return fit(told) | {"machine": machine(), "date": date.today().isoformat()}


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    cells = {name: f"{1000 * found[name]:.1f} ms" for name in ("whole", "bare")}
    cells |= {name: f"{1000 * found['parts'][name]:.2f} ms" for name in found["parts"]}
    cells["Lightning, callbacks, logging"] = f"{1000 * found['overhead']:.2f} ms"
    cells["of a step of 50 ms"] = f"{100 * found['overhead'] / STEP:.1f} %"
    names = {
        "whole": "a step of the run",
        "bare": "of it bare",
        **{p: f"{p}*" for p in found["parts"] if p != "loader"},
    }
    header = " | ".join(names.get(name, name) for name in cells)
    return (
        f"| {header} |\n{'|---' * len(cells)}|\n| {' | '.join(cells.values())} |\n\n"
        "*Part of what Lightning, callbacks and logging take. Medians over stretches of ten steps, "
        f"{found['steps']} steps in CPU time, {found['date']}, {found['machine']}.\n"
    )


if __name__ == "__main__":
    main()

"""Trunk: what an epoch costs with what leaves the frozen blocks from the cache, and with these blocks computed.

    python experiments/benchmarks/trunk.py                # 12 blocks, the last 2 trained; belongs at 2 times or more

Both are whole runs of `ftlab fit` of some epochs, each in turn, A B A B; CPU time counts from the second epoch on. The
cache is empty before each. The losses of all steps must be equal bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", "..", "contenders"))
from ftlab_fit import fit, settings
from measuring import machine
from meter import BATCH
from peers import FOLDER
from recording import put_table
from work import write_work

HERE = Path(__file__).parent

#: GB of `speed.trunk_cache_gb`, by what it is called.
LIMITS = {"without": 0, "with": 10}
TRAINED, FASTER = 2, 2.0
MEASURED = ("cpu_seconds", "peak_bytes", "cache_bytes")


def main() -> None:
    """Measure, write trunk.json and the table of the README; end with 1 if losses differ or too little is gained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=128, help="chats of an epoch")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", default="deep")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for models and data")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for trunk.json")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    work = write_work(args.folder / "work", args.shape, args.rows)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in LIMITS}
    turns = [(seed, name) for seed in range(args.rounds) for name in LIMITS]
    for seed, name in tqdm(turns, unit=" runs", delay=2, leave=False):
        runs[name].append(run(work, LIMITS[name], args.rows, args.epochs, seed))
    found = results(runs)
    (args.results / "trunk.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    if args.results == HERE:
        put_table(HERE / "README.md", "trunk", table(found))
    if not found["equal"] or found["faster"] < FASTER:
        raise SystemExit(f"{found['faster']:.2f} times as fast, losses equal: {found['equal']}")


def run(work: Path, limit: float, rows: int, epochs: int, seed: int) -> dict[str, Any]:
    """Fit for some epochs; return the losses of all steps, and CPU seconds and peak of those after the first epoch."""
    told = settings(work, warmup=-(-rows // BATCH), seed=seed, threads=1)
    told["method"] = {"class_path": "Freeze", "init_args": {"last": TRAINED}}
    told["speed"] = {"trunk_cache_gb": limit}
    told["trainer"]["max_epochs"] = epochs
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FTLAB_CACHE"] = cache
        found = fit(told)
        states = sum(file.stat().st_size for file in Path(cache, "trunk").rglob("*") if file.is_file())
    kept = {key: found[key] for key in ("losses", "peak_bytes")}
    return kept | {"cpu_seconds": found["cpu_seconds"] / (epochs - 1), "cache_bytes": states}


def results(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the medians of both, the ratio round by round, and whether all losses are equal."""
    pairs = list(zip(runs["without"], runs["with"], strict=True))
    return {
        name: {key: statistics.median(each[key] for each in several) for key in MEASURED}
        for name, several in runs.items()
    } | {
        "faster": statistics.median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs),
        "equal": all(a["losses"] == b["losses"] for a, b in pairs),
        "steps": len(pairs[0][0]["losses"]),
        "rounds": len(pairs),
        "machine": machine(),
        "date": date.today().isoformat(),
    }


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["| cache | CPU time of an epoch | peak memory | disk |", "|---|---|---|---|"]
    for name in LIMITS:
        each = found[name]
        memory, disk = (f"{each[key] / 1e6:,.0f} MB" for key in ("peak_bytes", "cache_bytes"))
        lines.append(f"| {name} | {each['cpu_seconds']:.2f} s | {memory} | {disk} |")
    losses = "equal bit for bit" if found["equal"] else "**not equal**"
    return "\n".join(lines) + (
        f"\n\n{found['faster']:.2f} times as fast; losses of all {found['steps']} steps in {found['rounds']} rounds "
        f"are {losses}. {found['date']}, {found['machine']}.\n"
    )


if __name__ == "__main__":
    main()

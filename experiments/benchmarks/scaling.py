"""Scaling: whether `ftlab fit` takes as long for a token, and as much memory, with 100,000 rows as with 1,000.

    python experiments/benchmarks/scaling.py              # both belong within 5 % of one another

Both train the same number of steps of the small shape, each in turn, A B A B. Their chats are of the same lengths: the
many are the few again and again, with the words of each question in another order. The tokens lie in the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", "..", "contenders"))
from bars import FLAT, put_bars
from ftlab_fit import fit, settings
from measuring import cpu_speed, machine
from peers import FOLDER
from recording import put_table
from work import chat, write_work

HERE = Path(__file__).parent

FEW = 1_000
WARMUP = 10


def main() -> None:
    """Measure, write scaling.json and the table of the README; end with 1 beyond tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of the many; the few are 1,000")
    parser.add_argument("--shape", default="small")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for models, data and caches")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for scaling.json")
    args = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "FTLAB_CACHE": str((args.folder / "cache").resolve())}
    work = write_work(args.folder / "work", args.shape, FEW)
    files = {FEW: work / "train.jsonl", args.rows: write_many(work / "train.jsonl", args.rows)}
    runs: dict[int, list[dict[str, Any]]] = {rows: [] for rows in files}
    for rows in files:  # the first run fills the cache
        run(work, files[rows], WARMUP + 1, seed=0)
    turns = [(seed, rows) for seed in range(args.rounds) for rows in files]
    for seed, rows in tqdm(turns, unit=" runs", delay=2, leave=False):
        runs[rows].append(run(work, files[rows], args.steps, seed))
    found = results(runs)
    (args.results / "scaling.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    if args.results == HERE:
        put_table(HERE / "README.md", "scaling", table(found))
        put_bars(HERE)
    if not all(FLAT[0] <= found[key] <= FLAT[1] for key in ("time", "memory")):
        raise SystemExit(
            f"{args.rows:,} rows take {found['time']:.2f} of the time and {found['memory']:.2f} of the memory"
        )


def write_many(few: Path, rows: int) -> Path:
    """Write chats of the same lengths as the few, no two alike, where they are not yet; return their file."""
    many = few.with_name(f"train-{rows}.jsonl")
    if not many.is_file():
        chats = [json.loads(line)["messages"] for line in few.read_text(encoding="utf-8").splitlines()]
        rng = random.Random(0)
        fresh = many.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as out:
            for i in tqdm(range(rows), unit=" chats", delay=2, leave=False):
                _, question, answer = (message["content"] for message in chats[i % len(chats)])
                words = question.split()
                mixed = rng.sample(words, len(words)) if i >= len(chats) else words
                out.write(json.dumps(chat("".join(f" {word}" for word in mixed), answer)) + "\n")
        fresh.rename(many)
    return many


def run(work: Path, file: Path, steps: int, seed: int) -> dict[str, Any]:
    """Fit so many steps on a file; return what the reporter tells."""
    told = settings(work, WARMUP, seed, threads=1)
    told["data"]["train"] = str(file.resolve())
    told["trainer"]["max_steps"] = steps
    return fit(told)


def results(runs: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return each size's medians, and the ratio of many to few in time for a token and in memory, round by round."""
    median = statistics.median
    few, many = runs.values()
    return {
        "sizes": {
            rows: {
                "ms_per_token": median(1000 / cpu_speed(run) for run in several),
                "peak_bytes": median(run["peak_bytes"] for run in several),
            }
            for rows, several in runs.items()
        },
        "time": median(cpu_speed(a) / cpu_speed(b) for a, b in zip(few, many, strict=True)),
        "memory": median(b["peak_bytes"] / a["peak_bytes"] for a, b in zip(few, many, strict=True)),
        "machine": machine(),
        "date": date.today().isoformat(),
    }


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["| rows | CPU time for a token | peak memory |", "|---|---|---|"]
    for rows, size in found["sizes"].items():
        lines.append(f"| {int(rows):,} | {size['ms_per_token']:.3f} ms | {size['peak_bytes'] / 1e6:,.0f} MB |")
    lines.append(f"| ratio | {found['time']:.3f} | {found['memory']:.3f} |")
    return "\n".join(lines) + f"\n\n{found['date']}, {found['machine']}.\n"


if __name__ == "__main__":
    main()

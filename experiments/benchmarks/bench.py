"""Benchmark: ftlab and its peers train the same model on the same chats; writes a table and a plot.

    python experiments/benchmarks/peers.py                        # once: the environments of LLaMA-Factory and ms-swift
    python experiments/benchmarks/bench.py                        # both shapes, three rounds, each in turn: A B A B
    python experiments/benchmarks/bench.py --contenders raw ftlab # ftlab anew; the others keep what was recorded
    python experiments/benchmarks/bench.py --threads 2            # the column of two threads; wants a quiet machine
    python experiments/benchmarks/bench.py --short                # ends with 1 where ftlab lost more than 10 %

Each is a process of its own that tells tokens and CPU seconds of its training loop, from the end of a warm-up on. What
was measured is written after each round: where all was cut off, `--shapes` and `--contenders` name what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", ".."))
from bars import put_bars
from measuring import CONTENDERS, cpu_speed, measure, require_environments, summary
from peers import FOLDER
from recording import record
from showing import plot, table
from work import write_work

HERE = Path(__file__).parent

#: Steps of warm-up and steps that are measured, at so many chats each: on two cores all of it takes 45 minutes, half of
#: them for the large shape, and the short form 7.
BATCH = 8
STEPS = {"small": (2, 8), "large": (1, 2), "tiny": (2, 4)}

#: Rounds of the short form, at most: the raw loop takes up to two minutes for one with the large vocabulary.
SHORT_ROUNDS = {"small": 3, "large": 2, "tiny": 1}

#: What a short run may lose against the recorded ratios before it fails.
TOLERANCE = 0.10


def main() -> None:
    """Measure, then write what was measured, or compare it with what is recorded."""
    args = parse()
    results = read_results(args.results)
    if args.short:
        end_short(results, args)
        return
    require_environments(args.contenders, args.folder)
    for shape in args.shapes:
        for found in run_rounds(shape, args.contenders, args, args.rounds):
            results.setdefault(shape, {}).setdefault(str(args.threads), {}).update(found)
            record(results, table(results), args.results, [HERE / "README.md"], "results")
            plot(results, args.results / "benchmarks.svg")
            if args.results == HERE:
                put_bars(HERE)


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=STEPS, default=["small", "large"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, choices=[1, 2], default=1)
    parser.add_argument("--steps", type=int, nargs=2, metavar=("WARMUP", "MEASURED"), help="in place of the shape's")
    parser.add_argument("--data", type=Path, help="file of chats with `messages`; by default synthetic ones")
    parser.add_argument("--short", action="store_true", help="raw and ftlab only, against what is recorded")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for models, data and environments")
    parser.add_argument("--results", type=Path, default=HERE, help="folder for results.json and benchmarks.svg")
    args = parser.parse_args()
    if "raw" not in args.contenders:
        parser.error("--contenders: raw is missing, which the others are held against")
    return args


def read_results(folder: Path) -> dict[str, Any]:
    """Return what is recorded: by shape, threads and contender."""
    file = folder / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def run_rounds(
    shape: str, names: list[str], args: argparse.Namespace, rounds: int
) -> Iterator[dict[str, dict[str, Any]]]:
    """Run each contender once a round, with another order of chats each round; yield after each what came out by name.

    One that fails is told and left out, as the others' runs take long.

    Args:
        shape: of the model.
        names: of contenders.
        args: further options; a contender that packs takes fewer steps.
        rounds: how many.
    """
    warmup, steps = args.steps or STEPS[shape]
    work = write_work(args.folder / "work", shape, BATCH * (warmup + steps), args.data)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tqdm(total=rounds * len(names), unit=" runs", delay=2, leave=False) as bar:
        for seed in range(rounds):
            for name in list(runs):
                bar.set_description(f"{shape} {name}")
                try:
                    found = measure(name, work, warmup, seed, args.threads, args.folder)
                    runs[name].append(found)
                    require_equal(found, runs["raw"][seed])
                    bar.write(told(shape, seed, name, found), file=sys.stderr)
                except RuntimeError as error:
                    if name in ("raw", "ftlab"):
                        raise SystemExit(f"{name}: {error}") from None
                    del runs[name]
                    bar.write(f"{name} is left out: {error}", file=sys.stderr)
                bar.update()
            yield {name: summary(several, runs["raw"]) for name, several in runs.items()}


def require_equal(found: dict[str, Any], raw: dict[str, Any]) -> None:
    """Refuse a contender that trains something else than the raw loop does.

    Raises:
        RuntimeError: it has another number of trained parameters.
    """
    if found["trained"] != raw["trained"]:
        raise RuntimeError(f"it trains {found['trained']:,} parameters, and the raw loop {raw['trained']:,}")


def told(shape: str, seed: int, name: str, found: dict[str, Any]) -> str:
    """Return a line on a run."""
    speed, peak = cpu_speed(found), found["peak_bytes"] / 1e6
    return f"{shape}, round {seed + 1}, {name}: {speed:,.0f} tokens per CPU second, {peak:,.0f} MB"


def end_short(results: dict[str, Any], args: argparse.Namespace) -> None:
    """Measure the raw loop and ftlab only; end with 1 where ftlab lost.

    Raises:
        SystemExit: ftlab lost more than `TOLERANCE`, or is not recorded.
    """
    faults = []
    for shape in args.shapes:
        recorded = results.get(shape, {}).get(str(args.threads), {}).get("ftlab")
        if recorded is None:
            raise SystemExit(f"{args.results}/results.json: ftlab is not recorded there; run bench.py first")
        *_, last = run_rounds(shape, ["raw", "ftlab"], args, min(args.rounds, SHORT_ROUNDS[shape]))
        now = last["ftlab"]
        line = (
            f"{shape}: {now['speed']:.2f} times the raw loop's speed (recorded {recorded['speed']:.2f}), "
            f"{now['memory']:.2f} of its memory (recorded {recorded['memory']:.2f})"
        )
        print(line, flush=True)
        if lost(recorded, now):
            faults.append(line)
    if faults:
        raise SystemExit(f"ftlab lost more than {100 * TOLERANCE:.0f} %: {'; '.join(faults)}")


def lost(recorded: dict[str, float], now: dict[str, float]) -> bool:
    """Return whether speed or memory, both as ratios to the raw loop's, are worse than recorded beyond tolerance."""
    return now["speed"] < (1 - TOLERANCE) * recorded["speed"] or now["memory"] > (1 + TOLERANCE) * recorded["memory"]


if __name__ == "__main__":
    main()

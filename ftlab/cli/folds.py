"""Folds: one fit for each fold, each in a process of its own. It trains nothing itself and knows no statistics."""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import ftlab
from ftlab.cli.commands import Parser
from ftlab.cli.fold_table import MEASURES, fold_mean, measures, missing, table
from ftlab.cli.sources import Sources, option_values
from ftlab.errors import FtlabError
from ftlab.runs import Run

DESCRIPTION = """\
Fit once for each of k folds, each in turn held out for validation while the run learns from all others, so that each
row is validated on once; then print each fold's exam and validation loss, and their means with 95 % intervals: what
another choice of training rows would do to the result.
"""

EPILOG = """\
  --config X.yaml  a run's YAML; every other option of fit holds too, see ftlab fit --help

example: ftlab folds --config configs/quickstart.yaml --data.validation null --k 5
Folds are made of data.train, so data of their own for validation are switched off; data.split may still take a test
part, stratify and group. Each fold is a run, runs/<name>/fold-1-of-5/<stamp>/, with its report; the figures of all are
in runs/<name>/folds.json. After a fault the same command goes on: folds that are done are taken over while options,
config and data are as they were; remove folds.json to fit them again.
"""

#: Options that folds sets itself, or that make no sense for several runs.
OWN = ("--data.fold", "--ckpt_path")


def run_folds(args: Sequence[str]) -> int:
    """Fit every fold, one after the other, and print and write what came out; return the exit code.

    Raises:
        FtlabError: an option is at fault.
    """
    parser = Parser(
        "ftlab folds",
        usage="ftlab folds --config X.yaml [--k 5] [any option of fit]",
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--k", type=int, default=5, help="number of folds (default: 5)")
    options, rest = parser.parse_known_args(list(args))
    if options.k < 2:
        raise FtlabError(f"--k: {options.k} is not 2 or more")
    for option in OWN:
        if any(arg.partition("=")[0] == option for arg in rest):
            raise FtlabError(f"{option}: ftlab folds starts each fold itself, from its beginning; leave it out")
    sources = Sources(rest)
    name = (option_values(rest, "--name") or sources.values("name") or ["run"])[-1]
    digest = fingerprint(rest, sources)
    file = Path("runs") / name / "folds.json"
    done = _done(file, digest, options.k)
    for number in range(1, options.k + 1):
        fold = f"{number}/{options.k}"
        if fold in done:
            print(f"fold {fold}   taken over from {done[fold]}; remove {file} to fit it again", flush=True)
            continue
        print(f"fold {fold}", flush=True)
        own = f"{name}/fold-{number}-of-{options.k}"
        code = _fit([*rest, f"--data.fold={fold}", f"--name={own}"])
        if code:
            print(
                f"ftlab: fold {fold} ended with exit code {code}; the same command goes on from this fold",
                file=sys.stderr,
            )
            return code
        done[fold] = str(Run.newest(own, "summary.json").folder)
        _write(file, {"name": name, "k": options.k, "settings": digest, "runs": done})
    runs = {fold: Run.open(done[fold]) for fold in sorted(done, key=_first)}
    folds = {fold: measures(run) for fold, run in runs.items()}
    means = {}
    for key in MEASURES:
        values = [value for fold in folds.values() if (value := fold[key]) is not None]
        if len(values) == options.k:
            means[key] = fold_mean(values, MEASURES[key][2])
    for line in [*table(folds, means, done), *missing(runs)]:
        print(line)
    _write(
        file,
        {"name": name, "k": options.k, "settings": digest, "runs": done, "folds": folds}
        | {key: vars(mean) for key, mean in means.items()},
    )
    print(f"written    {file}")
    return 0


def fingerprint(args: Sequence[str], sources: Sources) -> str:
    """Return a hash of all that a fit is told: options, configs, ftlab's version, and the files that these name.

    A file counts by its size and the time of its last change.
    """
    texts = [value for arg in args for value in (arg, arg.partition("=")[2])]
    for file in sources.files:
        text = Path(file).read_text(encoding="utf-8")
        texts += [text, *_scalars(yaml.safe_load(text))]
    named = sorted({path for text in texts if 0 < len(text) < 1000 for path in _files(text)})
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in named]
    return hashlib.sha256(repr((ftlab.__version__, texts, stats)).encode()).hexdigest()[:32]


def _files(text: str) -> list[Path]:
    """Return the files that a text names: a file, all in a folder, or those of a glob."""
    matches = glob.glob(text, recursive=True) if "\n" not in text else []  # noqa: PTH207 - absolute patterns too
    found = [path for path in map(Path, matches) if not Path.cwd().is_relative_to(path.resolve())]  # not all there is
    return [file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]


def _scalars(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _scalars(each)]
    return [text for each in value for text in _scalars(each)] if isinstance(value, list) else [str(value)]


def _done(file: Path, digest: str, k: int) -> dict[str, str]:
    """Return the runs by fold that an earlier call with the same settings and data has finished."""
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if (earlier.get("settings"), earlier.get("k")) != (digest, k):
        return {}
    return {fold: folder for fold, folder in earlier["runs"].items() if Run(folder).summary}


def _fit(args: Sequence[str]) -> int:
    """Run `ftlab fit`; an interruption reaches it too, and it ends in its own way."""
    process = subprocess.Popen([sys.executable, "-m", "ftlab", "fit", *args])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _first(fold: str) -> int:
    return int(fold.partition("/")[0])

"""Folds: one fit for each fold, each in a process of its own, and what they say together. It trains nothing itself."""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import ftlab
from ftlab.cli.commands import Parser
from ftlab.cli.sources import Sources, option_values
from ftlab.errors import FtlabError
from ftlab.runs import Run

#: What is measured in each fold: its name in the table, how it is written, and what it cannot exceed.
MEASURES: dict[str, tuple[str, str, tuple[float, float]]] = {
    "exam_before": ("exam before", ".1f", (0, 100)),
    "exam_after": ("exam after", ".1f", (0, 100)),
    "validation_loss": ("loss", ".4f", (0, np.inf)),
}

#: Options that folds sets itself, or that make no sense for several runs.
OWN = ("--data.fold", "--ckpt_path")


@dataclass(frozen=True)
class Mean:
    """A mean over folds with its 95 % interval: what another choice of training rows would do to it."""

    mean: float
    low: float
    high: float


def fold_mean(values: Sequence[float], bounds: tuple[float, float] = (-np.inf, np.inf)) -> Mean:
    """Return the mean over folds with its 95 % interval.

    It is Student's t over the folds' means, not over pooled questions: a question answered by five models is one
    question, and counting it five times would make the interval too narrow. Since the folds share most of their
    training rows, their variance alone is too small as well, and no unbiased estimate of it exists (Bengio and
    Grandvalet, 2004, "No unbiased estimator of the variance of k-fold cross-validation"); it is widened by the share of
    validated to trained rows, 1/(k-1) (Nadeau and Bengio, 2003, "Inference for the generalization error").

    Args:
        values: one of each fold.
        bounds: what no value can exceed.
    """
    from scipy import stats

    k, mean = len(values), float(np.mean(values))
    half = float(stats.t.ppf(0.975, k - 1) * np.std(values, ddof=1) * np.sqrt(1 / k + 1 / (k - 1)))
    return Mean(mean, max(bounds[0], mean - half), min(bounds[1], mean + half))


def run_folds(args: Sequence[str]) -> int:
    """Fit every fold, one after the other, and print and write what came out; return the exit code.

    Raises:
        FtlabError: an option is at fault.
    """
    parser = Parser(
        "ftlab folds",
        description="Fit once for each of k folds, so that each row is validated on once; all options of fit hold. "
        "The same command goes on after a fault: folds that are done are taken over while settings and data are as "
        "they were.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--k", type=int, default=5, help="number of folds")
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
    folds = {
        fold: measures(Run.open(folder)) for fold, folder in sorted(done.items(), key=lambda item: _first(item[0]))
    }
    means = {}
    for key in MEASURES:
        values = [value for fold in folds.values() if (value := fold[key]) is not None]
        if len(values) == options.k:
            means[key] = fold_mean(values, MEASURES[key][2])
    for line in table(folds, means, done):
        print(line)
    _write(
        file,
        {"name": name, "k": options.k, "settings": digest, "runs": done, "folds": folds}
        | {key: vars(mean) for key, mean in means.items()},
    )
    print(f"written    {file}")
    return 0


def measures(run: Run) -> dict[str, float | None]:
    """Return what was measured in a run: exam before and after of 100, and the validation loss of its best step."""
    summary: dict[str, Any] = run.summary
    exam = summary.get("exam") or {}
    return {
        "exam_before": exam.get("before", {}).get("score"),
        "exam_after": exam.get("after", {}).get("score"),
        "validation_loss": summary["best"].get("validation_loss"),
    }


def table(folds: dict[str, dict[str, float | None]], means: dict[str, Mean], runs: dict[str, str]) -> list[str]:
    """Return the lines of the table: a fold each, then the means with their intervals."""
    shown = {key: MEASURES[key][:2] for key in MEASURES if key in means}
    lines = ["fold       " + "".join(f"{title:>12}" for title, _ in shown.values()) + "   run"]
    for fold, values in folds.items():
        cells = "".join(f"{format(values[key], form):>12}" for key, (_, form) in shown.items())
        lines.append(f"{fold:<11}{cells}   {runs[fold]}")
    lines.append("mean       " + "".join(f"{format(means[key].mean, form):>12}" for key, (_, form) in shown.items()))
    for key, (title, form) in shown.items():
        mean = means[key]
        between = f"{mean.low:{form}} to {mean.high:{form}}"
        lines.append(f"{title:<12}{mean.mean:{form}}, 95 % interval {between} over {len(folds)} training sets")
    if "exam_after" in shown:
        lines.append("How far the questions alone leave a score open is said by each run's own interval.")
    return lines


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

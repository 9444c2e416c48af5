"""Diagnose: the command that names the state of a training, from a run's folder or from a file of another tool."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ftlab.cli.commands import Parser
from ftlab.diagnosis import Curves, Diagnosis, Series, diagnose
from ftlab.diagnosis.files import read_curves
from ftlab.diagnosis.next_file import write_next
from ftlab.diagnosis.sparkline import sparkline
from ftlab.errors import FtlabError

DESCRIPTION = """Name the state of a training by its curves (failed, unstable, underfitting, overfitting, converged,
successful), with the evidence, the likely cause and the settings of the next run."""

EPILOG = """PLACE is a run's folder runs/<name>/<stamp>, a CSV with a column train_loss or validation_loss, a
trainer_state.json, or W&B's run-*.wandb. The next run: ftlab fit --config RUN/config.yaml --config RUN/next.yaml"""


def run_diagnose(args: Sequence[str]) -> int:
    """Print the diagnosis, write the settings of the next run; return the exit code.

    Raises:
        FtlabError: there are no curves at that place, or too few points.
    """
    parser = Parser("ftlab diagnose", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("place", metavar="PLACE", type=Path, help="a run's folder, or a file with curves")
    parser.add_argument(
        "--output", type=Path, help="file for the next run's settings; for a run, next.yaml in its folder"
    )
    options: argparse.Namespace = parser.parse_args(args)
    place: Path = options.place
    run, curves = read_place(place)
    try:
        diagnosis = diagnose(curves)
    except FtlabError as error:
        raise FtlabError(f"{place}: {error}") from error
    output: Path | None = options.output or (run / "next.yaml" if run else None)
    print("\n".join(lines(curves, diagnosis)))
    if not diagnosis.next:
        print("next.yaml  none: there is nothing to change that the settings of a run could tell")
    elif output is None:
        print("next.yaml  not written; --output FILE writes it")
    else:
        write_next(diagnosis, output, run)
        print(f"next.yaml  {output}" + (f"   ftlab fit --config {run}/config.yaml --config {output}" if run else ""))
    return 0


def read_place(place: Path) -> tuple[Path | None, Curves]:
    """Return the run's folder, None for a file, and the curves.

    Args:
        place: a run's folder, or a file.

    Raises:
        FtlabError: there are no curves.
    """
    if not place.exists():
        raise FtlabError(f"{place}: there is no such folder or file")
    if not place.is_dir():
        return None, read_curves(place)
    if not (place / "config.yaml").is_file() and (place / "trainer_state.json").is_file():
        return None, read_curves(place / "trainer_state.json")
    from ftlab.runs import Run

    run = Run.open(place)
    base = run.sitting("before")
    return place, Curves.of_rows(run.metrics(), run.config, run.summary, before=base.score.score if base else None)


def lines(curves: Curves, diagnosis: Diagnosis) -> list[str]:
    """Return a diagnosis as it is printed.

    Args:
        curves: drawn, each in a line.
        diagnosis: of them.
    """
    drawn = {"train": curves.train, "validation": curves.validation}
    ranges = [float(v) for series in drawn.values() for v in series.finite.values]
    shown = [
        f"{name:10} {sparkline(series, curves.steps, min(ranges), max(ranges))} {_last(series)}"
        for name, series in drawn.items()
        if len(series) and ranges
    ]
    found = [f"{'evidence' if i == 0 else '':10} {text}" for i, text in enumerate(diagnosis.evidence)]
    settings = [f"           {key}: {value}" for key, value in _flat(diagnosis.next)]
    return [
        *shown,
        f"state      {diagnosis.state}",
        *found,
        f"cause      {diagnosis.cause}",
        f"next       {diagnosis.advice}",
        *settings,
    ]


def _last(series: Series) -> str:
    return f"{series.values[0]:.4g} -> {series.values[-1]:.4g}"


def _flat(settings: dict, prefix: str = "") -> list[tuple[str, object]]:
    """Return nested settings as dotted ones; what names the method is left out, as it stays."""
    flat: list[tuple[str, object]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            flat += _flat(value, prefix if key == "init_args" else f"{prefix}{key}.")
        elif key != "class_path":
            flat.append((prefix + key, value))
    return flat

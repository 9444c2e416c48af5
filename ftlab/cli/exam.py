"""Exam: the command that sits the exams of a run or a config and trains nothing. It computes nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.cli.sources import Sources
from ftlab.errors import FtlabError, SettingError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

USAGE = "CONFIG_OR_RUN [--base] [--shots N ...] [--harness TASK,TASK]"

DESCRIPTION = """\
Sit the exam and those of retention without training: with the base, with the base and examples in its prompt, and for
a run with its best checkpoint; and standard benchmarks through lm-evaluation-harness. What the same base has answered
before is not generated again. Answers and scores are kept, in RUN/examined/<stamp>/ or, of a config, in
runs/<name>/examined/<stamp>/; those of the training stay as they are. W&B gets a run of job type exam, as wandb says.
"""


def with_config(args: Sequence[str]) -> list[str]:
    """Return the arguments with options in place of a config, or of a run's folder, that stands first.

    Raises:
        FtlabError: nothing is named, or a folder that is no run.
    """
    if not args:
        raise FtlabError("exam: of what? ftlab exam runs/<name>/<stamp>, or a config")
    named, *rest = args
    if named.startswith("-"):
        return list(args)
    if not Path(named).is_dir():
        return ["--config", named, *rest]

    from ftlab.runs import Run

    return ["--config", str(Run.open(named).config_file), "--ckpt_path", named, *rest]


def run_exam(args: Sequence[str]) -> int:
    """Sit the exams, print the table and keep the answers; return the exit code.

    Args:
        args: options, as `with_config` returns them.

    Raises:
        FtlabError: a setting, a question or a task is at fault.
    """
    try:
        _sit(args)
    except SettingError as error:
        raise FtlabError(f"{Sources(args).place(error.key)}: {error.reason}") from error
    return 0


def _sit(args: Sequence[str]) -> None:
    from ftlab.cli.reading import parse_settings
    from ftlab.cli.settings import build_experiment
    from ftlab.evaluation import examine
    from ftlab.exam.harness import Harness
    from ftlab.report.exam_table import exam_lines
    from ftlab.runs import Run
    from ftlab.tracking import place_line

    counting = "those of the exams, the model and for examples the data"
    settings = parse_settings("ftlab exam", USAGE, DESCRIPTION, counting, args, _add_options)
    run = Run.open(settings.ckpt_path) if settings.ckpt_path else None
    if run and not settings.base and not run.best.is_dir():
        raise FtlabError(f"{run.folder}: this run has kept no best checkpoint; --base sits the exam with its base")
    tasks = [task for task in (settings.harness or "").split(",") if task]
    if not (settings.exam or settings.retention or tasks):
        raise FtlabError(
            "exam: there is none; write one into the config, give --exam.questions FILE, or --harness TASK"
        )
    _add_shots(settings)
    root = run.folder if run else Path("runs") / settings.name
    folder, found = examine(
        build_experiment(settings),
        root / "examined",
        dict(settings.trainer),
        run=None if settings.base else run,
        harness=Harness(tasks, settings.harness_limit) if tasks else None,
    )
    print("\n".join(["", *exam_lines(found)]))
    print()
    if found["wandb"]["mode"] != "off":
        print(place_line(found["wandb"]))
    print(f"kept       {folder}")


def _add_shots(settings: Any) -> None:
    """Add the command's own numbers of examples to the exam's."""
    if not settings.shots:
        return
    if settings.exam is None:
        raise FtlabError("--shots: there is no exam to sit; write one into the config, or give --exam.questions FILE")
    if min(settings.shots) < 1:
        raise FtlabError(f"--shots: {min(settings.shots)} is not 1 or more")
    settings.exam = replace(settings.exam, shots=sorted({*settings.exam.shots, *settings.shots}))


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--ckpt_path",
        type=str | None,
        default=None,
        help="A run's folder, whose best checkpoint sits the exams; standing first it is this and its config.",
    )
    parser.add_argument("--base", action="store_true", help="Sit them with the base alone.")
    parser.add_argument(
        "--shots",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="Also with N examples in the base's prompt, drawn from data.train; adds to exam.shots.",
    )
    parser.add_argument(
        "--harness",
        type=str | None,
        default=None,
        metavar="TASK,TASK",
        help="Standard benchmarks, such as hellaswag, or YAML files of tasks; needs pip install 'ftlab[harness]'.",
    )
    parser.add_argument(
        "--harness_limit", type=int | None, default=None, metavar="N", help="Only the first N questions of each task."
    )

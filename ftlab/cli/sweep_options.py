"""Sweep options: the options of `ftlab sweep`, and the help that tells its file. It imports nothing heavy."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap

from ftlab.cli.commands import Parser
from ftlab.sweep.settings import Sweep

DESCRIPTION = """\
Fit many times with other settings, and say which were best. Each trial is a run in a process of its own: one that
fails or runs out of memory fails alone. The same command goes on where it was stopped; several at once share the
trials, on several machines too where they have one storage.
"""

EXAMPLE = """\
example, configs/sweeps/quickstart.yaml:
  name: quickstart-sweep
  config: configs/quickstart.yaml
  space:
    optimizer.lr: {low: 1e-3, high: 3e-2, log: true}
    method.r: [4, 8, 16]
  sampler: tpe
  trials: 12
  objective: exam/score
  pruner: median

  ftlab sweep configs/sweeps/quickstart.yaml                           runs/quickstart-sweep/trial-0001/<stamp> ...
  ftlab sweep configs/sweeps/quickstart.yaml --trainer.max_epochs 2    with any option of fit, for all trials
  ftlab sweep --find-lr --config configs/quickstart.yaml               the learning-rate finder
  ftlab compare runs/quickstart-sweep                                  the trials held against each other, at any time

The finder is a sweep too: a short real run for each of some rates around the config's own, the same steps for all, and
the loss of validation decides. It writes the best one into runs/<name>-lr/best.yaml.
In the end runs/<name>/ holds best.yaml (`ftlab fit --config X.yaml --config runs/<name>/best.yaml`), compare.html,
sweep.db (the study; Optuna's own tools open it), and output.txt of each trial.
"""


def make_parser() -> Parser:
    """Return the parser of the command's own options; its help tells the sweep's file too."""
    from docstring_parser import parse_from_object

    documented = {param.arg_name: param.description or "" for param in parse_from_object(Sweep).params}
    fields = [field for field in dataclasses.fields(Sweep) if field.init]
    lines = []
    for field in fields:
        default = "" if field.default is dataclasses.MISSING else f" (default: {json.dumps(field.default)})"
        lines.append(f"  {field.name}{default}\n      " + " ".join(documented[field.name].split()).replace("``", "`"))
    parser = Parser(
        "ftlab sweep",
        usage="ftlab sweep SWEEP.yaml [any option of fit]\n"
        "       ftlab sweep --find-lr --config X.yaml [any option of fit]",
        description=DESCRIPTION,
        epilog="settings of SWEEP.yaml:\n" + _wrapped("\n".join(lines)) + "\n\n" + EXAMPLE,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", help="folder below runs/, in place of the file's")
    parser.add_argument("--trials", type=int, help="how many trials, in place of the file's")
    parser.add_argument("--timeout", type=float, help="seconds after which no further trial begins")
    parser.add_argument("--storage", help="Optuna's storage, in place of the file's")
    parser.add_argument("--again", action="store_true", help="run those once more that failed")
    finder = parser.add_argument_group("the learning-rate finder")
    finder.add_argument("--find-lr", action="store_true", help="try learning rates in short runs; needs no file")
    finder.add_argument("--exams", action="store_true", help="sit the config's exams too")
    finder.add_argument("--low", type=float, help="lowest rate (default: the config's, divided by 30)")
    finder.add_argument("--high", type=float, help="highest rate (default: 30 times the config's)")
    finder.add_argument("--steps", type=int, default=60, help="steps of each run, at most its own (default: 60)")
    return parser


def _wrapped(text: str) -> str:
    return "\n".join(
        textwrap.fill(line, 118, subsequent_indent=" " * (len(line) - len(line.lstrip()))) for line in text.splitlines()
    )

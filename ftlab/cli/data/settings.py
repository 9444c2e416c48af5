"""Settings of `ftlab data`: a run's, read as `fit` reads them, of which only the data and the tokenizer are loaded."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

from ftlab.cli.data import USAGE
from ftlab.cli.explain import explain
from ftlab.cli.lightning import DEFAULT_SEED
from ftlab.cli.settings import add_settings
from ftlab.cli.sources import Sources
from ftlab.data.module import ChatData
from ftlab.plugins import warn_of_skipped
from ftlab.training.trainer import TRAINER_DEFAULTS

_CONFIG_HELP = """\
A run's YAML, or a part of one as those in configs/data; several are read in order, later ones win. It may stand first
without --config, and then be a run's folder too.
"""


def read_settings(
    action: str, description: str, args: Sequence[str], add_options: Callable[[ArgumentParser], None]
) -> Any:
    """Return the sections as objects, and the action's own options.

    Args:
        action: `show`, `check` or `prepare`.
        description: what it does, for its help.
        args: its options.
        add_options: adds its own options to a parser.

    Raises:
        FtlabError: a setting is at fault.
    """
    program = f"ftlab data {action}"
    usage = f"{program} {USAGE[action]} [any setting of a run]"
    parser = LightningArgumentParser(
        program, usage=usage, description=description, exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("-c", "--config", action="config", help=_CONFIG_HELP)
    add_options(parser)
    run: Any = parser.add_argument_group("Settings of a run, as for fit; those of data and model.base count here")
    run.add_argument("--seed_everything", type=int | bool, default=DEFAULT_SEED, help="Seed of the run.")
    add_settings(run)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
    try:
        config = parser.parse_args(list(args))
        settings = parser.instantiate_classes(config)
    except (ArgumentError, ValueError) as error:
        known = [option.dest for option in parser._actions if option.dest != "help"]
        raise explain(str(error), Sources(args), known) from error
    warn_of_skipped()
    return settings


def run_epochs(settings: Any) -> int | None:
    """Return the epochs of a run with these settings, None where its steps end it."""
    trainer = settings.trainer
    return trainer.max_epochs if (trainer.max_steps or -1) < 0 else None


def open_data(settings: Any, whole: bool = True) -> ChatData:
    """Return the data with what must not be learnt from them, the exam's questions.

    Args:
        settings: what `read_settings` returned.
        whole: False lets a look at data with a leak pass.
    """
    data: ChatData = settings.data
    if settings.exam:
        data.held_out["exam"] = settings.exam.rows()
    if not whole and data.on_leak == "stop":
        data.on_leak = "warn"
    return data

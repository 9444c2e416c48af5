"""Reading: the settings of a run for commands that train nothing, read as `fit` reads them. It knows no command."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

from ftlab.cli.explain import explain
from ftlab.cli.lightning import DEFAULT_SEED
from ftlab.cli.settings import add_settings
from ftlab.cli.sources import Sources
from ftlab.plugins import warn_of_skipped
from ftlab.training.trainer import TRAINER_DEFAULTS

_CONFIG_HELP = """\
A run's YAML, or a part of one as those in configs/data; several are read in order, later ones win. It may stand first
without --config, and then be a run's folder too.
"""


def parse_settings(
    program: str,
    usage: str,
    description: str,
    counting: str,
    args: Sequence[str],
    add_options: Callable[[ArgumentParser], None],
) -> Any:
    """Return the sections as objects, and the command's own options.

    Args:
        program: the command, with `ftlab`.
        usage: what follows it.
        description: what it does, for its help.
        counting: which settings of a run count for it, for its help.
        args: its options.
        add_options: adds its own options to a parser.

    Raises:
        FtlabError: a setting is at fault.
    """
    parser = LightningArgumentParser(
        program,
        usage=f"{program} {usage} [any setting of a run]",
        description=description,
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("-c", "--config", action="config", help=_CONFIG_HELP)
    add_options(parser)
    run: Any = parser.add_argument_group(f"Settings of a run, as for fit; {counting} count here")
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

"""Settings of `ftlab data`: a run's, read as `fit` reads them, of which only the data and the tokenizer are loaded."""

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
from ftlab.data.module import ChatData
from ftlab.errors import FtlabError, SettingError
from ftlab.plugins import warn_of_skipped


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
    sources = Sources(args)
    parser = LightningArgumentParser(
        f"ftlab data {action}", description=description, exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("-c", "--config", action="config", help="A run's YAML; several are read in order.")
    add_options(parser)
    parser.add_argument("--seed_everything", type=int | bool, default=DEFAULT_SEED, help="Seed of the run.")
    add_settings(parser)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    try:
        config = parser.parse_args(list(args))
        settings = parser.instantiate_classes(config)
    except SettingError as error:
        raise FtlabError(f"{sources.place(error.key)}: {error.reason}") from error
    except (ArgumentError, ValueError) as error:
        known = [option.dest for option in parser._actions if option.dest != "help"]
        raise explain(str(error), sources, known) from error
    warn_of_skipped()
    return settings


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

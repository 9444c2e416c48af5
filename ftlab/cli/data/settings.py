"""Settings of `ftlab data`: a run's, read as `fit` reads them, of which only the data and the tokenizer are loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from ftlab.cli.data import USAGE
from ftlab.cli.reading import parse_settings
from ftlab.data.module import ChatData


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
    counting = "those of data and model.base"
    return parse_settings(f"ftlab data {action}", USAGE[action], description, counting, args, add_options)


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

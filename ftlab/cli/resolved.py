"""Resolved: the settings of a fit as it would begin with them, read in full and not run. It knows no sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from ftlab.cli.lightning import FtlabCLI


class Resolved(FtlabCLI):
    """A fit that is read and not run.

    Args:
        args: its options.

    Raises:
        FtlabError: one of them is at fault.
    """

    def __init__(self, args: Sequence[str]) -> None:
        super().__init__("fit", args)

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing."""

    @property
    def settings_of_run(self) -> dict[str, Any]:
        """The resolved settings, as a run's `config.yaml` has them."""
        return yaml.safe_load(self._parser("fit").dump(self.config["fit"], skip_unset=False))

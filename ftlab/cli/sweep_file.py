"""Sweep file: a sweep's YAML, its faults with the line where they stand. It knows nothing of what settings mean."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml

from ftlab.cli.sources import Sources
from ftlab.errors import FtlabError, SettingError, choices_help
from ftlab.sweep.settings import Sweep


class Loader(yaml.SafeLoader):
    """Reads `1e-4` as the number that it is to a run's YAML too."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


class SweepFile:
    """A sweep's YAML.

    Args:
        name: of the file.

    Raises:
        FtlabError: there is none, or it is no YAML.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.node = Sources(["--config", name]).files[name]

    def read(self, **options: Any) -> Sweep:
        """Return the settings.

        Args:
            options: those of the command line, which win; None is not given.

        Raises:
            FtlabError: one is at fault.
        """
        given = yaml.load(Path(self.name).read_text(encoding="utf-8"), Loader)
        known = [field.name for field in dataclasses.fields(Sweep) if field.init]
        for key in given:
            if key not in known:
                raise FtlabError(f"{self.place(str(key))}: not a setting of a sweep; {choices_help(str(key), known)}")
        for key in ("config", "space"):
            if key not in given:
                raise FtlabError(f"{self.name}: {key}: not set; a sweep needs it, see ftlab sweep --help")
        given = {"name": Path(self.name).stem} | given | {k: v for k, v in options.items() if v is not None}
        try:
            return Sweep(**given)
        except SettingError as error:
            raise self.fault(error.key, error.reason) from error

    def fault(self, key: str, reason: str) -> FtlabError:
        """Return a fault of a setting, with the line where it stands."""
        return FtlabError(f"{self.place(key)}: {reason}")

    def place(self, key: str) -> str:
        """Return where a dotted key stands, as `file:line: key`; of one that is nowhere, the nearest above it."""
        node, rest, line = self.node, key, None
        while isinstance(node, yaml.MappingNode):
            inside = [(k, v) for k, v in node.value if f"{rest}.".startswith(f"{k.value}.")]
            if not inside:
                break
            name, node = max(inside, key=lambda pair: len(pair[0].value))
            line, rest = name.start_mark.line + 1, rest[len(name.value) + 1 :]
        return f"{self.name}:{line}: {key}" if line else f"{self.name}: {key}"

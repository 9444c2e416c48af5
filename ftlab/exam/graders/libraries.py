"""Libraries: those that one grader alone needs, imported at its first use. They know no grader."""

from __future__ import annotations

import importlib
from types import ModuleType

from ftlab.errors import FtlabError


def optional(module: str, what: str) -> ModuleType:
    """Import a library of the extra `exam`.

    Args:
        module: its name.
        what: what needs it, as the beginning of a sentence.

    Raises:
        FtlabError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FtlabError(f"{what} needs the library {module}; install it with: pip install 'ftlab[exam]'") from error

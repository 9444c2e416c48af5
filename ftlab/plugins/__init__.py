"""Plugins: classes of the open kinds from files, modules and installed packages.

The kinds are ftlab.Method, ftlab.Grader, ftlab.Format and ftlab.Step. Built-ins use nothing that a plugin cannot
use: subclassing is registering.
"""

from ftlab.plugins.keeping import keep
from ftlab.plugins.loading import failure_of, is_file, load_plugins, warn, warn_of_skipped
from ftlab.plugins.registry import origin, registered, source_file

__all__ = [
    "failure_of",
    "is_file",
    "keep",
    "load_plugins",
    "origin",
    "registered",
    "source_file",
    "warn",
    "warn_of_skipped",
]

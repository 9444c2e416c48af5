"""The registry: subclassing is registering. It knows which classes there are and whence, and imports no plugin."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from pathlib import Path
from typing import TypeVar

from ftlab.errors import FtlabError

Kind = TypeVar("Kind")

ENTRY_POINT_GROUP = "ftlab.plugins"
#: Plugin files live under this package name, so that `timeit.py` cannot shadow the standard library.
NAMESPACE = "plugins"


def registered(kind: type[Kind]) -> dict[str, type[Kind]]:
    """Return the concrete subclasses of `kind` by their class names, in the order in which they were defined.

    One whose name begins with `_` is nobody's choice; `--help` leaves it out too.

    Raises:
        FtlabError: two classes have one name; the message names both files.
    """
    found: dict[str, type[Kind]] = {}
    waiting = list(kind.__subclasses__())
    while waiting:
        cls = waiting.pop(0)
        waiting.extend(cls.__subclasses__())
        if inspect.isabstract(cls) or cls.__name__[0] == "_" or _left_over(cls) or found.get(cls.__name__) is cls:
            continue
        if other := found.get(cls.__name__):
            raise FtlabError(
                f"{source_file(cls)}: a {kind.__name__} called {cls.__name__} is already defined in "
                f"{source_file(other)}; rename one of the two"
            )
        found[cls.__name__] = cls
    return found


def origin(cls: type) -> str:
    """Return where a registered class comes from: `built-in`, a file, or the name and version of a package."""
    if top(cls.__module__) == "ftlab":
        return "built-in"
    name, version = package_of(cls.__module__)
    return f"{name} {version}" if name else source_file(cls)


def source_file(cls: type) -> str:
    """Return the file that defines a class, relative to the working directory where it lies below it."""
    module = sys.modules.get(cls.__module__)
    return shown(Path(getattr(module, "__file__", None) or cls.__module__))


def package_of(module: str) -> tuple[str, str] | tuple[None, None]:
    """Return name and version of the installed package that a module belongs to, if it belongs to one."""
    if top(module) == NAMESPACE:
        return None, None
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if top(entry_point.module) == top(module) and entry_point.dist:
            return entry_point.dist.name, entry_point.dist.version
    for name in importlib.metadata.packages_distributions().get(top(module), ()):
        return name, importlib.metadata.version(name)
    return None, None


def top(module: str) -> str:
    """Return the outermost package of a dotted name."""
    return module.partition(".")[0]


def shown(file: Path) -> str:
    """Return a path as a user reads it: relative where it lies below the working directory."""
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _left_over(cls: type) -> bool:
    """Return whether a class's module failed after it was defined, or has defined another one of its name since."""
    module = sys.modules.get(cls.__module__)
    return module is None or getattr(module, cls.__name__, cls) is not cls

"""The registry: subclassing is registering. It imports built-ins, packages and plugin files; it knows no kind by name.

A plugin is a Python file (or an installed package with an entry point in the group `ftlab.plugins`) that subclasses
one of the open kinds, `ftlab.Method` or `ftlab.Grader`. Built-ins use nothing that a plugin cannot use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
import types
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from ftlab.errors import FtlabError

Kind = TypeVar("Kind")

ENTRY_POINT_GROUP = "ftlab.plugins"
#: Plugin files live under this package name, so that `timeit.py` cannot shadow the standard library.
NAMESPACE = "plugins"


def load_plugins(files: Iterable[str | Path] = (), folder: str | Path = "plugins") -> None:
    """Import the built-ins, every entry point of the group, each file of `folder`, and the named files.

    A file that the user named must import; a file that merely lies in the folder is skipped with a warning if it
    does not, because the run may not need it.

    Raises:
        FtlabError: a named file is missing or fails to import.
    """
    importlib.import_module("ftlab.methods")
    importlib.import_module("ftlab.exam.graders")
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry_point.load()
    named = [Path(file) for file in files]
    for file in sorted(Path(folder).glob("*.py")):
        if file.resolve() not in {path.resolve() for path in named}:
            try:
                _import_file(file)
            except FtlabError as error:
                print(f"ftlab: warning: plugin skipped: {error}", file=sys.stderr)
    for file in named:
        _import_file(file)


def registered(kind: type[Kind]) -> dict[str, type[Kind]]:
    """Return the concrete subclasses of `kind` by their class names, in the order in which they were defined.

    Raises:
        FtlabError: two classes have one name; the message names both files.
    """
    found: dict[str, type[Kind]] = {}
    waiting = list(kind.__subclasses__())
    while waiting:
        cls = waiting.pop(0)
        waiting.extend(cls.__subclasses__())
        if inspect.isabstract(cls) or found.get(cls.__name__) is cls:
            continue
        if other := found.get(cls.__name__):
            raise FtlabError(
                f"{source_file(cls)}: a {kind.__name__} called {cls.__name__} is already defined in "
                f"{source_file(other)}; rename one of the two"
            )
        found[cls.__name__] = cls
    return found


def origin(cls: type) -> str:
    """Return where a registered class comes from: `built-in`, a file of plugins, or the name of a package."""
    package = cls.__module__.partition(".")[0]
    if package == "ftlab":
        return "built-in"
    return source_file(cls) if package == NAMESPACE else f"package {package}"


def source_file(cls: type) -> str:
    """Return the file that defines a class, relative to the working directory where it lies below it."""
    file = Path(inspect.getsourcefile(cls) or cls.__module__)
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _import_file(file: Path) -> None:
    name = f"{NAMESPACE}.{file.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and Path(loaded.__file__ or "").resolve() == file.resolve():
        return
    if not file.is_file():
        raise FtlabError(f"{file}: no such plugin file; check --plugins")
    if loaded is not None:
        raise FtlabError(f"{file}: a plugin called {file.stem} is already loaded from {loaded.__file__}; rename one")
    if NAMESPACE not in sys.modules:
        namespace = types.ModuleType(NAMESPACE)
        namespace.__path__ = []  # a package, so that `import plugins.x` and class paths resolve
        sys.modules[NAMESPACE] = namespace
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise FtlabError(f"{file}:{_line_in(file, error)}: {error}; fix the plugin or leave it out") from error
    setattr(sys.modules[NAMESPACE], file.stem, module)


def _line_in(file: Path, error: Exception) -> int:
    """Return the last line of `file` that the error passed through (a syntax error carries its own)."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
    return (lines[-1] if lines else None) or 1

"""Loading: imports built-ins, installed packages, modules and files of plugins. It knows no kind by name."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ftlab.errors import FtlabError
from ftlab.plugins.keeping import Kept, read_kept
from ftlab.plugins.registry import ENTRY_POINT_GROUP, NAMESPACE, shown, top

#: Files of the folder that are no plugins: parts of a package, and tests that lie beside what they test.
NO_PLUGINS = ("_", "test_", "conftest.")


@dataclass(frozen=True)
class Skipped:
    """A plugin that failed to import and was not asked for by name.

    Args:
        module: its dotted name.
        source: its text.
        error: what to show if the run uses it.
    """

    module: str
    source: str
    error: FtlabError

    def defines(self, name: str) -> bool:
        """Return whether a class, named alone or with its module, is one of this plugin's."""
        module, _, cls = name.rpartition(".")
        if module:
            return f"{module}.".startswith(f"{self.module}.")
        return re.search(rf"^class {re.escape(cls)}\b", self.source, flags=re.MULTILINE) is not None


_skipped: list[Skipped] = []


def load_plugins(
    named: Iterable[str | Path] = (), folder: str | Path = "plugins", configs: Iterable[str | Path] = ()
) -> None:
    """Import the built-ins, each entry point of the group, the named plugins, a run's own, and each file of `folder`.

    What the user named must import. What merely lies there is skipped if it fails: `failure_of` tells of it where the
    run needs it, `warn_of_skipped` where it does not.

    Args:
        named: files, or modules by their dotted names.
        folder: plugins that are loaded without being named.
        configs: config files; one in a run's folder brings the plugins that the run was made with.

    Raises:
        FtlabError: a named plugin is missing or fails.
    """
    _skipped.clear()
    importlib.import_module("ftlab.methods")
    importlib.import_module("ftlab.exam.graders")
    importlib.import_module("ftlab.data.formats")
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        root = _root(entry_point.module)
        _try(entry_point.module, root, partial(_import_entry_point, entry_point, root))
    kept = [plugin for config in configs for plugin in read_kept(Path(config).parent / NAMESPACE)]
    for name in map(str, named):
        if is_file(name):
            if Path(name).is_file() or not any(plugin.module == _module_name(Path(name)) for plugin in kept):
                import_file(Path(name))
        elif not any(top(plugin.module) == top(name) for plugin in kept):
            import_module(name)
    for plugin in kept:
        _try(plugin.module, plugin.copy, partial(_import_kept, plugin))
    for file in sorted(Path(folder).glob("*.py")):
        if not file.name.startswith(NO_PLUGINS):
            _try(_module_name(file), file, partial(import_file, file))


def failure_of(name: str) -> FtlabError | None:
    """Return why a class, named alone or with its module, is missing, if a plugin that defines it was skipped."""
    return next((plugin.error for plugin in _skipped if plugin.defines(name)), None)


def warn_of_skipped() -> None:
    """Say which plugins were skipped; to be called where it is clear that the run needs none of them."""
    for plugin in _skipped:
        warn(f"plugin skipped: {plugin.error}")


def warn(text: str) -> None:
    """Print a warning."""
    print(f"ftlab: warning: {text}", file=sys.stderr)


def is_file(name: str) -> bool:
    """Return whether the name of a plugin means a file; otherwise it means a module."""
    return Path(name).is_file() or name.endswith(".py") or "/" in name


def import_file(file: Path) -> None:
    """Import a plugin file as a module of the namespace.

    Raises:
        FtlabError: it is missing, fails, or another one of its name is loaded.
    """
    name = _module_name(file)
    loaded = sys.modules.get(name)
    if loaded is not None and Path(loaded.__file__ or "").resolve() == file.resolve():
        return
    if not file.is_file():
        raise FtlabError(f"{file}: no such plugin file; check --plugins")
    if not file.stem.isidentifier():
        raise FtlabError(f"{file}: its name cannot stand in a class path; use letters, digits and _ only")
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
        with _faults_of(file):
            spec.loader.exec_module(module)
    except FtlabError:
        del sys.modules[name]
        raise
    setattr(sys.modules[NAMESPACE], file.stem, module)


def import_module(name: str) -> None:
    """Import a plugin by its dotted name, installed or below the working directory.

    Raises:
        FtlabError: there is none, or it fails.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where `ftlab` is started; at the end, so that it shadows nothing installed
    importlib.invalidate_caches()
    try:
        with _faults_of(_root(name)):
            importlib.import_module(name)
    except FtlabError as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and f"{name}.".startswith(f"{missing.name}."):
            raise FtlabError(f"{name}: neither a plugin file nor a module that can be imported; check --plugins") from (
                missing
            )
        raise


def _import_entry_point(entry_point: importlib.metadata.EntryPoint, root: Path | None) -> None:
    with _faults_of(root or Path(f"entry point {entry_point.value}")):
        entry_point.load()


def _import_kept(plugin: Kept) -> None:
    """Import a run's plugin from its place, or its copy in the run's folder if its place is empty."""
    in_namespace = top(plugin.module) == NAMESPACE
    if plugin.module not in sys.modules:
        there = plugin.place.is_file() if in_namespace or not plugin.package else _root(plugin.module) is not None
        if not there:
            warn(f"{plugin.place}: the plugin is gone; the run's own copy is used, {shown(plugin.copy)}")
        if in_namespace:
            import_file(plugin.place if there else plugin.copy)
        else:
            if not (there and plugin.package):
                sys.path.append(str(plugin.root_of(plugin.place if there else plugin.copy)))
            import_module(plugin.module)
    used = Path(sys.modules[plugin.module].__file__ or "")
    if in_namespace and used.resolve() not in (plugin.place.resolve(), plugin.copy.resolve()):
        raise FtlabError(
            f"{shown(plugin.copy)}: another plugin of this name is loaded from {shown(used)}; open the runs one by one"
        )
    if not plugin.same_as(used):
        warn(f"{shown(used)} has changed since the run was made and is used; as it was: {shown(plugin.copy)}")


def _try(module: str, root: Path | None, load: Callable[[], None]) -> None:
    try:
        load()
    except FtlabError as error:
        reason = FtlabError(str(error))  # without the traceback, which would keep what the module had defined
        files = [] if root is None else [root] if root.is_file() else sorted(root.rglob("*.py"))
        source = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
        _skipped.append(Skipped(module, source, reason))
    else:
        return
    gc.collect()  # else classes of the failed module could still be found among the subclasses of their kind


def _module_name(file: Path) -> str:
    return f"{NAMESPACE}.{file.stem}"


def _root(module: str) -> Path | None:
    """Return the outermost package of a module as a folder, or a module without a package as a file."""
    try:
        spec = importlib.util.find_spec(top(module))
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    found = folders[0] if folders else spec.origin
    return Path(found) if found else None


@contextlib.contextmanager
def _faults_of(root: Path | None) -> Iterator[None]:
    """Turn whatever a plugin raises, an exit too, into one line with the plugin's last line that it passed through."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        steps = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            steps.append((error.filename, error.lineno))
        own = [step for step in steps if root and Path(step[0]).resolve().is_relative_to(root.resolve())]
        file, line = own[-1] if own else (str(root or "plugin"), 1)
        reason = "it ends the program" if isinstance(error, SystemExit) else str(error).strip() or "no message"
        raise FtlabError(
            f"{shown(Path(file))}:{line}: {type(error).__name__}: {reason.splitlines()[0]}; "
            "fix the plugin or leave it out"
        ) from error

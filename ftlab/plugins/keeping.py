"""Keeping: a copy of the plugins that a run uses, in its folder, and what is needed to find them again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftlab.plugins.registry import NAMESPACE, package_of, top

#: What was kept, in the folder of the copies.
LIST_FILE = "plugins.json"
#: Below the copies, those of modules and packages.
PACKAGES = "packages"


@dataclass(frozen=True)
class Kept:
    """One module of plugins that a run used."""

    module: str
    """Its dotted name; files are `plugins.<stem>`."""
    classes: list[str]
    """Those that the run used."""
    place: Path
    """Where it was."""
    copy: Path
    """Where its copy is."""
    sha256: str
    """Of its text."""
    package: str | None = None
    """The installed package that it belongs to."""
    version: str | None = None
    """Of the package."""

    def same_as(self, file: Path) -> bool:
        """Return whether a file holds what the run was made with."""
        return file.is_file() and _digest(file) == self.sha256

    def root_of(self, file: Path) -> Path:
        """Return the folder from which the module is imported, given its file there."""
        depth = self.module.count(".") + (file.name == "__init__.py")
        return file.resolve().parents[depth]


def keep(objects: Iterable[Any], folder: Path) -> None:
    """Copy the sources of all plugin classes in some objects, and write down where they were.

    Of a package all Python files are copied, since they may import each other.

    Args:
        objects: methods, graders, and whatever else a run is made of; built-ins and None are left out.
        folder: where to; it is made if there is something to keep.
    """
    modules: dict[str, list[str]] = {}
    for cls in dict.fromkeys(_plugin_classes(list(objects))):
        modules.setdefault(cls.__module__, []).append(cls.__name__)
    found = []
    for module, classes in modules.items():
        file = Path(getattr(sys.modules[module], "__file__", None) or "")
        if not file.is_file():
            continue  # typed into an interpreter
        package, version = package_of(module)
        file = file.resolve()
        kept = Kept(module, classes, file, _copy(module, file, folder), _digest(file), package, version)
        found.append(dataclasses.asdict(kept) | {"place": str(file), "copy": str(kept.copy.relative_to(folder))})
    if found:
        (folder / LIST_FILE).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def read_kept(folder: Path) -> list[Kept]:
    """Return what was kept in a folder; nothing where it is no folder of copies."""
    if not (folder / LIST_FILE).is_file():
        return []
    found = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
    kept = [Kept(**item | {"place": Path(item["place"]), "copy": folder / item["copy"]}) for item in found]
    return [plugin for plugin in kept if plugin.module != "__main__"]  # a script, kept to be read: it would start again


def _plugin_classes(value: Any) -> Iterator[type]:
    """Yield the classes of the plugins in an object and in what it is made of, and the plugins that they build on."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _plugin_classes(item)
        return
    for cls in type(value).__mro__:
        if top(cls.__module__) != "ftlab" and any(top(base.__module__) == "ftlab" for base in cls.__mro__):
            yield cls
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _plugin_classes(getattr(value, field.name, None))


def _copy(module: str, file: Path, folder: Path) -> Path:
    """Copy a module's file, and the package around it; return the copy of the file."""
    if top(module) == NAMESPACE or module == "__main__":
        copy = folder / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        return copy
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    package = root / top(module)
    for source in sorted(package.rglob("*.py")) if package.is_dir() else [file]:
        copy = folder / PACKAGES / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    return folder / PACKAGES / file.relative_to(root)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

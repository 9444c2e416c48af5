"""Sources: where each setting was written, file and line or option. It knows nothing of what settings mean."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ftlab.errors import FtlabError

#: Levels of the YAML that users need not think of.
HIDDEN = ("init_args",)

#: Sections that hold settings and are nothing by themselves.
SECTIONS = ("model", "data", "optimizer", "wandb", "trainer")


class Sources:
    """The config files and options of a command line.

    Args:
        args: the command line.

    Raises:
        FtlabError: a config file is missing, is not YAML, or has a key twice.
    """

    def __init__(self, args: Sequence[str]) -> None:
        self.args = list(args)
        self.files = {name: _compose(name) for name in option_values(args, "--config", "-c")}

    def values(self, key: str) -> list[str]:
        """Return a top-level setting's texts, a list's items one by one, from options and files."""
        found = option_values(self.args, f"--{key}", f"--{key}+", several=True)
        for node in self.files.values():
            value = _child(node, key)
            items = value.value if isinstance(value, yaml.SequenceNode) else [value] if value is not None else []
            found += [str(item.value) for item in items]
        return found

    def place(self, key: str, of: str = "") -> str:
        """Return where a dotted key was set, as `file:line: key`, or `--key`, or the bare key.

        Options win over files and later files over earlier ones, as they do when settings are read. Where the key
        itself is nowhere, the place of the nearest one above it is returned.

        Args:
            key: the setting.
            of: in a list, the item that is meant: its class, or the setting's value there.
        """
        parts = [part for part in key.split(".") if part not in HIDDEN]
        shown = ".".join(parts)
        for depth in range(len(parts), 0, -1):
            option = "--" + ".".join(parts[:depth])
            if depth == len(parts) and any(arg.split("=")[0] == option for arg in self.args):
                return option
            for name, node in reversed(self.files.items()):
                if (line := _line(node, parts[:depth], of)) is not None:
                    return f"{name}:{line}: {shown}"
        return shown


def option_values(args: Sequence[str], *names: str, several: bool = False) -> list[str]:
    """Return the values of an option, given as `--name value` or `--name=value`; with `several`, as `--name v v v`."""
    found = []
    for i, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in names and equals:
            found.append(value)
        elif arg in names:
            values = itertools.takewhile(lambda value: not value.startswith("-"), args[i + 1 :])
            found += itertools.islice(values, None if several else 1)
    return found


def _compose(name: str) -> Any:
    if not Path(name).is_file():
        raise FtlabError(f"{name}: no such config file; paths are relative to {Path.cwd()}")
    try:
        node = yaml.compose(Path(name).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise FtlabError(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark or error.context_mark).line + 1  # type: ignore[union-attr]
        raise FtlabError(f"{name}:{line}: not YAML ({error.problem}); check brackets and indentation") from error
    except yaml.YAMLError as error:
        raise FtlabError(f"{name}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(node, yaml.MappingNode):
        raise FtlabError(f"{name}:1: not a mapping of settings; write `key: value` lines")
    for key, value in node.value:
        if key.value in SECTIONS and not isinstance(value, yaml.MappingNode):
            line = key.start_mark.line + 1
            raise FtlabError(f"{name}:{line}: {key.value}: a section, not a value; write its settings as `key: value`")
    _refuse_duplicates(name, node, "")
    return node


def _refuse_duplicates(name: str, node: Any, above: str) -> None:
    """Refuse a key that stands twice in one mapping: YAML readers take the last one in silence."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise FtlabError(f"{name}:{line}: {above}{key.value}: already set in line {seen[key.value]}; keep one")
            seen[key.value] = line
            _refuse_duplicates(name, value, f"{above}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(name, item, above)


def _entries(node: Any) -> dict[str, tuple[Any, Any]]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    entries = {key.value: (key, value) for key, value in node.value}
    for hidden in HIDDEN:
        if hidden in entries:
            entries = {**_entries(entries[hidden][1]), **entries}
    return entries


def _child(node: Any, key: str) -> Any:
    entry = _entries(node).get(key)
    return entry[1] if entry else None


def _line(node: Any, parts: list[str], of: str = "") -> int | None:
    entry = _entries(node).get(parts[0])
    if entry is None:
        return None
    key, value = entry
    if isinstance(value, yaml.SequenceNode):
        items = sorted(value.value, key=lambda item: of not in _marks(item, parts[1:]))
        if parts[1:]:
            return next((line for item in items if (line := _line(item, parts[1:], of)) is not None), None)
        if items and of in _marks(items[0], []):
            return items[0].start_mark.line + 1
    return _line(value, parts[1:], of) if parts[1:] else key.start_mark.line + 1


def _marks(item: Any, parts: list[str]) -> set[str]:
    """Return what tells an item of a list from the others: its class, and the value of a setting."""
    found = [item, _child(item, "class_path")]
    for part in parts:
        item = _child(item, part)
    texts = [str(node.value) for node in [*found, item] if isinstance(node, yaml.ScalarNode)]
    return {*texts, *(text.rpartition(".")[2] for text in texts)}

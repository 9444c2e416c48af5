"""Peft fields: settings of YAML into the fields of a config of peft, by its annotations. It knows no type of peft."""

from __future__ import annotations

import copy
import dataclasses
import enum
import typing
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union

from ftlab.errors import SettingError, choices_help


def config_fields(cls: Any, given: dict[str, Any], key: str, refused: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a config as its annotations want them; enums and configs within it are made.

    Args:
        cls: a dataclass.
        given: its fields, as YAML has them.
        key: where they stand, dotted.
        refused: names that a user may not set, and why.

    Raises:
        SettingError: there is no such field, it may not be set, or the value is of another kind.
    """
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls) if f.init and f.name not in refused]
    for name in given:
        if name in refused and name in hints:
            raise SettingError(f"{key}.{name}", f"{name} is not yours to set: {refused[name]}")
        if name not in names:
            help_ = choices_help(str(name), names)
            raise SettingError(f"{key}.{name}", f"{name!r} is not a setting of {cls.__name__}; {help_}")
    return {name: _converted(value, hints[name], f"{key}.{name}", refused) for name, value in given.items()}


def _converted(value: Any, hint: Any, key: str, refused: Mapping[str, str]) -> Any:
    kinds = _kinds(hint)
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return kind(**config_fields(kind, value, key, refused))  # type: ignore[operator]
        if _is_enum(kind) and value in [member.value for member in kind]:
            return kind(value)
        if _fits(value, kind):
            return copy.deepcopy(value)
    words = sorted({_words(kind) for kind in kinds if kind is not NoneType}, key=lambda word: (len(word), word))
    raise SettingError(key, f"{value!r} is not {' or '.join(words)}")


def _kinds(hint: Any) -> list[Any]:
    """Return the alternatives of an annotation; a text that stands beside an enum means its values only."""
    if typing.get_origin(hint) not in (Union, UnionType):
        return [hint]
    kinds = [kind for part in typing.get_args(hint) for kind in _kinds(part)]
    return [kind for kind in kinds if kind is not str] if any(map(_is_enum, kinds)) else kinds


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a value of YAML is of a kind."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:  # a bracket in a choice of peft's stands for a number: pissa_niter_[number of iters]
        return any(value == arg or ("[" in arg and str(value).startswith(arg.split("[")[0])) for arg in args)
    if origin in (list, tuple):
        inner = args[:1] * len(value) if origin is list and isinstance(value, list) else args
        fits = isinstance(value, list) and len(value) == len(inner)
        return fits and all(_fits_one(v, k) for v, k in zip(value, inner, strict=True))
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits_one(k, args[0]) and _fits_one(v, args[1]) for k, v in value.items()
        )
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _fits_one(value: Any, hint: Any) -> bool:
    return any(_fits(value, kind) for kind in _kinds(hint))


def _words(kind: Any) -> str:
    """Return a kind as a person would say it."""
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, typing.get_args(kind)))}"
    if _is_enum(kind):
        return f"one of {', '.join(repr(member.value) for member in kind)}"
    if typing.get_origin(kind) in (list, tuple):
        return "a list" + "".join(f" of {_words(arg)}" for arg in typing.get_args(kind)[:1])
    if typing.get_origin(kind) is dict or kind is dict or dataclasses.is_dataclass(kind):
        return "a mapping"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(kind, str(kind))

"""Config: objects into the YAML that makes them again. It knows no field by name."""

from __future__ import annotations

import inspect
import os
from typing import Any


def describe(value: Any, known: type | None = None) -> Any:
    """Return plain data that the command line's parser turns back into an equal object.

    An object is described by the arguments of its class, which it must keep as attributes of the same names.

    Args:
        value: a setting, or an object made of settings.
        known: the class that the parser expects here; any other class is named by `class_path`.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    cls = type(value)
    fields = {key: describe(getattr(value, key)) for key in inspect.signature(cls).parameters}
    if cls is known:
        return fields
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": fields}

"""Function: grades by a function of the user's own. It knows nothing of models."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders.base import Grader, placed

if TYPE_CHECKING:
    from ftlab.data.rows import Row


@dataclass
class Function(Grader):
    """The points that a function of your own gives: `name(answer, reference)`, from 0 to 1, true or false.

    A function with a parameter `row` also gets the question, a `Row`, whose columns are in `row.extra`. It is code that
    runs with your rights. For settings, or figures over all answers, write a grader as a plugin instead.
    """

    function: str
    """`file.py:name`, or `package.module:name` from the working directory or wherever Python finds it."""

    def __post_init__(self) -> None:
        """Refuse a name behind which there is no function."""
        self._call()

    def grade(self, answer: str, reference: str) -> float:
        """Return the function's points."""
        return self._points(answer, reference, {})

    def grade_row(self, answer: str, row: Row) -> float:
        """Return the function's points for the row."""
        wants_row = "row" in inspect.signature(self._call()).parameters
        with placed(row):
            return self._points(answer, row.reference or "", {"row": row} if wants_row else {})

    def _points(self, answer: str, reference: str, more: dict[str, Any]) -> float:
        try:
            points = self._call()(answer, reference, **more)
        except Exception as error:
            raise FtlabError(f"{self.function} failed: {type(error).__name__}: {_line(error)}; mend it") from error
        try:
            value = float(points)
        except (TypeError, ValueError):
            value = math.nan
        if isinstance(points, str) or not 0 <= value <= 1:
            raise FtlabError(f"{self.function} returned {points!r:.60}; return a number from 0 to 1")
        return value

    def _call(self) -> Callable[..., Any]:
        return _load(self.function)


@lru_cache(maxsize=8)
def _load(place: str) -> Callable[..., Any]:
    key = "exam.grader.function"
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise SettingError(key, f"{place!r} is not file.py:name or package.module:name")
    is_file = where.endswith(".py")
    if is_file and not Path(where).is_file():
        raise SettingError(key, f"{where!r} is not a file; paths are relative to {Path.cwd()}")
    try:
        module = _from_file(Path(where)) if is_file else _from_path(where)
    except Exception as error:
        raise SettingError(
            key, f"{where!r} is not importable: {type(error).__name__}: {_line(error)}; mend it"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise SettingError(key, f"{name!r} is not a function of {where}; define it there")
    return found


def _from_file(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"ftlab_function_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_path(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return importlib.import_module(name)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

"""Json: grades the JSON in an answer, by a schema and by its fields. It knows nothing of models."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders.base import Grader
from ftlab.exam.graders.libraries import optional

if TYPE_CHECKING:
    from ftlab.data.rows import Row

_FENCED = re.compile(r"```[ \t]*(?:json5?|JSON)?[ \t]*\n(.*?)```", flags=re.DOTALL)
#: Opening brackets in an answer that are tried; garbage may hold any number of them.
MOST_STARTS = 200


@dataclass
class Json(Grader):
    """The share of the reference's fields that the answer's JSON has right; 0 without JSON, or where it fits no schema.

    The JSON is the answer's last fenced block that holds some, else the longest object or list in the text. Fields are
    the values that hold no others, by their paths (`user.name`, `items.0`); numbers are equal as numbers, and further
    fields do no harm. The totals `valid` and `fits_schema` are shares of the answers.
    """

    fields: list[str] | None = None
    """Paths of the fields that count, a whole branch by its beginning; null takes all of the reference, an empty list
    none: then valid JSON that fits the schema has full points, and no reference is needed."""
    schema: str | dict[str, Any] | None = None
    """A JSON Schema (https://json-schema.org), as a file or written out here, which the answer must fit."""

    def __post_init__(self) -> None:
        """Refuse a schema that is none."""
        if self.schema is not None:
            self._validator()

    def grade(self, answer: str, reference: str) -> float:
        """Return the share of right fields."""
        wanted = {} if self.fields == [] else self._wanted(reference)
        found = find_json(answer)
        if found is None or not self._fits(found[0]):
            return 0.0
        given = _leaves(found[0])
        right = sum(path in given and _same(given[path], value) for path, value in wanted.items())
        return right / len(wanted) if wanted else 1.0

    def vote(self, answer: str) -> str:
        """Return the values of the fields that count, in one order; numbers by their values."""
        found = find_json(answer)
        if found is None:
            return ""
        leaves = self._counting(_leaves(found[0]))
        whole = {p: int(v) if isinstance(v, float) and v.is_integer() else v for p, v in leaves.items()}
        return json.dumps(whole, sort_keys=True) if whole else ""

    def totals(self, answers: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
        """Return the shares of answers that hold JSON, and JSON that fits."""
        found = [find_json(answer) for answer in answers]
        shares = {"valid": sum(one is not None for one in found) / max(1, len(found))}
        if self.schema is not None:
            shares["fits_schema"] = sum(one is not None and self._fits(one[0]) for one in found) / max(1, len(found))
        return shares

    def _wanted(self, reference: str) -> dict[str, Any]:
        found = find_json(reference)
        if found is None:
            raise FtlabError("no JSON in the reference; mend it, or set the grader's fields to [] to need none")
        wanted = self._counting(_leaves(found[0]))
        missing = [field for field in self.fields or () if not any(f"{p}.".startswith(f"{field}.") for p in wanted)]
        if missing:
            raise FtlabError(
                f"the reference has no field {missing[0]}; mend it, or leave the field out of the grader's"
            )
        return wanted

    def _counting(self, leaves: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that count of all those of some JSON; where none is named, all."""
        if not self.fields:
            return leaves
        return {p: v for p, v in leaves.items() if any(f"{p}.".startswith(f"{field}.") for field in self.fields)}

    def _fits(self, value: Any) -> bool:
        if self.schema is None:
            return True
        unresolvable = optional("referencing.exceptions", "Json's setting schema").Unresolvable
        try:
            return bool(self._validator().is_valid(value))
        except RecursionError:
            return False
        except unresolvable as error:
            raise FtlabError(f"exam.grader.schema: it refers to {error.ref!r}, which is nowhere; mend it") from error

    def _validator(self) -> Any:
        text = self.schema if isinstance(self.schema, str) else json.dumps(self.schema)
        return _validator(text, isinstance(self.schema, str))


def find_json(text: str) -> tuple[Any] | None:
    """Return the JSON of a text, in a tuple since it may be null; None where there is none."""
    for part in [*reversed(_FENCED.findall(text)), text]:
        try:
            return (_decoder.decode(part.strip()),)
        except (ValueError, RecursionError):
            continue
    best: tuple[int, Any] | None = None
    at = 0
    for _ in range(MOST_STARTS):
        start = re.compile(r"[{\[]").search(text, at)
        if start is None:
            break
        at = start.end()
        try:
            value, at = _decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if best is None or at - start.start() > best[0]:
            best = at - start.start(), value
    return None if best is None else (best[1],)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


def _leaves(value: Any) -> dict[str, Any]:
    """Return the values that hold no others by their paths; an empty object or list is such a value."""
    leaves = {}
    waiting = [("", value)]
    while waiting:
        path, value = waiting.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [(f"{path}.{key}" if path else str(key), child) for key, child in inner]
        if not inner or not value:
            leaves[path] = value
    return leaves


def _same(given: Any, right: Any) -> bool:
    """Return whether two values are equal; true is not 1."""
    return given == right and isinstance(given, bool) == isinstance(right, bool)


@lru_cache(maxsize=8)
def _validator(schema: str, is_file: bool) -> Any:
    key = "exam.grader.schema"
    jsonschema = optional("jsonschema", "Json's setting schema")
    try:
        content = json.loads(Path(schema).read_text(encoding="utf-8") if is_file else schema)
        cls = jsonschema.validators.validator_for(content)
        cls.check_schema(content)
    except OSError as error:
        raise SettingError(key, f"{schema!r} is not a file that can be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(key, f"{schema!r} is not JSON: {error}") from error
    except jsonschema.SchemaError as error:
        raise SettingError(key, f"{error.instance!r} is not part of a JSON Schema: {error.message}") from error
    return cls(content)

"""Explain: the parser's long messages into one line that says where, what and what instead."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from ftlab.cli.sources import Sources
from ftlab.data.curriculum import Curriculum
from ftlab.data.formats import Format
from ftlab.data.mixture import Mixture, Replay
from ftlab.data.quality.cleaning import Step
from ftlab.data.sources import Source
from ftlab.data.splits import Split
from ftlab.errors import FtlabError, choices_help
from ftlab.exam.exam import Exam
from ftlab.exam.graders import Grader
from ftlab.methods import Method
from ftlab.plugins import failure_of, registered
from ftlab.training.regularizers import Regularizer

QUOTES = "'\""

#: The sections that take a class of the registry, by the last part of their key.
KINDS: dict[str, type] = {
    "method": Method,
    "grader": Grader,
    "format": Format,
    "clean": Step,
    "regularizer": Regularizer,
}

#: Classes of sections that may be left out, and of entries of lists.
PARTS = (Source, Split, Mixture, Replay, Curriculum, Exam)

#: What the parser says where one object or a list of them may stand: its complaints about either.
ONE_OR_SEVERAL = re.compile(
    r"Does not validate against any of the Union subtypes\n"
    r" *Subtypes: \[<class '(?P<kind>[\w.]+)'>, list\[(?P=kind)\]\]\n"
    r" *Errors:\n(?P<bullet> *- )(?P<errors>.*)\n *Given value type: <class '(?P<given>[\w.]+)'>",
    flags=re.DOTALL,
)


def explain(message: str, sources: Sources, settings: list[str]) -> FtlabError:
    """Return the error to show for a message of jsonargparse.

    Args:
        message: what the parser said.
        sources: where the settings were written.
        settings: all dotted keys that the command knows.
    """
    message = ONE_OR_SEVERAL.sub(_meant, message.strip())
    if refused := re.search(r"^[ -]*([a-z_]+(?:\.[a-z_]+)+): ((.+) is not .+)$", message, flags=re.MULTILINE):
        return FtlabError(f"{sources.place(refused[1], refused[3].strip(QUOTES))}: {refused[2]}")
    keys: list[str] = re.findall(r'Parser key "([^"]+)"', message)
    key = ".".join(keys)
    nested = re.search(r"NestedArg\(key='([^']+)'", message)
    if unknown := re.search(r"class_path '([\w.]+)':\s+Option '([^']+)' is not accepted", message):
        return _unknown_setting(key, unknown[1].rpartition(".")[2], unknown[2], sources)
    if unknown := re.search(r"(?:does not accept option|[Uu]nrecognized arguments:) '?(?:--)?([\w.]+)", message):
        return _unknown_key(unknown[1], sources, settings)
    unknown = re.search(r"(?:Expected a dot import path string|[Ii]mport path): ([\w.]+)", message)
    unknown = unknown or re.search(
        r"class_path '([\w.]+)':\s+(?:No module named |module '\S+' has no attribute )", message
    )
    if unknown and (kind := KINDS.get(key.rpartition(".")[2])):
        if failure := failure_of(unknown[1]):
            return failure
        what = f"no {kind.__name__.lower()} is called {unknown[1]}; {choices_help(unknown[1], registered(kind))}"
        return FtlabError(f"{sources.place(key, unknown[1])}: {what}")
    if missing := re.search(r"arguments? (?:are|is) required: ([^\s,]+)", message):
        name = f"{key}.{missing[1]}" if key else missing[1].split(".", 1)[-1]
        return FtlabError(f"{sources.place(name)}: not set; write it into the config or give --{name}")
    if nested and not key.endswith(nested[1]):
        key = f"{key}.{nested[1]}"
    kind = KINDS.get(key.rpartition(".")[0].rpartition(".")[2])
    if kind and "instantiatable class" in message:  # a setting of a class that nobody has named
        above, what = key.rpartition(".")[0], kind.__name__.lower()
        return FtlabError(f"{sources.place(key)}: a setting of which {what}? --{above} {'|'.join(registered(kind))}")
    wanted = re.findall(r"Expected an? (.+?)(?:\.? Got value: .*)?$", message, flags=re.MULTILINE)
    given = re.search(
        r"(?:Got value|Given value: NestedArg\(.*val=|Given value): ?(.*?)\)?$", message, flags=re.MULTILINE
    )
    types = [name for name in dict.fromkeys(map(_type_name, wanted)) if name != "null"]
    if types and given:
        value = given[1].strip(QUOTES)
        return FtlabError(f"{sources.place(key, value)}: {value!r} is not {' or '.join(types)}")
    if given and (kind := KINDS.get(key.rpartition(".")[2])):
        what = f"{given[1]} is not a {kind.__name__.lower()}"
        return FtlabError(f"{sources.place(key, given[1])}: {what}; {choices_help(given[1], registered(kind))}")
    return FtlabError(f"{sources.place(key)}: {_last_reason(message)}" if key else _last_reason(message))


def _meant(union: re.Match[str]) -> str:
    """Return the complaint about what the user wrote, one object or a list."""
    one, _, several = union["errors"].partition("\n" + union["bullet"])
    return several if union["given"] == "list" else one


def _unknown_setting(key: str, cls_name: str, name: str, sources: Sources) -> FtlabError:
    """Answer for a setting that a class of the registry, or a section's class, does not have."""
    classes: dict[str, Any] = {cls.__name__: cls for cls in PARTS}
    for kind in KINDS.values():
        classes |= registered(kind)
    names = (
        [field.name for field in dataclasses.fields(classes[cls_name])]
        if dataclasses.is_dataclass(classes.get(cls_name))
        else []
    )
    place = sources.place(f"{key}.{name}", cls_name)
    help_ = choices_help(name, names) if names else "it has none; leave this out"
    return FtlabError(f"{place}: not a setting of {cls_name}; {help_}")


def _unknown_key(key: str, sources: Sources, settings: list[str]) -> FtlabError:
    """Answer for a key that no section has: name its neighbours at the level where it goes wrong."""
    parts = key.split(".")
    depth = 0
    while depth < len(parts) - 1 and any(s.startswith(".".join(parts[: depth + 1]) + ".") for s in settings):
        depth += 1
    above = ".".join(parts[:depth])
    inside = [s[len(above) + 1 :] if above else s for s in settings if not above or s.startswith(above + ".")]
    neighbours = list(dict.fromkeys(s.split(".")[0] for s in inside))
    wrong = ".".join(parts[: depth + 1])
    owner = f"a setting of {above}" if above else "a section or setting"
    return FtlabError(f"{sources.place(wrong)}: not {owner}; {choices_help(parts[depth], neighbours)}")


def _type_name(text: str) -> str:
    """Return a type as a person would say it."""
    if choices := re.search(r"Literal\[(.*)\]", text):
        return f"one of {choices[1]}"
    names = {"NoneType": "null", "bool": "true or false", "list": "a list", "str": "a text"}
    names |= {"int": "a whole number", "float": "a number"}
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text).replace("typing.", "")
    return names.get(text, f"of the type {text}")


def _last_reason(message: str) -> str:
    """Return the message's innermost line that is not about jsonargparse's own objects."""
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    useful = [
        line for line in lines if not re.match(r"(Given value|Subtypes|Errors|Expected a <class 'NoneType)", line)
    ]
    return (useful or lines)[-1]

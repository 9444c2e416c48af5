"""Domain: the values that a setting of a sweep may take. It knows no setting, and Optuna only by a trial's methods."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ftlab.errors import SettingError, choices_help, require

Label = None | bool | int | float | str


@dataclass(frozen=True)
class Choice:
    """Some values, one of which is taken; what is no plain value goes by its JSON in the study."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> list[Label]:
        """The values as a study keeps them."""
        return [json.dumps(value) if isinstance(value, (dict, list)) else value for value in self.values]

    @property
    def ends(self) -> list[Label]:
        """Labels that together show every fault a value could have."""
        return self.labels

    def suggest(self, trial: Any, key: str) -> None:
        """Let a trial take a value."""
        trial.suggest_categorical(key, self.labels)

    def value(self, label: Any) -> Any:
        """Return what a label stands for."""
        return self.values[self.labels.index(label)]

    def describe(self) -> Any:
        """Return the domain as the YAML has it."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """All numbers between two, both included; whole ones where both are."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> list[Label]:
        """The lowest and the highest: values between them have no other faults."""
        return [self.low, self.high]

    def suggest(self, trial: Any, key: str) -> None:
        """Let a trial take a value."""
        if self.whole:
            trial.suggest_int(key, self.low, self.high, step=self.step or 1, log=self.log)
        else:
            trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)

    def value(self, label: Any) -> Any:
        """Return what a label stands for: itself."""
        return label

    def describe(self) -> Any:
        """Return the domain as the YAML has it."""
        return {"low": self.low, "high": self.high, "step": self.step, "log": self.log}


def read_domain(given: Any, key: str) -> Choice | Range:
    """Return the domain that a list or a mapping means.

    Args:
        given: a list of values, or a mapping of `low`, `high` and perhaps `step` or `log`.
        key: dotted, for messages.

    Raises:
        SettingError: it means none.
    """
    if isinstance(given, list):
        return _choice(given, key)
    wanted = "a list of values, or low and high, such as {low: 1.0e-4, high: 1.0e-2, log: true}"
    require(isinstance(given, dict), key, given, wanted)
    names = ["low", "high", "step", "log"]
    for name in given:
        if name not in names:
            reason = f"not a part of a range; {choices_help(str(name), names)}; values to choose from go in a list"
            raise SettingError(f"{key}.{name}", reason)
    for name in ("low", "high"):
        if name not in given:
            raise SettingError(key, f"a range without {name}; write {wanted}")
    for name in ("low", "high", "step"):
        number = isinstance(given.get(name, 0), (int, float)) and not isinstance(given.get(name), bool)
        require(number, f"{key}.{name}", given.get(name), "a number")
    require(isinstance(given.get("log", False), bool), f"{key}.log", given.get("log"), "true or false")
    found = Range(**given)
    require(found.low < found.high, f"{key}.low", found.low, f"below {found.high}, its high")
    require(not found.log or found.low > 0, f"{key}.low", found.low, "above 0, as log: true wants")
    require(not (found.log and found.step), f"{key}.step", found.step, "for log: true; leave one of them out")
    if found.step is not None:
        require(found.step > 0, f"{key}.step", found.step, "above 0")
        whole = not found.whole or isinstance(found.step, int)
        require(whole, f"{key}.step", found.step, "a whole number, as low and high are")
        steps = (found.high - found.low) / found.step
        require(abs(steps - round(steps)) < 1e-9, f"{key}.step", found.step, f"a part of {found.high} - {found.low}")
    return found


def _choice(given: list[Any], key: str) -> Choice:
    require(bool(given), key, given, "a list with a value in it")
    for value in given:
        try:
            json.dumps(value)
        except TypeError as error:  # YAML has dates, sets and bytes too
            raise SettingError(key, f"{value} is a {type(value).__name__} to YAML; put it in quotes") from error
    found = Choice(tuple(given))
    seen: list[Label] = []
    for label in found.labels:
        if label in seen:
            raise SettingError(key, f"{label!r} is there twice; keep one")
        seen.append(label)
    return found

"""Settings of a sweep: what its YAML says. They know no run and no study."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ftlab.callbacks.condition import LOWER_IS_BETTER
from ftlab.errors import SettingError, choices_help, require
from ftlab.sweep.domain import Choice, Label, Range, read_domain

Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["median", "halving", "diverging"]
Direction = Literal["minimize", "maximize"]

#: Trials of a sweep that is no grid and does not say how many.
TRIALS = 20

#: Settings of a run that a sweep sets itself, or that have no meaning in one.
OWN = ("name", "config", "ckpt_path", "plugins")

#: Parts of the names of metrics by what is better.
LOWER = LOWER_IS_BETTER | {"peak_bytes"}
HIGHER = {"score", "low", "high", "tokens_per_second"}


@dataclass
class Sweep:
    """A sweep over settings of a run."""

    config: str | list[str]
    """The run's YAML, or several read in order as with `ftlab fit --config A --config B`; paths are relative to where
    the command is typed."""
    space: dict[str, Any]
    """Settings by their dotted keys, as the options of `ftlab fit` have them, each with the values it may take: a list,
    as in `method.r: [4, 8, 16]` or `method: [LoRA, IA3, {class_path: LoRA, init_args: {r: 64}}]`, or a range,
    as in `optimizer.lr: {low: 1e-4, high: 1e-1, log: true}` or `method.r: {low: 4, high: 64, step: 4}`, which is of
    whole numbers where low and high are. `seed_everything: [1, 2, 3]` in a grid repeats each point."""
    name: str
    """Folder below runs/ for the trials' runs and what came out; by default the file's name."""
    sampler: Sampler = "tpe"
    """Who chooses the next values: `tpe` learns from the trials before (Bergstra et al., 2011), `random` does not,
    `grid` takes every combination of lists, in their order."""
    trials: int | None = None
    """How many trials; null is 20, and for a grid all of its points, which is the only number that a grid takes."""
    objective: str = "exam/score"
    """What is searched for, by the name of its metric, as in `validation/loss`, `retention/score`, `train/loss`. Its
    value is that of the checkpoint which the run keeps; an exam is the one sat after training. Of what is measured
    only in training it is the last one logged."""
    direction: Direction | None = None
    """`minimize` or `maximize`; null knows that losses are better low and scores high."""
    pruner: Pruner | None = None
    """What ends a trial early that will not be the best. It judges the objective at the trial's validations, so an exam
    has to be sat at them (`exam.every`). `median` ends a trial that is worse than the median of the others at the same
    validation, once five have ended (Golovin et al., 2017); `halving` lets the best third go on at validations 1, 3, 9
    and so on (ASHA, Li et al., 2020, arXiv:1810.05934); `diverging` ends only what is worse than the worst beginning of
    any trial. What is not a finite number ends a trial in any case."""
    warmup: int = 1
    """The first validation of a trial at which it may be pruned."""
    storage: str | None = None
    """Optuna's storage, an address of SQLAlchemy; null is `sqlite:///runs/<name>/sweep.db`. Commands with the same
    address and name share the trials, on one machine or many: `postgresql://user@host/db`."""
    seed: int = 7
    """Seed of the sampler; that of the runs is `seed_everything`."""
    timeout: float | None = None
    """Seconds after which this command begins no further trial; the same command goes on later."""
    domains: dict[str, Choice | Range] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        require(bool(self.config) and _is_texts(self.config), "config", self.config, "a YAML file, or a list of them")
        parts = Path(self.name).parts if isinstance(self.name, str) else ()
        whole = bool(parts) and ".." not in parts and not Path(self.name).is_absolute()
        require(whole, "name", self.name, "a name for a folder")
        for key, kind in (("sampler", Sampler), ("pruner", Pruner), ("direction", Direction)):
            value = getattr(self, key)
            if value not in get_args(kind) and (value is not None or key == "sampler"):
                raise SettingError(key, f"{value!r} is none; {choices_help(str(value), get_args(kind))}")
        whole = isinstance(self.trials, int) and not isinstance(self.trials, bool) and self.trials >= 1
        require(self.trials is None or whole, "trials", self.trials, "a whole number of 1 or more")
        for key, least in (("warmup", 1), ("seed", 0)):
            value = getattr(self, key)
            require(isinstance(value, int) and value >= least, key, value, f"a whole number of {least} or more")
        number = isinstance(self.timeout, (int, float)) and self.timeout > 0
        require(self.timeout is None or number, "timeout", self.timeout, "a number of seconds above 0")
        require(self.storage is None or isinstance(self.storage, str), "storage", self.storage, "an address")
        self._read_space()
        self.direction = self.direction or _direction(self.objective)

    def _read_space(self) -> None:
        require(isinstance(self.space, dict) and bool(self.space), "space", self.space, "settings with their values")
        for key in self.space:
            if str(key).split(".")[0] in OWN:
                raise SettingError(f"space.{key}", "a sweep sets this itself; leave it out")
        self.domains = {str(key): read_domain(given, f"space.{key}") for key, given in self.space.items()}
        if self.sampler != "grid":
            return
        for key, domain in self.domains.items():
            if isinstance(domain, Range):
                raise SettingError(f"space.{key}", "a grid needs a list of values; write one, or sampler: random")
        if self.trials is not None:
            raise SettingError("trials", "a grid runs all of its points; leave it out, or write sampler: random")

    @property
    def configs(self) -> list[str]:
        """The run's YAML files."""
        return [self.config] if isinstance(self.config, str) else list(self.config)

    @property
    def count(self) -> int:
        """How many trials it has."""
        return len(self.points) if self.sampler == "grid" else self.trials or TRIALS

    @property
    def points(self) -> list[dict[str, Label]]:
        """The labels of each point of a grid; empty for other samplers."""
        if self.sampler != "grid":
            return []
        products = itertools.product(*(domain.ends for domain in self.domains.values()))
        return [dict(zip(self.domains, labels, strict=True)) for labels in products]

    @property
    def probes(self) -> list[dict[str, Any]]:
        """Settings that together show what `fit` would refuse: of a grid all, else each value and end of a range."""
        ends = {key: domain.ends for key, domain in self.domains.items()}
        most = max(map(len, ends.values()))
        covering = [{key: labels[min(i, len(labels) - 1)] for key, labels in ends.items()} for i in range(most)]
        return [self.settings(point) for point in self.points or covering]

    @property
    def address(self) -> str:
        """Where the study is stored."""
        return self.storage or f"sqlite:///runs/{self.name}/sweep.db"

    @property
    def folder(self) -> Path:
        """Where the trials' runs are."""
        return Path("runs") / self.name

    def settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the values that a study's labels stand for, so that `method.r` goes on top of `method`."""
        keys = sorted((key for key in self.domains if key in params), key=lambda key: key.count("."))
        return {key: self.domains[key].value(params[key]) for key in keys}


def _is_texts(value: Any) -> bool:
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))


def _direction(objective: Any) -> Direction:
    """Return what is better of a metric.

    Raises:
        SettingError: its name does not say.
    """
    require(isinstance(objective, str) and bool(objective), "objective", objective, "the name of a metric")
    parts = set(objective.split("/"))
    if parts & LOWER:
        return "minimize"
    if parts & HIGHER:
        return "maximize"
    reason = f"whether {objective} is better low or high is not known; add direction: minimize or direction: maximize"
    raise SettingError("objective", reason)

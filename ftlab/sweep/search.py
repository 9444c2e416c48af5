"""Search: Optuna's samplers and pruners by the names that a sweep gives them. It knows no run and no storage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState


def make_sampler(name: str, seed: int, slot: int, count: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial.

    Each trial has a seed of its own: a sampler that was seeded once would begin anew with every command that goes on,
    and choose what it has chosen before.

    Args:
        name: `tpe`, `random`, or `grid`, whose points are given to the trials beforehand.
        seed: of the sweep.
        slot: of the trial.
        count: trials of the sweep; `tpe` draws a quarter of them at random, 3 to 10, before it learns from them.
    """
    own = int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=own, n_startup_trials=max(3, min(10, count // 4)))
    return optuna.samplers.RandomSampler(seed=own)


def make_pruner(name: str | None, warmup: int) -> optuna.pruners.BasePruner:
    """Return what decides whether a trial goes on.

    Args:
        name: `median`, `halving`, `diverging`, or None for none.
        warmup: the first validation at which a trial may be pruned.
    """
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warmup)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=warmup, reduction_factor=3)
    return Diverging(warmup) if name == "diverging" else optuna.pruners.NopPruner()


class Diverging(optuna.pruners.BasePruner):
    """Prunes a trial that is worse than the worst beginning of any trial that ran to its end, or than its own.

    Args:
        warmup: the first validation at which a trial may be pruned.
    """

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup

    def prune(self, study: Any, trial: FrozenTrial) -> bool:
        """Return whether the trial should end now."""
        step = trial.last_step
        if step is None or step < self.warmup:
            return False
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = [other.intermediate_values for other in [*ended, trial]]
        beginnings = [first for found in values if found and math.isfinite(first := found[min(found)])]
        if not beginnings:
            return False
        sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
        return sign * trial.intermediate_values[step] > max(sign * first for first in beginnings)

"""Find-lr: the learning-rate finder, a sweep over rates with short runs. It starts nothing itself.

The classic finder raises the rate within one run and looks where the loss falls fastest (Smith, 2015,
arXiv:1506.01186). Here each rate gets a real run, with warmup, schedule and validation, since what a rate comes to at
the end of a run is not seen in one that it was raised through.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from ftlab.cli.resolved import Resolved
from ftlab.cli.sources import option_values
from ftlab.errors import FtlabError
from ftlab.sweep.settings import Sweep

#: How many rates, and how far the outer ones are from the config's own.
RATES, REACH = 7, 30

#: Validations of a short run.
VALIDATIONS = 4


def plan(options: argparse.Namespace, rest: Sequence[str]) -> tuple[Sweep, list[str]]:
    """Return the sweep, and the further options of fit that make its runs short.

    Args:
        options: the command's own: low, high, trials, steps, and a sweep's name, storage, timeout.
        rest: options of fit.

    Raises:
        FtlabError: one of them is at fault.
    """
    if options.steps < VALIDATIONS:
        raise FtlabError(f"--steps: {options.steps} is not {VALIDATIONS} or more")
    configs = option_values(rest, "--config", "-c")
    if not configs:
        raise FtlabError("--find-lr: of which run? ftlab sweep --find-lr --config X.yaml")
    base = Resolved(rest)
    rate = base.experiment.tuner.optimizer.lr
    low = rate / REACH if options.low is None else options.low
    high = rate * REACH if options.high is None else options.high
    count = RATES if options.trials is None else options.trials
    if not 0 < low < high:
        raise FtlabError(f"--low: {low:g} is not above 0 and below {high:g}, the highest rate")
    if count < 2:
        raise FtlabError(f"--trials: {count} is not 2 or more")
    rates = [float(f"{each:.2g}") for each in np.geomspace(low, high, count)]
    own = base.trainer_options["max_steps"]
    steps = min(options.steps, own) if own > 0 else options.steps
    every = max(1, steps // VALIDATIONS) * int(base.trainer_options["accumulate_grad_batches"])
    short = {} if options.exams else {"exam": "null", "retention": "null", "best": "null"}
    short |= {
        "early_stopping": "null",
        "memorisation": "0",
        "trainer.log_every_n_steps": "1",
        "trainer.max_steps": str(steps),
        "trainer.val_check_interval": str(every),
        "trainer.check_val_every_n_epoch": "null",
    }
    sweep = Sweep(
        config=configs,
        space={"optimizer.lr": list(dict.fromkeys(rates))},
        name=options.name or f"{base.settings.name}-lr",
        sampler="grid",
        objective="validation/loss",
        pruner="diverging",
        storage=options.storage,
        timeout=options.timeout,
    )
    return sweep, [f"--{key}={value}" for key, value in short.items()]

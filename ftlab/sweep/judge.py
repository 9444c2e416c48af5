"""Judge: what a trial's own process tells the study, and whether it may go on. It knows no training."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass

#: Tells a trial's process what it is a trial of; an address may hold a password, which an option would show to all.
VARIABLE = "FTLAB_TRIAL"


@dataclass(frozen=True)
class Judge:
    """A trial as its own process sees it."""

    storage: str
    study: str
    trial: int
    """Id in the storage."""
    objective: str
    pruner: str | None
    warmup: int

    @classmethod
    def of_environment(cls) -> Judge:
        """Return the judge of this process."""
        return cls(**json.loads(os.environ[VARIABLE]))

    @property
    def environment(self) -> dict[str, str]:
        """What the trial's process needs in its environment."""
        return {VARIABLE: json.dumps(asdict(self))}

    def stops(self, value: float, validation: int, last: bool) -> bool:
        """Record the objective at a validation; return whether the trial is to be ended, which is recorded too.

        Args:
            value: of the objective.
            validation: which of the trial's, from 1.
            last: whether the trial ends here anyway.
        """
        import optuna

        from ftlab.sweep.search import make_pruner
        from ftlab.sweep.storage import open_storage

        storage = open_storage(self.storage)
        try:
            storage.set_trial_intermediate_value(self.trial, validation, value)
            study = optuna.load_study(study_name=self.study, storage=storage)
            pruner = make_pruner(self.pruner, self.warmup)
            stops = not math.isfinite(value) or (not last and pruner.prune(study, storage.get_trial(self.trial)))
            if stops:
                storage.set_trial_user_attr(self.trial, "stopped", {"validation": validation, "value": repr(value)})
        except optuna.exceptions.UpdateFinishedTrialError:  # it was taken for dead, and is run again elsewhere
            stops = True
        finally:
            storage.remove_session()
            storage.engine.dispose()
        return bool(stops)

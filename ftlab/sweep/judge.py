"""Judge: what a trial's own process tells the study, and whether it may go on. It knows no training."""

from __future__ import annotations

import json
import math
import os
import warnings
from dataclasses import asdict, dataclass

from ftlab.errors import SettingError

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

        Where the database does not answer the trial goes on: its training is worth more than one report.

        Args:
            value: of the objective.
            validation: which of the trial's, from 1.
            last: whether the trial ends here anyway.
        """
        from optuna.exceptions import OptunaError, UpdateFinishedTrialError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return self._recorded(value, validation, last)
        except UpdateFinishedTrialError:  # it was taken for dead, and is run again elsewhere
            return True
        except (OptunaError, SQLAlchemyError, SettingError):
            warnings.warn("the sweep's database does not answer; the trial goes on unreported", stacklevel=2)
            return False

    def _recorded(self, value: float, validation: int, last: bool) -> bool:
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
        finally:
            storage.remove_session()
            storage.engine.dispose()
        return bool(stops)

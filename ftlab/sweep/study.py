"""Study: the trials of a sweep in Optuna's storage, handed out one by one and each exactly once. It starts no run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ftlab.errors import FtlabError
from ftlab.sweep.search import make_sampler
from ftlab.sweep.settings import Sweep
from ftlab.sweep.storage import GRACE, Holder, alone, is_file, is_gone, open_storage, patient

#: So many kills of its process are taken for a trial's own fault; memory that is short stays short.
KILLS = 2


class Study:
    """A sweep's study.

    Its trials are slots, from 0 to `sweep.count - 1`, each put into the storage as a waiting trial of Optuna's
    when it is due. One whose process was killed is put there once more, with the same parameters and the next number of
    `attempt`.

    Args:
        sweep: its settings.
        definition: all that decides what a trial comes to, by name; another one is refused.
        again: run those once more that have failed.
    """

    def __init__(self, sweep: Sweep, definition: dict[str, Any], again: bool = False) -> None:
        self.sweep = sweep
        self.storage = open_storage(sweep.address)
        with alone(sweep.address):
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=sweep.name,
                direction=sweep.direction,
                load_if_exists=True,
            )
            self._require_same(json.loads(json.dumps(definition)))
            self.again = {trial.number for trial in self.slots().values() if "error" in trial.user_attrs and again}
        self.holder = Holder(sweep.folder)

    def close(self) -> None:
        """Let go of it."""
        self.holder.close()

    @patient
    def slots(self) -> dict[int, FrozenTrial]:
        """Return the trial of each slot: its newest attempt, and of two that were added at once the first."""
        found: dict[int, FrozenTrial] = {}
        for trial in self.study.get_trials(deepcopy=False):
            slot = trial.user_attrs.get("slot")
            if slot is not None and (slot not in found or _attempt(trial) > _attempt(found[slot])):
                found[slot] = trial
        return dict(sorted(found.items()))

    @patient
    def claim(self) -> optuna.Trial | None:
        """Return the next trial, with its parameters, for this process alone; None where none is left."""
        while True:
            with alone(self.sweep.address):
                self._bury()
                free = self._free()
                if free is None:
                    return None
                self.study.sampler = self._sampler(free)
                trial = self.study.ask()
                slot = trial.user_attrs.get("slot")
                if slot is None or self.slots()[slot].number != trial.number:
                    # Another machine has taken it, or put the same slot there, at the same moment.
                    self.study.tell(trial, state=TrialState.FAIL)
                    continue
                trial.set_user_attr("holder", self.holder.mark)
                self.beat(trial)
            self.study.sampler = self._sampler(slot)
            for key, domain in self.sweep.domains.items():
                domain.suggest(trial, key)
            return trial

    def beat(self, trial: optuna.Trial) -> None:
        """Tell other machines that a trial is still being run."""
        with suppress(OptunaError, SQLAlchemyError):  # a database that is away for a moment costs no trial
            self.storage.record_heartbeat(self._id_of(trial.number))

    @patient
    def id_of(self, number: int) -> int:
        """Return a trial's id in the storage."""
        return self._id_of(number)

    @patient
    def attributes(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return what is recorded of a trial, by its own process too."""
        return self.storage.get_trial(self._id_of(trial.number)).user_attrs

    def _id_of(self, number: int) -> int:
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    def done(self, trial: optuna.Trial, value: float, run: Path, settings: dict[str, Any]) -> None:
        """Record what a trial came to.

        Args:
            trial: the trial.
            value: of the objective.
            run: folder of its run, which others may not see.
            settings: its own, as a config for the next run.
        """
        self._end(trial, value, run=str(run), settings=settings)

    def pruned(self, trial: optuna.Trial) -> None:
        """Record that a trial was ended early."""
        self._end(trial, TrialState.PRUNED)

    def failed(self, trial: optuna.Trial, error: str) -> None:
        """Record that a trial failed, and why."""
        self._end(trial, TrialState.FAIL, error=error)

    def lost(self, trial: optuna.Trial, killed_by: str | None = None) -> bool:
        """Record that a trial was cut off; return whether it is begun again.

        Args:
            trial: the trial.
            killed_by: what ended its process, where nobody asked for that.
        """
        kills = trial.user_attrs.get("kills", 0) + (killed_by is not None)
        if killed_by and kills >= KILLS:
            self.failed(trial, f"{killed_by}, {kills} times; perhaps memory is short")
            return False
        self._end(trial, TrialState.FAIL, kills=kills)
        return True

    @patient
    def _end(self, trial: optuna.Trial, what: float | TrialState, **attributes: Any) -> None:
        with self._unless_given_up():
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
            if isinstance(what, TrialState):
                self.study.tell(trial, state=what)
            else:
                self.study.tell(trial, what)

    def _sampler(self, slot: int) -> optuna.samplers.BaseSampler:
        return make_sampler(self.sweep.sampler, self.sweep.seed, slot, self.sweep.count)

    @contextmanager
    def _unless_given_up(self) -> Iterator[None]:
        """Pass over a trial that another machine has taken for dead, and runs again."""
        with suppress(ValueError, UpdateFinishedTrialError):
            yield

    def _free(self) -> int | None:
        """Return the first slot that is to be run, once it waits in the storage; None where there is none."""
        slots = self.slots()
        for slot in range(self.sweep.count):
            trial = slots.get(slot)
            if trial is None:
                point = self.sweep.points[slot] if self.sweep.points else {}
                self.study.enqueue_trial(point, user_attrs={"slot": slot, "attempt": 0})
                return slot
            cut_off = trial.state == TrialState.FAIL and "error" not in trial.user_attrs
            if cut_off or trial.number in self.again:
                about: dict[str, Any] = {"slot": slot, "attempt": _attempt(trial) + 1}
                about |= {"kills": trial.user_attrs.get("kills", 0)} if cut_off else {}
                if cut_off and trial.datetime_start and "stopped" not in trial.user_attrs:
                    about["began"] = trial.datetime_start.timestamp()  # its run may have ended all the same
                params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                self.study.enqueue_trial(params, user_attrs=about)
                return slot
            if trial.state == TrialState.WAITING:  # whoever put it there did not take it
                return slot
        return None

    def _bury(self) -> None:
        """Fail the trials whose process is gone: by its heartbeats, and with SQLite by its lock."""
        fail_stale_trials(self.study)
        patience = 0 if is_file(self.sweep.address) else GRACE  # whoever is just taking one there keeps others out
        long_ago = datetime.now() - timedelta(seconds=patience)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            holder = trial.user_attrs.get("holder")
            never_held = holder is None and trial.datetime_start is not None and trial.datetime_start < long_ago
            if never_held or (holder and is_file(self.sweep.address) and is_gone(holder)):
                with self._unless_given_up():
                    self.study.tell(trial.number, state=TrialState.FAIL)

    def _require_same(self, definition: dict[str, Any]) -> None:
        """Refuse to go on with another sweep than was begun under this name."""
        known = self.study.user_attrs.get("definition")
        if known is None:
            self.study.set_user_attr("definition", definition)
            return
        for key in dict.fromkeys([*known, *definition]):
            before, now = (json.dumps(each.get(key)) for each in (known, definition))
            if before != now:
                raise FtlabError(
                    f"sweep {self.sweep.name}: {key} was {before} when it began and is {now} now; give the new one "
                    f"another name, with --name, or remove {self.sweep.folder}"
                )


def _attempt(trial: FrozenTrial) -> int:
    return trial.user_attrs.get("attempt", 0)

"""Conduct: a sweep's trials one after the other, each in its own process. It knows no command line."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import optuna

from ftlab.errors import FtlabError
from ftlab.runs import Run
from ftlab.sweep.closing import fragment
from ftlab.sweep.judge import Judge
from ftlab.sweep.outcome import objective_of
from ftlab.sweep.process import last_error, run_child
from ftlab.sweep.storage import HEARTBEAT
from ftlab.sweep.study import Study

#: A sweep of which so many trials have failed before any came to an end has something wrong in all of them.
HOPELESS = 3


@dataclass(frozen=True)
class Conductor:
    """Runs what a study hands out.

    Args:
        study: hands out the trials.
        command: what starts the run of a trial, from the settings of the trial and the name of its run.
        tell: gets the slot of each trial that has ended.
    """

    study: Study
    command: Callable[[dict[str, Any], str], Sequence[str]]
    tell: Callable[[int], None]

    def run(self) -> None:
        """Run trials until none is left, or the time is over.

        Raises:
            FtlabError: the first trials have all failed.
        """
        timeout, start, failed = self.study.sweep.timeout, monotonic(), []
        while timeout is None or monotonic() - start < timeout:
            trial = self.study.claim()
            if trial is None:
                return
            error = self._trial(trial)
            if error is None:
                continue
            failed.append(error)
            ended = {"COMPLETE", "PRUNED"} & {each.state.name for each in self.study.slots().values()}
            if len(failed) >= HOPELESS and not ended:
                told = f"the first {len(failed)} trials failed, the last with: {error}"
                raise FtlabError(
                    f"{told} (once mended, --again runs them once more; see also {self.study.sweep.folder})"
                )

    def _trial(self, trial: optuna.Trial) -> str | None:
        """Run a trial and record what came of it; return why it failed, if it did."""
        slot = trial.user_attrs["slot"]
        name = trial_name(self.study.sweep.name, slot)
        if _has_ended(name, trial.user_attrs.get("began")):
            error = self._record(trial, name)
            self.tell(slot)
            return error
        log = self.study.sweep.folder.parent / name / "output.txt"
        sweep = self.study.sweep
        id = self.study.id_of(trial.number)
        judge = Judge(sweep.address, sweep.name, id, sweep.objective, sweep.pruner, sweep.warmup)
        command = self.command(sweep.settings(trial.params), name)
        try:
            code = run_child(command, judge.environment, log, lambda: self.study.beat(trial), HEARTBEAT)
        except KeyboardInterrupt:
            self.study.lost(trial)
            raise
        if code < 0 or code == 128 + signal.SIGINT:
            by = "interrupted from outside" if code > 0 else f"killed by {signal.Signals(-code).name}"
            if self.study.lost(trial, by):
                return None
            error = self.study.slots()[slot].user_attrs.get("error", by)
        elif code:
            error = last_error(log)
            self.study.failed(trial, error)
        else:
            error = self._record(trial, name)
        self.tell(slot)
        return error

    def _record(self, trial: optuna.Trial, name: str) -> str | None:
        """Record a trial whose run has ended as it should; return why it failed all the same, if it did."""
        run = Run.newest(name, "summary.json")
        if "stopped" in self.study.attributes(trial):
            self.study.pruned(trial)
            return None
        try:
            value = objective_of(run, self.study.sweep.objective)
        except FtlabError as error:
            self.study.failed(trial, str(error))
            return str(error)
        self.study.done(trial, value, run.folder, fragment(self.study.sweep, trial.params, run.config))
        return None


def _has_ended(name: str, began: float | None) -> bool:
    """Return whether the run of an attempt that was cut off since is here and whole: only its record was lost."""
    if began is None:
        return False
    try:
        return Run.newest(name, "summary.json").config_file.stat().st_mtime >= began
    except FtlabError:
        return False


def trial_name(sweep: str, slot: int) -> str:
    """Return the name of a trial's run."""
    return f"{sweep}/trial-{slot + 1:04}"

"""Trials as processes: what becomes of those that end well, fail, are killed or stopped. They train nothing."""

import shutil
import sys

import pytest

from ftlab.errors import FtlabError
from ftlab.sweep.closing import close
from ftlab.sweep.conduct import HOPELESS, Conductor
from ftlab.sweep.settings import Sweep
from ftlab.sweep.study import Study
from ftlab.sweep.table import line, state

#: A process that leaves what a run leaves, and has done `{do}` before.
RUN = """
import json, os, pathlib, signal, sys
folder = pathlib.Path("runs", {name!r}, "2026-01-01_00-00-00")
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.yaml").write_text("method: {{class_path: LoRA, init_args: {{r: {r}}}}}")
{do}
(folder / "metrics.csv").write_text("step,validation/loss\\n1,{r}")
(folder / "summary.json").write_text(json.dumps({{"best": {{"step": 1}}}}))
"""

FAIL = "print('ftlab: error: out of memory'); sys.exit(1)"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
KILL_ONCE = f"""
if not pathlib.Path("killed").exists():
    pathlib.Path("killed").touch()
    {KILL}
"""
STOP = """
from ftlab.sweep.judge import Judge
assert Judge.of_environment().stops(float("inf"), 1, False)
"""


@pytest.fixture
def conduct(place):
    """Run a sweep over r, doing something before the run of some r ends; return its study and the told slots."""
    studies = []

    def conduct(do, values=(1, 2, 3), **options):
        space = {"method.r": list(values)}
        study = Study(Sweep("x.yaml", space, "s", "grid", objective="validation/loss", **options), {"space": space})
        studies.append(study)
        told = []

        def command(settings, name):
            r = settings["method.r"]
            return [sys.executable, "-c", RUN.format(name=name, r=r, do=do.get(r, ""))]

        try:
            Conductor(study, command, told.append).run()
        finally:
            study.close()
        return study, told

    return conduct


def states(study):
    return [state(trial) for trial in study.slots().values()]


def test_a_trial_that_fails_or_is_stopped_does_so_alone(conduct):
    study, told = conduct({1: FAIL, 3: STOP})
    assert told == [0, 1, 2]
    assert states(study) == ["failed", "done", "diverged"]
    rows = [line(study.sweep, slot, trial).split() for slot, trial in study.slots().items()]
    assert [row[:4] for row in rows] == [
        ["1", "1", "-", "failed"],
        ["2", "2", "2", "done"],
        ["3", "3", "inf", "diverged"],
    ]
    assert rows[0][5:] == ["out", "of", "memory"]
    told = close(study, "--config=x.yaml")
    assert told[0] == "trials     3 of 3: 1 failed, 1 done, 1 diverged"
    assert told[1] == "best       trial 2: validation/loss 2 with method.r 2"
    best = (study.sweep.folder / "best.yaml").read_text()
    assert best == "# Trial 2 of sweep s: validation/loss 2\nmethod:\n  class_path: LoRA\n  init_args:\n    r: 2\n"
    for folder in study.sweep.folder.glob("trial-*"):  # they may be on another machine
        shutil.rmtree(folder)
    told = close(study, "--config=x.yaml")
    assert (study.sweep.folder / "best.yaml").read_text() == best
    assert told[-1].startswith("page       none: ")


@pytest.mark.slow
def test_a_trial_that_was_killed_is_run_once_more(conduct):
    study, told = conduct({1: KILL_ONCE, 2: KILL}, values=(1, 2))
    assert told == [0, 1]
    assert states(study) == ["done", "failed"]
    assert study.slots()[1].user_attrs["error"] == "killed by SIGKILL, 2 times; perhaps memory is short"
    assert len(study.study.trials) == 4


def test_a_run_that_had_ended_when_it_was_cut_off_is_not_trained_again(conduct, place):
    ended = (
        "(folder / 'metrics.csv').write_text('step,validation/loss\\n1,5'); pathlib.Path('ran').open('a').write('x');"
        "(folder / 'summary.json').write_text(json.dumps({'best': {'step': 1}}));"
    )
    study, told = conduct({1: ended + KILL}, values=(1,))
    assert told == [0]
    assert states(study) == ["done"]
    assert study.slots()[0].value == 5
    assert (place / "ran").read_text() == "x"


@pytest.mark.slow
def test_a_sweep_in_which_all_begins_with_a_fault_ends(conduct):
    do = dict.fromkeys(range(HOPELESS + 2), FAIL)
    with pytest.raises(FtlabError, match=f"the first {HOPELESS} trials failed, the last with: out of memory"):
        conduct(do, values=range(HOPELESS + 2))
    study, told = conduct(do, values=range(HOPELESS + 2))  # it goes on where it was
    assert told == [HOPELESS, HOPELESS + 1]
    assert states(study) == ["failed"] * (HOPELESS + 2)


def test_a_run_that_ends_without_the_objective_has_failed(conduct):
    study, _ = conduct({1: "(folder / 'summary.json').write_text('{}'); sys.exit()"}, values=(1,))
    assert states(study) == ["failed"]
    assert study.slots()[0].user_attrs["error"].startswith("objective: validation/loss was not measured")


@pytest.mark.slow
def test_no_trial_begins_after_the_time_is_over(conduct):
    _, told = conduct({}, timeout=1e-9)
    assert told == []
    _, told = conduct({}, timeout=600)
    assert told == [0, 1, 2]

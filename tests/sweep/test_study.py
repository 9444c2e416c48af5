"""Each trial is handed out once, whatever is stopped, killed, begun anew, or asks at the same moment."""

import multiprocessing
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ftlab.errors import FtlabError, SettingError
from ftlab.sweep import storage
from ftlab.sweep.settings import Sweep
from ftlab.sweep.storage import Holder, is_gone, open_storage, shown
from ftlab.sweep.study import KILLS, Study

GRID = {"optimizer.lr": [2, 4], "method": ["LoRA", {"class_path": "IA3"}]}
RANGES = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "method.r": {"low": 4, "high": 64, "step": 4}}


@pytest.fixture
def begin(place):
    begun = []

    def begin(space=GRID, sampler="grid", definition="same", again=False, **settings):
        sweep = Sweep("x.yaml", space, "s", sampler, **settings)
        begun.append(Study(sweep, {"what": definition}, again))
        return begun[-1]

    yield begin
    for study in begun:
        study.close()


def ask(study):
    """Claim a trial; return it, its slot and its settings."""
    trial = study.claim()
    return trial, trial.user_attrs["slot"], study.sweep.settings(trial.params)


def test_a_grid_hands_out_each_point_once_and_in_order(begin):
    study = begin()
    found = [ask(study)[2] for _ in range(4)]
    assert found == [{"optimizer.lr": lr, "method": method} for lr in (2, 4) for method in GRID["method"]]
    assert study.claim() is None


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_other_samplers_stay_in_their_ranges_and_go_on_where_they_were(begin, empty, sampler):
    """A command that goes on draws what one that was not stopped would have drawn."""
    whole, parts = [], []
    for many, found in (([3], whole), ([1, 2], parts)):
        shutil.copy(empty, "runs/s/sweep.db")
        for n in many:
            study = begin(RANGES, sampler, trials=3)
            for _ in range(n):
                trial, slot, settings = ask(study)
                study.done(trial, float(slot), Path("x"), {})
                found.append(settings)
            study.close()
        assert study.claim() is None
    assert whole == parts
    assert len({each["optimizer.lr"] for each in whole}) == 3
    assert all(1e-4 <= each["optimizer.lr"] <= 0.1 and each["method.r"] % 4 == 0 for each in whole)


@pytest.mark.slow
def test_what_has_ended_is_not_run_again_and_more_trials_are_added(begin):
    study = begin(RANGES, "random", trials=3)
    ways = [lambda t: study.done(t, 1.0, Path("x"), {}), study.pruned, lambda t: study.failed(t, "it broke")]
    for way in ways:
        way(study.claim())
    study.close()
    assert begin(RANGES, "random", trials=3).claim() is None
    later = begin(RANGES, "random", trials=4)
    assert ask(later)[1] == 3
    states = [trial.state for trial in later.slots().values()]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]


@pytest.mark.slow
def test_fewer_trials_leave_the_rest_alone(begin):
    study = begin(RANGES, "random", trials=3)
    for _ in range(3):
        study.lost(study.claim())
    study.close()
    less = begin(RANGES, "random", trials=1)
    assert ask(less)[1] == 0
    assert less.claim() is None


def test_a_trial_that_was_cut_off_is_run_again_with_the_same_settings(begin):
    study = begin(RANGES, "random", trials=2)
    first, slot, settings = ask(study)
    study.lost(first)
    assert ask(study)[1:] == (slot, settings)
    assert ask(study)[1] == 1
    assert study.claim() is None


def test_what_kills_a_trial_twice_is_taken_for_its_own_fault(begin):
    study = begin()
    for kill in range(1, KILLS + 1):
        trial, slot, _ = ask(study)
        assert slot == 0
        assert study.lost(trial, "killed by SIGKILL") == (kill < KILLS)
    assert study.slots()[0].user_attrs["error"] == "killed by SIGKILL, 2 times; perhaps memory is short"
    assert ask(study)[1] == 1


@pytest.mark.slow
def test_failed_trials_are_run_again_only_when_asked_for(begin):
    study = begin(RANGES, "random", trials=2)
    first, _, settings = ask(study)
    study.failed(first, "a fault")
    study.done(study.claim(), 1.0, Path("x"), {})
    study.close()
    assert begin(RANGES, "random", trials=2).claim() is None
    again = begin(RANGES, "random", trials=2, again=True)
    trial, slot, found = ask(again)
    assert (slot, found) == (0, settings)
    again.failed(trial, "a fault")
    assert again.claim() is None


CLAIM = """
import sys
from ftlab.sweep.settings import Sweep
from ftlab.sweep.study import Study
study = Study(Sweep("x.yaml", {space!r}, "s", "grid"), {{"what": "same"}})
trial = study.claim()
print(trial.user_attrs["slot"], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_its_trial_to_the_next_and_a_living_one_keeps_it(begin, tmp_path):
    command = [sys.executable, "-c", CLAIM.format(space=GRID)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout.readline() == "0\n"
    study = begin()
    assert ask(study)[1] == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    trial, slot, settings = ask(study)
    assert (slot, settings) == (0, {"optimizer.lr": 2, "method": "LoRA"})
    assert trial.user_attrs["attempt"] == 1
    assert ask(study)[1] == 2
    assert len(list((tmp_path / "runs/s").glob(".holder-*"))) == 1


def _work(found):
    study = Study(Sweep("x.yaml", GRID, "s", "grid"), {"what": "same"})
    while (trial := study.claim()) is not None:
        found.put((trial.user_attrs["slot"], *trial.params.values()))
        study.done(trial, 1.0, Path("x"), {})
    found.put(None)
    study.close()


@pytest.mark.slow
def test_processes_at_one_database_never_share_a_trial(place):
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    processes = [context.Process(target=_work, args=(found,)) for _ in range(2)]
    for process in processes:
        process.start()
    trials = [trial for _ in processes for trial in iter(found.get, None)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(slot for slot, *_ in trials) == list(range(4))
    assert len({trial[1:] for trial in trials}) == 4


def test_a_slot_that_two_machines_added_at_once_is_run_once(begin):
    """On a database without a lock around it the trial with the lower number is the slot's."""
    study = begin()
    for _ in range(2):
        study.study.enqueue_trial(study.sweep.points[0], user_attrs={"slot": 0, "attempt": 0})
    assert [ask(study)[1] for _ in range(3)] == [0, 1, 2]


def test_a_trial_of_another_machine_is_its_own_until_its_heart_has_stopped(begin, monkeypatch):
    study = begin()
    trial, slot, _ = ask(study)
    trial.set_user_attr("holder", {"host": "elsewhere", "file": "/runs/.holder-x"})
    assert ask(study)[1] == slot + 1
    monkeypatch.setattr(study.storage, "grace_period", -1)
    assert ask(study)[1] == slot
    study.done(trial, 1.0, Path("x"), {})  # too late: it was given up, and counts for nothing
    assert study.slots()[slot].state == TrialState.RUNNING


def test_elsewhere_than_in_sqlite_only_heartbeats_count(begin, monkeypatch):
    """A lock over a network's folder may not be seen by the other machine."""
    study = begin()
    trial, slot, _ = ask(study)
    gone = Holder(study.sweep.folder)
    trial.set_user_attr("holder", gone.mark)
    gone.close()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("ftlab.sweep.study.is_file", lambda address: False)
        assert ask(study)[1] == slot + 1
    assert ask(study)[1] == slot


def test_a_database_that_is_away_for_a_while_is_asked_again(begin, monkeypatch):
    """Its tables have another name for as long as the study waits."""
    study = begin()
    trial, slot, _ = ask(study)
    file = Path("runs/s/sweep.db")

    def execute(text):
        with sqlite3.connect(file) as database:
            database.execute(text)

    execute("ALTER TABLE trials RENAME TO away")
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            execute("ALTER TABLE away RENAME TO trials")

    monkeypatch.setattr(storage, "sleep", wait)
    with pytest.warns(UserWarning, match="does not answer"):
        study.done(trial, 1.0, Path("x"), {})
    assert waits == [1, 2, 4]
    assert study.slots()[slot].value == 1.0
    execute("ALTER TABLE trials RENAME TO away")
    monkeypatch.setattr(storage, "PATIENCE", 0)
    with pytest.raises(FtlabError, match=r"the database does not answer .*; once it does, the same command goes on"):
        study.claim()


def test_a_trial_whose_process_died_while_taking_it_is_taken_again(begin, monkeypatch):
    study = begin()
    with monkeypatch.context() as dying:
        dying.setattr(Holder, "mark", property(lambda holder: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            study.claim()
    assert ask(study)[1] == 0


def test_another_sweep_of_the_same_name_is_refused_and_told_what_differs(begin):
    begin(definition={"optimizer.warmup": 0.1})
    begin(definition={"optimizer.warmup": 0.1})
    message = r"sweep s: what was .*0.1\} when it began and is .*0.2\} now; give the new one another name"
    with pytest.raises(FtlabError, match=message):
        begin(definition={"optimizer.warmup": 0.2})


def test_a_holder_is_gone_when_it_let_go(tmp_path):
    holder = Holder(tmp_path)
    assert not is_gone(holder.mark)
    assert not is_gone(holder.mark | {"host": "elsewhere"})
    assert not is_gone({"host": holder.mark["host"], "file": "/no/such/folder/.holder"})
    holder.close()
    assert is_gone(holder.mark)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("x.db", "'x.db' is no address of a database"),
        ("sqlite://", "it needs a file"),
        ("sqlite:////proc/none/x.db", "sqlite:////proc/none/x.db cannot be opened"),
        ("postgresql://me:secret@127.0.0.1:1/x", "pip"),
    ],
)
def test_storages_that_cannot_be_opened_are_told(address, message):
    with pytest.raises(SettingError, match=r"^storage: ") as fault:
        open_storage(address)
    assert message in str(fault.value)
    assert "secret" not in str(fault.value)


def test_a_password_is_not_shown():
    assert shown("mysql://me:secret@host/x") == "mysql://me:***@host/x"

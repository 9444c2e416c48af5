"""What a trial came to, the table, and the settings for the next run."""

import math

import optuna
import pytest
import yaml
from optuna.trial import TrialState, create_trial

from ftlab import Run
from ftlab.errors import FtlabError
from ftlab.sweep.closing import edges, fragment
from ftlab.sweep.outcome import objective_of
from ftlab.sweep.search import Diverging, make_pruner, make_sampler
from ftlab.sweep.settings import Sweep
from ftlab.sweep.table import best, counts, header, line, written


@pytest.fixture
def run(tmp_path):
    run = Run.create("s/trial-0001", {"name": "x"}, tmp_path)
    (run.folder / "metrics.csv").write_text(
        "step,epoch,train/loss,validation/loss,exam/score\n5,0,3.0,,\n10,0,,1.5,40\n20,1,,1.25,70\n30,2,0.5,1.75,60\n"
    )
    run.write_summary(
        {
            "exam": {"after": {"score": 72.0, "low": 60.0, "high": 80.0}},
            "retention": {"a": {"after": {"score": 10.0}}, "b": {"after": {"score": 30.0}}},
            "best": {"step": 20},
        }
    )
    return run


@pytest.mark.parametrize(
    ("objective", "value"),
    [("exam/score", 72), ("retention/score", 20), ("retention/b/score", 30), ("validation/loss", 1.25),
     ("train/loss", 0.5)],
)  # fmt: skip
def test_the_objective_is_that_of_the_kept_checkpoint(run, objective, value):
    assert objective_of(run, objective) == value


def test_an_objective_that_was_not_measured_is_told_with_the_nearest(run):
    with pytest.raises(FtlabError, match="validation/los was not measured; did you mean validation/loss"):
        objective_of(run, "validation/los")


def test_an_objective_that_is_no_number_is_told(run):
    file = run.folder / "metrics.csv"
    file.write_text(file.read_text().replace("1.25", "nan"))
    with pytest.raises(FtlabError, match="validation/loss is not a number; the training diverged"):
        objective_of(run, "validation/loss")


SWEEP = Sweep("x.yaml", {"optimizer.lr": [1e-3, 1e-2, 0.1], "method.r": [4, 8]}, "s", "grid", objective="exam/score")


def trial(state=TrialState.COMPLETE, value=None, lr=1e-2, r=4, reported=(), **attributes):
    labels = {key: optuna.distributions.CategoricalDistribution(d.labels) for key, d in SWEEP.domains.items()}
    return create_trial(
        state=state,
        value=value,
        params={"optimizer.lr": lr, "method.r": r},
        distributions=labels,
        intermediate_values=dict(enumerate(reported, 1)),
        user_attrs=attributes,
    )


def test_the_table_tells_settings_objective_state_and_why():
    stopped = {"validation": 2, "value": "31.0"}
    rows = {
        0: trial(value=71.25),
        1: trial(TrialState.PRUNED, reported=[30, 31], stopped=stopped),
        2: trial(TrialState.PRUNED, reported=[math.nan], stopped={"validation": 1, "value": "nan"}),
        3: trial(TrialState.FAIL, error="x.yaml:3: it broke"),
        4: trial(TrialState.FAIL),
    }
    assert header(SWEEP).split() == ["trial", "optimizer.lr", "method.r", "exam/score", "state", "seconds"]
    cells = [line(SWEEP, slot, each).split() for slot, each in rows.items()]
    assert cells == [
        ["1", "0.01", "4", "71.25", "done", "0"],
        ["2", "0.01", "4", "31", "pruned", "0", "at", "validation", "2"],
        ["3", "0.01", "4", "nan", "diverged", "0", "at", "validation", "1"],
        ["4", "0.01", "4", "-", "failed", "0", "x.yaml:3:", "it", "broke"],
        ["5", "0.01", "4", "-", "cut", "off", "0"],
    ]
    assert counts(rows) == "1 done, 1 pruned, 1 diverged, 1 failed, 1 cut off"
    assert len(header(SWEEP)) == len(line(SWEEP, 0, rows[0]))


def test_the_best_is_of_those_that_ran_to_their_end_and_the_first_of_equals():
    rows = {0: trial(value=50), 1: trial(value=70), 2: trial(value=70), 3: trial(TrialState.PRUNED, reported=[90])}
    assert best(SWEEP, rows) == 1
    less = Sweep("x.yaml", SWEEP.space, "s", objective="validation/loss")
    assert best(less, rows) == 0
    assert best(SWEEP, {3: rows[3]}) is None


def test_a_value_at_an_edge_of_its_domain_is_told():
    assert edges(SWEEP, trial(value=1, lr=1e-2, r=4)) == [
        "           method.r is best at the lowest value it could take; wider may be better"
    ]
    assert "optimizer.lr is best at the highest" in edges(SWEEP, trial(value=1, lr=0.1, r=8))[0]
    ranges = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "r": {"low": 0.0, "high": 100.0}}
    wide = Sweep("x.yaml", ranges, "s")
    for lr, r, told in (
        (1.2e-4, 50, ["lr is best near the lowest"]),
        (9e-2, 96, ["lr is best near", "r is best near"]),
        (1e-3, 4, ["r is best near the lowest"]),
        (1e-2, 6, []),
        (1e-2, 100, ["r is best at the high"]),
    ):
        at = {
            "lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
            "r": optuna.distributions.FloatDistribution(0.0, 100.0),
        }
        found = edges(wide, create_trial(value=1, params={"lr": lr, "r": float(r)}, distributions=at))
        assert [line.strip()[: len(start)] for line, start in zip(found, told, strict=True)] == told
    words = Sweep("x.yaml", {"optimizer.schedule": ["linear", "cosine"]}, "s")
    assert edges(words, trial(value=1)) == []


def test_the_fragment_names_the_class_that_a_part_of_it_belongs_to():
    method = {"class_path": "ftlab.LoRA", "init_args": {"r": 8, "alpha": 16}}
    config = {"method": method, "optimizer": {"lr": 0.01, "warmup": 0.1}}
    params = {"optimizer.lr": 0.01, "method.r": 8}
    found = fragment(SWEEP, params, config)
    assert yaml.safe_load(yaml.safe_dump(found)) == {"optimizer": {"lr": 0.01}, "method": method}
    assert fragment(SWEEP, params, {}) == {"optimizer": {"lr": 0.01}, "method": {"r": 8}}


def test_whole_values_are_written_as_one_would_say_them():
    value = {"class_path": "LoRA", "init_args": {"r": 8, "alpha": 1e-05}}
    assert written(value) == "LoRA(r: 8, alpha: 1e-05)"
    assert [written(each) for each in (0.0012345, 3, True, None, "x")] == ["0.001234", "3", "True", "None", "x"]


def test_each_trial_has_a_seed_of_its_own():
    def draw(slot, seed=7, name="random"):
        study = optuna.create_study(sampler=make_sampler(name, seed, slot, 20))
        return study.ask().suggest_float("x", 0, 1)

    assert draw(0) == draw(0)
    assert len({draw(0), draw(1), draw(2), draw(0, seed=8)}) == 4
    assert draw(0, name="tpe") == draw(0, name="tpe")


def test_tpe_learns_before_half_of_a_short_sweep_is_over():
    """After 6 trials of 12 its draws lie near the best of them; those of chance, and of 6 in 40 trials, do not."""
    study = optuna.create_study(direction="minimize")
    for i in range(6):
        at = {"x": optuna.distributions.FloatDistribution(0, 1)}
        study.add_trial(create_trial(value=abs(0.9 - i / 5), params={"x": i / 5}, distributions=at))

    def distance(name, count):
        found = []
        for slot in range(30):
            study.sampler = make_sampler(name, 7, slot, count)
            trial = study.ask()
            found.append(abs(trial.suggest_float("x", 0, 1) - 0.9))
            study.tell(trial, state=TrialState.FAIL)
        return sum(found) / len(found)

    assert distance("tpe", 12) < 0.6 * distance("random", 12)
    assert distance("tpe", 40) == distance("random", 40)


@pytest.mark.parametrize(("name", "warmup", "pruned"), [
    ("median", 1, [False, True]), ("median", 3, [False, False, True]), ("diverging", 1, [False, False, True]),
    ("halving", 1, [True]), (None, 1, [False, False, False, False]),
])  # fmt: skip
def test_pruners_end_what_will_not_be_best(name, warmup, pruned):
    """Losses against those of six other trials, each better than the one before: 2.5 to 1.0, ... 2.0 to 0.5."""
    study = optuna.create_study(direction="minimize")
    pruner = make_pruner(name, warmup)

    def go(losses):
        running, found = study.ask(), []
        for step, loss in enumerate(losses, 1):
            running.report(loss, step)
            found.append(pruner.prune(study, study.get_trials()[-1]))
            if found[-1]:
                break
        study.tell(running, losses[-1])
        return found

    for i in range(6):
        assert not any(go([2.5 - i / 10 - step / 2 for step in range(4)]))
    assert go([2.2, 2.3, 2.6, 1.1]) == pruned


def test_a_diverging_trial_is_held_against_its_own_beginning_too():
    study = optuna.create_study(direction="maximize")
    running = study.ask()
    for step, score, pruned in ((1, 20.0, False), (2, 20.0, False), (3, 19.0, True)):
        running.report(score, step)
        assert Diverging(1).prune(study, study.get_trials()[-1]) == pruned

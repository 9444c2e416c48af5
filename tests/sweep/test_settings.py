"""What a sweep's YAML may say, and how its faults are told."""

import pytest

from ftlab.cli.sweep_file import SweepFile
from ftlab.errors import FtlabError
from ftlab.sweep.settings import TRIALS, Sweep

START = "config: x.yaml\nspace:\n  method.r: [4, 8]\n"


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(text, **options):
        (tmp_path / "tune.yaml").write_text(text)
        return SweepFile("tune.yaml").read(**options)

    return read


def test_what_is_not_said_has_its_default(read):
    sweep = read(START)
    assert (sweep.name, sweep.sampler, sweep.count, sweep.direction) == ("tune", "tpe", TRIALS, "maximize")
    assert sweep.address == "sqlite:///runs/tune/sweep.db"


def test_options_win(read):
    sweep = read(START + "trials: 3\n", trials=4, name="other", storage=None)
    assert (sweep.count, sweep.name, sweep.storage) == (4, "other", None)


def test_a_grid_has_all_combinations_of_whole_values(read):
    sweep = read(
        "config: [x.yaml, y.yaml]\nsampler: grid\nspace:\n"
        "  method: [LoRA, {class_path: IA3}]\n  optimizer.lr: [1e-3, 0.01, 1.0e-1]\n"
    )
    assert sweep.count == 6
    assert sweep.settings(sweep.points[0]) == {"method": "LoRA", "optimizer.lr": 0.001}
    assert sweep.settings(sweep.points[-1]) == {"method": {"class_path": "IA3"}, "optimizer.lr": 0.1}
    assert sweep.probes == [sweep.settings(point) for point in sweep.points]


def test_the_probes_of_other_spaces_cover_each_value_and_both_ends(read):
    sweep = read(
        "config: x.yaml\nspace: {method: [LoRA, IA3, DoRA], optimizer.lr: {low: 1e-4, high: 1e-1, log: true}}\n"
    )
    assert {settings["method"] for settings in sweep.probes} == {"LoRA", "IA3", "DoRA"}
    assert {settings["optimizer.lr"] for settings in sweep.probes} == {1e-4, 1e-1}


@pytest.mark.parametrize(
    ("objective", "direction"),
    [("exam/score", "maximize"), ("retention/facts/score", "maximize"), ("validation/loss", "minimize"),
     ("validation/loss/web", "minimize"), ("memory/peak_bytes", "minimize"), ("train/tokens_per_second", "maximize")],
)  # fmt: skip
def test_losses_are_better_low_and_scores_high(objective, direction):
    assert Sweep("x.yaml", {"method.r": [1]}, "x", objective=objective).direction == direction
    assert Sweep("x.yaml", {"method.r": [1]}, "x", objective=objective, direction="minimize").direction == "minimize"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config: x.yaml\n", "tune.yaml: space: not set"),
        (START + "sampler: gird\n", "tune.yaml:4: sampler: 'gird' is none; did you mean grid?"),
        (START + "simpler: grid\n", "tune.yaml:4: simpler: not a setting of a sweep; did you mean sampler?"),
        (START + "pruner: medain\n", "tune.yaml:4: pruner: 'medain' is none; did you mean median?"),
        (START + "trials: 0\n", "tune.yaml:4: trials: 0 is not a whole number of 1 or more"),
        (START + "trials: true\n", "tune.yaml:4: trials: True is not"),
        (START + "warmup: 0\n", "tune.yaml:4: warmup: 0 is not a whole number of 1 or more"),
        (START + "timeout: soon\n", "tune.yaml:4: timeout: 'soon' is not a number of seconds"),
        (START + "name: ../x\n", "tune.yaml:4: name: '../x' is not a name for a folder"),
        (START + "objective: lr/trainable\n", "tune.yaml:4: objective: whether lr/trainable is better low"),
        (START + "sampler: grid\ntrials: 2\n", "tune.yaml:5: trials: a grid runs all of its points"),
        (START + "  optimizer.lr: {low: 1, high: 2}\nsampler: grid\n", "tune.yaml:4: space.optimizer.lr: a grid needs"),
        (START + "  optimizer.lr: 3\n", "tune.yaml:4: space.optimizer.lr: 3 is not a list of values, or low and high"),
        (START + "  optimizer.lr:\n    low: 1\n", "tune.yaml:4: space.optimizer.lr: a range without high"),
        (START + "  optimizer.lr:\n    low: 1\n    hi: 1\n", "tune.yaml:6: space.optimizer.lr.hi: not a part"),
        (START + "  optimizer.lr: {low: 2, high: 1}\n", "space.optimizer.lr.low: 2 is not below 1"),
        (START + "  optimizer.lr: {low: 0, high: 1, log: true}\n", "low: 0 is not above 0"),
        (START + "  optimizer.lr: {low: a, high: 1}\n", "low: 'a' is not a number"),
        (START + "  x: {low: 4, high: 9, step: 2}\n", "tune.yaml:4: space.x.step: 2 is not a part of 9 - 4"),
        (START + "  x: {low: 4, high: 8, step: 2, log: true}\n", "step: 2 is not for log: true"),
        (START + "  x: {low: 4, high: 8, step: 0.5}\n", "step: 0.5 is not a whole number"),
        (START + "  x: []\n", "tune.yaml:4: space.x: [] is not a list with a value in it"),
        (START + "  x: [1, 2, 1]\n", "tune.yaml:4: space.x: 1 is there twice"),
        (START + "  x: [2026-01-01]\n", "tune.yaml:4: space.x: 2026-01-01 is a date to YAML; put it in quotes"),
        (START + "  name: [a]\n", "tune.yaml:4: space.name: a sweep sets this itself"),
        ("config: []\nspace: {x: [1]}\n", "tune.yaml:1: config: [] is not a YAML file"),
        ("config: x.yaml\nspace: []\n", "tune.yaml:2: space: [] is not settings with their values"),
        (START + "config: y.yaml\n", "tune.yaml:4: config: already set in line 1"),
        ("config: [x.yaml\n", "tune.yaml:2: not YAML"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_line(read, text, message):
    with pytest.raises(FtlabError) as fault:
        read(text)
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_missing_file_is_told():
    with pytest.raises(FtlabError, match=r"none.yaml: no such config file"):
        SweepFile("none.yaml")


def test_a_part_goes_on_top_of_the_whole(read):
    """Each method at each rank, in whatever order they are written."""
    sweep = read("config: x.yaml\nsampler: grid\nspace:\n  method.r: [4, 8]\n  method: [LoRA, QLoRA]\n")
    assert [list(sweep.settings(point).items()) for point in sweep.points] == [
        [("method", method), ("method.r", r)] for r in (4, 8) for method in ("LoRA", "QLoRA")
    ]

"""The comparison of ranks: its configs are what `fit` takes, its figures are in its README, its script runs."""

import json

import pytest

from tests.conftest import ROOT
from tests.experiments.scripts import load, run
from tests.test_configs import parse

FOLDER = ROOT / "experiments/ranks"
compare = load(FOLDER / "compare.py")
RESULTS = json.loads((FOLDER / "results.json").read_text())


def test_the_readme_shows_the_recorded_results():
    assert RESULTS.keys() == compare.NAMES.keys()
    assert len({len(result["scores"]) for result in RESULTS.values()}) == 1
    assert compare.table(RESULTS) in (FOLDER / "README.md").read_text()
    assert "](ranks.svg)" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", compare.NAMES)
def test_each_is_what_its_file_says_with_alpha_twice_the_rank(name):
    files = [FOLDER / "common.yaml", FOLDER / f"{name}.yaml"]
    experiment = parse(ROOT / "configs/quickstart.yaml", *files).experiment
    method, result = experiment.tuner.method, RESULTS[name]
    assert (method.r, method.alpha) == (result["rank"], 2 * result["rank"])
    assert experiment.tuner.optimizer.lr == result["lr"]
    assert experiment.exam.every == 0
    assert all(file.read_text().startswith("# ") and len(file.read_text().splitlines()) <= 6 for file in files)


@pytest.mark.slow
def test_the_script_runs_and_does_again_what_it_is_told_to(workplace, tmp_path):
    command = [FOLDER / "compare.py", "--folder", workplace, "--results", tmp_path, "--seeds", "7"]
    short = ["exam.limit=4", "exam.max_new_tokens=4", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"]
    run(*command, "--options", *short)
    found = json.loads((tmp_path / "results.json").read_text())
    assert [found[name]["layers"] for name in "abc"] == ["q, v", "q, k, v, o", "all-linear"]
    assert found["a"]["trainable"] < found["b"]["trainable"] < found["c"]["trainable"]
    assert "C: r 64, all-linear" in (tmp_path / "ranks.svg").read_text()
    assert len(list(workplace.glob("runs/ranks/*/*/summary.json"))) == 3

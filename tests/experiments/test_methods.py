"""The comparison of methods: its script runs, its figures are in both READMEs, its runs saw the same data."""

import json

import pytest

from tests.conftest import ROOT
from tests.experiments.scripts import load, run

FOLDER = ROOT / "experiments/methods"
compare = load(FOLDER / "compare.py")
RESULTS = json.loads((FOLDER / "results.json").read_text())


def test_the_readmes_show_the_recorded_results():
    table = compare.table(RESULTS)
    assert len(RESULTS) == 12
    assert all(len(result["scores"]) == 3 for result in RESULTS.values())
    for readme in (ROOT / "README.md", FOLDER / "README.md"):
        assert table in readme.read_text()


def test_runs_of_other_data_are_refused():
    summary = {"data": {"fingerprint": "a", "train": {"tokens": 1}}, "steps": 2}
    compare.check_equal([summary, summary])
    with pytest.raises(SystemExit, match="did not see the same"):
        compare.check_equal([summary, summary | {"steps": 3}])


@pytest.mark.slow
def test_the_comparison_runs_and_is_not_done_twice(workplace, tmp_path):
    command = [FOLDER / "compare.py", "--folder", workplace, "--results", tmp_path, "--seeds", "7"]
    options = ["exam.limit=4", "exam.max_new_tokens=4", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"]
    for _ in range(2):
        run(*command, "--methods", "ia3", "freeze", "--options", *options)
    assert len(list(workplace.glob("runs/methods/*/*/summary.json"))) == 2
    assert json.loads((tmp_path / "results.json").read_text()).keys() == {"ia3", "freeze"}
    assert (tmp_path / "scores.svg").read_text().count("ia3") >= 1


@pytest.mark.slow
def test_memory_is_measured_for_each_method():
    assert "| lora | 0." in run(FOLDER / "memory.py", "--shape", "small", "--methods", "lora")

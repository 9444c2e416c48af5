"""The comparison of remedies: its configs are what `fit` takes, its figures are in its README, its data leak not."""

import json
import subprocess
import sys

import pytest

from ftlab.data.sources import read_rows
from tests.conftest import ROOT
from tests.experiments.scripts import load, run
from tests.test_configs import parse

FOLDER = ROOT / "experiments/forgetting"
compare = load(FOLDER / "compare.py")
RESULTS = json.loads((FOLDER / "results.json").read_text())
CASES = sorted(f"{method}/{file.stem}" for method in compare.METHODS for file in (FOLDER / method).glob("*.yaml"))


def test_the_readme_shows_the_recorded_results():
    assert sorted(RESULTS) == CASES
    assert len({len(result["task"]["scores"]) for result in RESULTS.values()}) == 1
    assert compare.table(RESULTS) in (FOLDER / "README.md").read_text()


def test_known_chats_can_be_made_again_and_are_no_question_of_retention(tmp_path):
    tiny = ROOT / "experiments/tiny_base"
    avoid = ROOT / "ftlab/tiny/retention.jsonl"
    command = [sys.executable, tiny / "generate.py", "--rows", "400", "--seed", "6", "--skills", "0.5"]
    subprocess.run([*command, "--avoid", avoid, "--output", tmp_path / "known.jsonl"], check=True)
    assert (tmp_path / "known.jsonl").read_bytes() == (FOLDER / "known.jsonl").read_bytes()
    asked = {row.prompt[-1]["content"] for row in read_rows(avoid)}
    known = {m["content"] for row in read_rows(FOLDER / "known.jsonl") for m in row.messages if m["role"] == "user"}
    assert not asked & known


def test_the_front_is_what_nothing_beats_in_both():
    def case(task, general):
        return {"task": {"score": task}, "general": {"score": general}}

    results = {"a": case(100, 10), "b": case(99, 60), "c": case(90, 50), "d": case(80, 70), "e": case(99, 60)}
    assert compare.front(results) == ["a", "b", "d"]


def test_runs_of_another_start_are_refused():
    summary = {"exam": {"before": 8}, "retention": {"general": {"before": 90}}}
    compare.check_equal([summary, summary])
    with pytest.raises(SystemExit, match="did not start from the same"):
        compare.check_equal([summary, summary | {"exam": {"before": 9}}])


@pytest.mark.parametrize("method", compare.METHODS)
def test_fit_takes_every_config(method):
    """On top of one another, for reading the settings takes longer than each is worth."""
    cases = [case for case in CASES if case.startswith(f"{method}/")]
    cli = parse(*dict.fromkeys(ROOT / config for case in cases for config in compare.configs(case)))
    assert type(cli.experiment.tuner.method).__name__.lower() == method
    for case in cases:
        text = (FOLDER / f"{case}.yaml").read_text()
        assert text.startswith("# ")
        assert len(text.splitlines()) <= 8


@pytest.mark.slow
def test_the_comparison_runs_and_is_not_done_twice(workplace, tmp_path):
    command = [FOLDER / "compare.py", "--folder", workplace, "--results", tmp_path, "--seeds", "7"]
    options = ["exam.limit=4", "exam.max_new_tokens=4", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"]
    for _ in range(2):
        run(*command, "--cases", "full/l2", "lora/kl", "--options", *options)
    assert len(list(workplace.glob("runs/forgetting/*/*/*/summary.json"))) == 2
    assert json.loads((tmp_path / "results.json").read_text()).keys() == {"full/l2", "lora/kl"}
    assert (tmp_path / "forgetting.svg").read_text().count("l2") >= 1

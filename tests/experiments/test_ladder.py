"""The five runs of the lesson: what was recorded is named as the lesson names it, and the configs are fit's own."""

import json
from pathlib import Path

import pytest
import yaml

from ftlab.diagnosis import Curves, diagnose
from tests.conftest import ROOT
from tests.test_configs import parse

HERE = ROOT / "experiments/lesson"
ROWS = json.loads((HERE / "ladder-tiny.json").read_text())
STATES = ["failed", "underfitting", "overfitting", "underfitting", "successful"]


def test_the_recorded_states_are_the_lessons():
    assert [row["state"] for row in ROWS] == STATES


@pytest.mark.parametrize(("row", "state"), zip(ROWS, STATES, strict=True), ids=["1", "2", "3", "4", "5"])
def test_the_recorded_losses_are_named_so_today(row, state):
    logged = {}
    for name, points in row["losses"].items():
        for step, loss in points:
            logged.setdefault(step, {"step": step})[f"{name}/loss"] = loss
    exam = {"before": {"score": row["before"]}, "after": row["exam"], "p_value": row["p_value"]}
    config = {"optimizer": {"lr": row["settings"]["rate"]}, "trainer": {"max_epochs": row["settings"]["epochs"]}}
    curves = Curves.of_rows([logged[step] for step in sorted(logged)], config, {"exam": exam})
    assert diagnose(curves).state == state
    if state != "successful":
        assert diagnose(curves).next


@pytest.mark.parametrize("base", ["tiny", "qwen"])
def test_the_runs_differ_in_what_the_lesson_changes_alone(base):
    runs = [yaml.safe_load((HERE / base / f"{step}.yaml").read_text()) for step in range(1, 6)]
    assert [run.keys() - {"name", "data", "optimizer", "trainer", "method"} for run in runs] == [set()] * 5
    rates = [run["optimizer"]["lr"] for run in runs]
    assert rates[0] == 0.1
    assert len(set(rates[1:])) == 1
    assert [Path(run["data"]["train"]).stem for run in runs] == ["train_100"] * 3 + ["train_1k"] * 2
    epochs = [run["trainer"]["max_epochs"] for run in runs]
    assert epochs[:3] == [1, 1, 50]
    assert epochs[3] < epochs[4]
    if base == "qwen":
        assert (epochs[3:], rates[1]) == ([3, 15], 5e-5)
        assert [run["data"]["batch_size"] for run in runs] == [8, 8, 8, 16, 16]


@pytest.mark.parametrize("base", ["tiny", "qwen"])
def test_the_configs_are_fits_own(base):
    for step in range(1, 6):
        settings = parse(*(HERE / base / f"{name}.yaml" for name in ("common", step))).settings
        assert (settings.exam.every, settings.early_stopping) == (0, None)


def test_the_readme_shows_what_was_recorded():
    readme = (HERE / "README.md").read_text()
    for row in ROWS:
        told = f"| {row['state']} | {row['before']:.0f} -> {row['exam']['score']:.0f} | {row['evidence']} |"
        assert told in readme


def test_the_advice_improves_at_least_four_of_five_seeds():
    rows = json.loads((HERE / "advice.json").read_text())
    for state in ("failed", "underfitting", "overfitting"):
        found = [row for row in rows if row["wanted"] == row["state"] == state]
        assert len({row["seed"] for row in found}) == 5
        assert sum(row["after"]["end"] < row["before"]["end"] for row in found) >= 4

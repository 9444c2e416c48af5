"""`ftlab compare`: what it prints and writes, and its faults in one line."""

import csv
import json

import pytest

from ftlab.cli.main import main
from tests.comparison.folders import make_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two configurations of two seeds each, far apart, and a run that has not ended."""
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        make_run(
            tmp_path / "runs", "high", [1.0] * 36 + [0.0] * 4, seed=seed, steps=40, settings={"optimizer.lr": 0.01}
        )
        make_run(tmp_path / "runs", "low", [1.0] * 4 + [0.0] * 36, seed=seed, steps=40, settings={"optimizer.lr": 0.1})
    (make_run(tmp_path / "runs", "begun", [1.0] * 40, steps=9).folder / "summary.json").unlink()
    return tmp_path


def test_it_prints_what_differs_what_came_out_and_which_is_best(runs, capsys):
    assert main(["compare", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:8] == ["configuration", "exam", "of", "100", "against", "the", "best", "lr"]
    assert lines[1].startswith("high 2 seeds")
    assert "90 (90 to 90)" in lines[1]
    assert lines[2].startswith("low 2 seeds")
    assert "-80 (-100 to -51) worse p = 0.007" in lines[2]
    found = dict(line.split(maxsplit=1) for line in lines[3:] if line)
    assert found["best"] == "high: exam 90 (90 to 90) of 100, 2 seeds"
    assert found["shown"] == "yes: it is better than the other"
    assert found["left"].startswith("out   runs/begun/")
    assert "not finished, step 9" in found["left"]


def test_it_writes_data(runs, capsys):
    assert main(["compare", "runs/*", "--sort", "lr", "--json", "a/c.json", "--csv", "c.csv"]) == 0
    assert "data       c.csv" in capsys.readouterr().out
    data = json.loads((runs / "a/c.json").read_text())
    assert [each["label"] for each in data["configurations"]] == ["high", "low"]
    assert data["winner"] == data["best"] == "high"
    high, low = data["configurations"]
    assert high["against_best"] is None
    assert low["against_best"]["points"] == -80
    assert low["against_best"]["verdict"].startswith("worse by 80 points")
    assert low["settings"] == {"optimizer.lr": "0.1"}
    with (runs / "c.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["configuration"], row["seed"], float(row["exam"])) for row in rows] == [
        ("high", "1", 90), ("high", "2", 90), ("low", "1", 10), ("low", "2", 10)
    ]  # fmt: skip


def test_faults_are_one_line(runs, capsys):
    (runs / "empty").mkdir()
    for args, reason in {
        ("nope",): "nope: there is no such folder",
        ("nope*",): "nope*: there is no such folder",
        ("empty",): "empty: no run in it",
        ("runs/begun",): "no run that could be compared; runs/begun/",
        ("runs", "--sort", "speed"): "--sort: speed: no such figure",
        ("runs", "--html", "empty"): "empty: cannot be written",
        ("runs", "--json", "empty"): "empty: cannot be written",
        (): "the following arguments are required: RUN",
    }.items():
        assert main(["compare", *args]) == 2, args
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert reason in error


def test_it_needs_no_torch(runs):
    import subprocess
    import sys

    code = "import sys; from ftlab.cli.main import main; main(['compare', 'runs']); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1] == "False", result.stderr

"""The lesson's files are what its generator writes, and share no question."""

import collections
import json
import runpy
import subprocess
import sys

import pytest

from ftlab.data.sources import read_rows
from tests.conftest import ROOT, ftlab

LESSON = ROOT / "experiments/lesson"
FILES = {"train_100": 100, "train_1k": 1000, "validation": 200, "exam": 200}


def test_the_generator_writes_the_same_files(tmp_path):
    subprocess.run([sys.executable, LESSON / "generate.py", "--output", tmp_path], check=True)
    for name in FILES:
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (LESSON / f"{name}.jsonl").read_bytes()


def test_no_question_is_shared():
    rows = {name: read_rows(LESSON / f"{name}.jsonl") for name in FILES}
    assert {name: len(found) for name, found in rows.items()} == FILES
    requests = runpy.run_path(str(LESSON / "generate.py"))["REQUESTS"]
    questions = []
    for row in (row for found in rows.values() for row in found):
        text = row.prompt[-1]["content"]
        [request] = [r for r in requests if text.endswith(r)]
        questions.append(text.removesuffix(request))
    assert len(set(questions)) == len(questions) == sum(FILES.values())


def test_kinds_and_wordings():
    kinds = runpy.run_path(str(LESSON / "generate.py"))["KINDS"]
    assert len(kinds) >= 12
    assert all(len(wordings) >= 3 for _, wordings in kinds.values())
    count = collections.Counter(row.extra["kind"] for row in read_rows(LESSON / "exam.jsonl"))
    assert count.keys() == kinds.keys()
    assert max(count.values()) - min(count.values()) <= 1


def test_every_answer_is_right():
    for name in FILES:
        for row in read_rows(LESSON / f"{name}.jsonl"):
            *steps, marked = (row.reference or "").splitlines()
            for step in steps:
                left, right = step.split(" = ")
                assert eval(left) == int(right), row.place
            assert marked == "{{ans:" + steps[-1].split(" = ")[1] + "}}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 1, 2])
def test_the_quickstart_reaches_its_bars(workplace, seed):
    result = ftlab(
        workplace, "fit", "--config", "configs/quickstart.yaml", f"--name=seed{seed}", f"--seed_everything={seed}"
    )
    assert result.returncode == 0, result.stderr[-3000:]
    [folder] = (workplace / f"runs/seed{seed}").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    print(summary["exam"], summary["seconds"], summary["memory"])
    assert summary["exam"]["before"]["score"] <= 45
    assert summary["exam"]["after"]["score"] >= 85
    assert summary["memory"]["peak_bytes"] <= 2e9

"""Sittings in real runs: graders that give up in the middle, memory, several processes."""

import json
import subprocess
import sys
from dataclasses import dataclass

import lightning.pytorch as pl
import numpy as np
import pytest

from ftlab import ChatData, Exam, FineTuner, FtlabError, LoRA, Optimizer, Run, WandB, fit
from ftlab.callbacks.memory import peak_bytes, reset_peak
from ftlab.cli.main import main
from ftlab.exam.graders import Judge
from ftlab.exam.sitting import Answer, Sitting
from ftlab.summary import closing_lines
from tests.conftest import ROOT, ftlab, losses

LESSON = ROOT / "experiments/lesson"
SERVER = ROOT / "tests/exam/graders/judge_server.py"


def serve(port="0"):
    server = subprocess.Popen([sys.executable, str(SERVER), port], stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().strip()


def end(server):
    server.kill()
    server.wait()
    server.stdout.close()


def train(exam, lr=1e-3, callbacks=(), **trainer):
    return fit(
        FineTuner("ftlab/tiny", LoRA(r=2), Optimizer(lr=lr, schedule="constant", warmup=0), seed=1),
        ChatData(train=str(LESSON / "train_1k.jsonl"), validation=str(LESSON / "train_100.jsonl"), batch_size=4),
        exam=exam,
        wandb=WandB("off"),
        memorisation=0,
        **{
            "max_epochs": 2,
            "limit_train_batches": 2,
            "limit_val_batches": 1,
            "enable_progress_bar": False,
            "callbacks": list(callbacks),
            **trainer,
        },
    )


class Ends(pl.Callback):
    """Ends a server when the training begins."""

    def __init__(self, server):
        self.server = server

    def on_train_start(self, *args):
        end(self.server)


@pytest.fixture
def judged():
    """An exam that a server judges, the server, and its port."""
    server, port = serve()
    judge = Judge(f"http://127.0.0.1:{port}/v1", "rates", timeout=20.0, retries=0)
    yield Exam(str(LESSON / "exam.jsonl"), judge, limit=3, max_new_tokens=6), server, port
    end(server)


@pytest.mark.slow
def test_a_judge_that_goes_down_does_not_end_the_training(judged, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exam, server, port = judged
    run = train(exam, lr=0.3, callbacks=[Ends(server)])
    out = capsys.readouterr().out
    summary = run.summary
    assert (summary["epochs"], summary["best"]["by"]) == (2, "validation/loss")
    assert summary["exam"]["before"]["score"] == run.sitting("before").score.score
    assert summary["exam"]["after"] is None
    assert not losses(run, "exam/score")
    for name in ("step-2", "step-4", "after"):
        assert sum(line.startswith(f"exam       {name}: not graded (") for line in out.splitlines()) == 1
    assert f"not graded; later: ftlab exam {run.folder}" in out
    kept = json.loads((run.folder / "exam/after.ungraded.json").read_text())
    assert [one["id"] for one in kept] == [answer.id for answer in run.sitting("before").answers]
    assert run.report_file.is_file()

    again, _ = serve(port)
    try:
        assert main(["exam", str(run.folder)]) == 0
    finally:
        end(again)
    [folder] = (run.folder / "examined").iterdir()
    after = Run(folder).sitting("after")
    assert [answer.answer for answer in after.answers] == [one["answers"][0] for one in kept]


def test_a_judge_that_is_down_before_the_training_ends_it_at_once(judged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exam, server, _ = judged
    end(server)
    with pytest.raises(FtlabError, match=r"exam\.jsonl:1: .*no reply in 1 tries: .*; is the server up\?$"):
        train(exam)
    [folder] = (tmp_path / "runs/run").iterdir()
    assert not (folder / "best").exists()


def test_the_peak_of_memory_is_counted_anew():
    if not reset_peak():
        pytest.skip("this system keeps one peak")
    before = peak_bytes()
    held = np.ones(30_000_000)
    assert peak_bytes() - before > 200e6
    del held
    assert reset_peak()
    assert peak_bytes() - before < 100e6


@dataclass
class Large(Exam):
    """An exam that takes much memory for a moment."""

    def sit(self, *args, **settings):
        assert np.ones(int(1e9 / 8))[-1] == 1
        return Sitting([Answer(str(i), "q", "r", "a", 1.0) for i in range(10)])


@pytest.mark.slow
def test_the_memory_of_exams_is_not_that_of_training(tmp_path, monkeypatch):
    if not reset_peak():
        pytest.skip("this system keeps one peak")
    monkeypatch.chdir(tmp_path)
    run = train(Large(str(LESSON / "exam.jsonl")), val_check_interval=1, log_every_n_steps=1)
    memory = run.summary["memory"]
    assert memory["peak_of"] == "training"
    assert memory["exam_bytes"] - memory["peak_bytes"] > 500e6
    assert max(losses(run, "memory/peak_bytes").values()) == memory["peak_bytes"]
    [speed] = [line for line in closing_lines(run.summary, run.folder) if line.startswith("speed")]
    told = f"peak memory {memory['peak_bytes'] / 1e9:.2f} GB ({memory['exam_bytes'] / 1e9:.2f} GB in exams)"
    assert speed.endswith(told)


GRADER = """\
import os
from dataclasses import dataclass
from pathlib import Path

from ftlab.exam.graders import Grader


@dataclass
class OfTheFirst(Grader):
    '''1 point in the first process, 0 in the others.'''

    def grade(self, answer, reference):
        if answer:  # an empty one is graded when the questions are checked
            with Path("sat.txt").open("a") as file:
                file.write(f"{os.environ.get('LOCAL_RANK', '0')}\\n")
        return float(os.environ.get("LOCAL_RANK", "0") == "0")
"""

TWO = [
    *("fit", "--config", str(ROOT / "configs/quickstart.yaml"), "--wandb.mode=off", "--data.batch_size=4"),
    *(f"--data.train={LESSON}/train_1k.jsonl", f"--data.validation={LESSON}/validation.jsonl"),
    *(f"--exam.questions={LESSON}/exam.jsonl", "--exam.limit=4", "--exam.max_new_tokens=4"),
    *("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu", "--trainer.max_epochs=3"),
    *("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"),
]


@pytest.mark.slow
def test_of_two_processes_one_sits_the_exam_and_both_decide_alike(tmp_path):
    """Were the other to go by its own score, it would stop at its first validation, and the two wait for ever."""
    (tmp_path / "grader.py").write_text(GRADER)
    options = ["--plugins", "grader.py", "--exam.grader=OfTheFirst", "--early_stopping.only_while=exam/score >= 50"]
    result = ftlab(tmp_path, *TWO, *options, timeout=170)
    assert result.returncode == 0, result.stderr[-3000:]
    [folder] = (tmp_path / "runs/quickstart").iterdir()
    run = Run(folder)
    assert (run.summary["epochs"], run.summary["stopped_early"]) == (3, False)
    assert set(losses(run, "exam/score").values()) == {100.0}
    assert set((tmp_path / "sat.txt").read_text().split()) == {"0"}
    assert run.sittings().keys() == {"before", "step-2", "step-4", "step-6", "after"}


@pytest.mark.slow
def test_of_two_processes_both_end_where_a_grader_gives_up_before_the_training(tmp_path):
    (tmp_path / "points.py").write_text("def points(answer, reference):\n    return 2 if answer else 0\n")
    options = ["--exam.grader=Function", "--exam.grader.function=points.py:points"]
    result = ftlab(tmp_path, *TWO, *options, timeout=170)
    assert result.returncode == 2, result.stderr[-3000:]
    assert "points.py:points returned 2; return a number from 0 to 1" in result.stderr
    assert "Traceback" not in result.stderr

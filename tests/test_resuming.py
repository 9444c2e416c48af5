"""Runs that were killed, stopped, resumed, cut short or shared by processes learn what one left alone learns."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ftlab import Run
from ftlab.cli.main import main
from tests.conftest import QUICKSTART, ROOT, ftlab, losses

#: A mixture whose weights move, a replayed source and packed rows: all that the plan carries.
MIXED = """\
--data.train=[{path: experiments/lesson/train_1k.jsonl, weight: 2, weight_end: 1}, \
{path: experiments/lesson/train_100.jsonl, weight: 1}]
--data.replay={source: old.jsonl, share: 0.2}
--data.packing=true
--data.max_length=128
""".splitlines()


@pytest.mark.parametrize(
    ("accumulate", "data"),
    [pytest.param(1, [], marks=pytest.mark.slow), (2, []), pytest.param(1, MIXED, marks=pytest.mark.slow)],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    workplace, monkeypatch, tmp_path, write_chats, accumulate, data
):
    """SIGKILL in the second epoch, after a checkpoint in mid-epoch: its losses are bit for bit an unharmed run's.

    With accumulation one validation of two falls between accumulated batches, where no checkpoint can be taken.
    """
    for name in ("configs", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    write_chats("old.jsonl", *((f"Which colour is number {i}?", f"Colour {i}.") for i in range(40)))
    args = [
        *QUICKSTART[:3], "--wandb.mode=off", "--exam=null", "--trainer.val_check_interval=3", "--data.batch_size=8",
        *data, f"--trainer.accumulate_grad_batches={accumulate}",
        "--trainer.max_epochs=2", "--trainer.limit_train_batches=10", "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false", "--trainer.limit_val_batches=2",
    ]  # fmt: skip
    assert main([*args, "--name", "whole"]) == 0
    process = subprocess.Popen([sys.executable, "-m", "ftlab", *args, "--name", "killed"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        checkpoints = list(Path("runs/killed").glob("*/last/last.ckpt"))
        if checkpoints and torch.load(checkpoints[0], weights_only=True)["global_step"] > 10 // accumulate:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = Run.newest("killed", "last/last.ckpt")
    step = torch.load(killed.last, weights_only=True)["global_step"]
    assert not killed.summary
    assert main([*args, "--name", "killed", "--ckpt_path", "last"]) == 0
    resumed, whole = Run.newest("killed", "summary.json"), Run.newest("whole", "best")
    assert resumed.summary["resumed_from"] == str(killed.last)
    own = {s: loss for s, loss in losses(resumed).items() if s > step}
    assert own
    assert own == {s: loss for s, loss in losses(whole).items() if s > step}
    assert losses(resumed, "validation/loss") == losses(whole, "validation/loss")
    assert resumed.summary["best"] == whole.summary["best"]


def test_a_resumed_run_takes_the_new_settings(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    args = [
        *QUICKSTART[:3], "--name", "longer", "--wandb.mode=off", "--exam=null", "--trainer.limit_train_batches=3",
        "--trainer.enable_progress_bar=false", "--trainer.limit_val_batches=2", "--trainer.log_every_n_steps=1",
    ]  # fmt: skip
    assert main([*args, "--trainer.max_epochs", "1"]) == 0
    assert main([*args, "--trainer.max_epochs", "2", "--optimizer.lr", "1e-4", "--ckpt_path", "last"]) == 0
    run = Run.newest("longer", "summary.json")
    assert (run.summary["steps"], run.config["optimizer"]["lr"]) == (6, 1e-4)
    rates = losses(run, "lr/trainable")
    assert rates.keys() == set(range(1, 7))
    assert max(rate for step, rate in rates.items() if step > 3) <= 1e-4 < rates[3]


@pytest.mark.slow
def test_ctrl_c_is_told_from_a_fault(workplace):
    command = [sys.executable, "-m", "ftlab", *QUICKSTART, "--exam=null", "--name=stopped", "--trainer.max_epochs=50"]
    process = subprocess.Popen(command, cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((workplace / "runs/stopped").glob("*/last/last.ckpt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ftlab: interrupted; ftlab fit ... --ckpt_path last goes on" in said


def test_a_step_that_a_limit_cuts_short_counts_its_own_tokens(workplace, monkeypatch):
    """Six batches accumulated by four are steps of four and of two; both losses are per token of their own step."""
    monkeypatch.chdir(workplace)
    args = [
        *QUICKSTART[:3], "--exam=null", "--wandb.mode=off", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false", "--data.batch_size=4", "--optimizer.lr=1e-9", "--data.validation=null",
    ]  # fmt: skip
    cut = ["--trainer.accumulate_grad_batches=4", "--trainer.limit_train_batches=6", "--name=cut"]
    whole = ["--trainer.accumulate_grad_batches=4", "--trainer.limit_train_batches=8", "--name=uncut"]
    assert main([*args, *cut]) == 0
    assert main([*args, *whole]) == 0
    short, full = losses(Run.newest("cut", "best")), losses(Run.newest("uncut", "best"))
    assert short[1] == full[1]
    assert short[2] == pytest.approx(full[2], rel=0.3)  # half of the tokens, not half of the loss


@pytest.mark.slow
def test_two_processes_learn_what_one_does(workplace):
    """One batch of 16 on one device, or 8 on each of two: equal losses, one folder, one report."""
    few = [*QUICKSTART, "--trainer.limit_train_batches=4", "--exam.limit=8", "--wandb.mode=off"]
    two = ["--data.batch_size=8", "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"]
    for name, more in (("one", []), ("two", two)):
        result = ftlab(workplace, *few, f"--name={name}", *more)
        assert result.returncode == 0, result.stderr[-3000:]
    runs = {name: [Run(folder) for folder in (workplace / "runs" / name).iterdir()] for name in ("one", "two")}
    [one], [two] = runs["one"], runs["two"]
    for key in ("train/loss", "validation/loss", "train/gradient_norm"):
        assert losses(two, key) == pytest.approx(losses(one, key), rel=1e-5)
    assert two.sitting("after") == one.sitting("after")

"""Files: what other tools write is read, and what is no curve is refused in one line."""

import json
import math

import numpy as np
import pytest

from ftlab.diagnosis import diagnose
from ftlab.diagnosis.files import read_curves
from ftlab.errors import FtlabError

TRAIN = [round(4 * math.exp(-i / 10) + 1, 4) for i in range(40)]


def table(file, header, rows):
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


@pytest.mark.parametrize(
    ("train", "validation", "step"),
    [
        ("train/loss", "validation/loss", "step"),
        ("train_loss", "val_loss", "epoch_step,step"),
        ("loss", "eval_loss", "global_step"),
        ("Training Loss", "Validation Loss", "Step"),
        ("run-1 - train/loss", "run-1 - eval/loss", "Step"),
    ],
)
def test_csv_of_any_tool(tmp_path, train, validation, step):
    first = "0," * step.count(",")
    rows = [f"{first}{10 * (i + 1)},{loss},{loss + 0.1 if i % 10 == 9 else ''}" for i, loss in enumerate(TRAIN)]
    curves = read_curves(table(tmp_path / "log.csv", f"{step},{train},{validation}", rows))
    assert curves.train.values.tolist() == TRAIN
    assert curves.train.steps.tolist() == [10 * (i + 1) for i in range(40)]
    assert curves.validation.steps.tolist() == [100, 200, 300, 400]
    assert curves.validation.values == pytest.approx([TRAIN[i] + 0.1 for i in (9, 19, 29, 39)])


def test_csv_with_rates_gradients_and_epochs_but_no_steps(tmp_path):
    rows = [f"{i / 20},{loss},{0.5},{1e-4}" for i, loss in enumerate(TRAIN)]
    curves = read_curves(table(tmp_path / "log.csv", "epoch,loss,grad_norm,lr", rows))
    assert curves.train.steps.tolist() == list(range(1, 41))
    assert (curves.epochs, curves.lr) == (39 / 20, 1e-4)
    assert set(curves.gradient_norm.values) == {0.5}


def test_nan_is_an_empty_cell_unless_no_number_follows(tmp_path):
    rows = [f"{i},{loss},{loss if i % 8 == 0 else 'nan'}" for i, loss in enumerate(TRAIN)]
    curves = read_curves(table(tmp_path / "a.csv", "step,loss,val_loss", rows[:33]))
    assert len(curves.train) == 33
    assert not curves.broken
    assert curves.validation.steps.tolist() == [0, 8, 16, 24, 32]
    rows = [f"{i},{loss if i < 30 else 'NaN'}" for i, loss in enumerate(TRAIN)]
    curves = read_curves(table(tmp_path / "b.csv", "step,loss", rows))
    assert diagnose(curves).evidence[0] == "training loss is no number at step 30 (10 of 40 points)"


def test_trainer_state(tmp_path):
    """Rows as transformers' Trainer writes them; the closing one holds a mean, not a loss."""
    log = [
        {"loss": loss, "grad_norm": 1.5, "learning_rate": 2e-4, "epoch": i / 20, "step": 10 * i}
        for i, loss in enumerate(TRAIN, 1)
    ]
    log += [{"eval_loss": 1.5, "eval_runtime": 3.0, "epoch": 2.0, "step": 400}]
    log += [{"train_loss": 99.0, "train_runtime": 60.0, "epoch": 2.0, "step": 400}]
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps({"log_history": log, "max_steps": 400}))
    curves = read_curves(file)
    assert curves.train.values.tolist() == TRAIN
    assert curves.validation.values.tolist() == [1.5]
    assert (curves.lr, curves.epochs, curves.steps) == (2e-4, 2.0, 400)


@pytest.mark.parametrize("count", [40, 1500])
def test_wandb(tmp_path, count):
    """What W&B itself wrote, in one block and in many."""
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    run = wandb.init(mode="offline", dir=str(tmp_path), config={"optimizer": {"lr": 0.25}}, settings=settings)
    for step in range(1, count + 1):
        loss = 1 + math.exp(-step / 10) if step < count - 1 else math.nan
        row = {"train/loss": loss, "trainer/global_step": 5 * step, "note": "text" * (step % 20)}
        run.log(row | ({"validation/loss": 1.5} if step % 20 == 0 else {}))
    run.finish()
    wandb.teardown()  # finish does not wait until all of it is on the disk
    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert (file.stat().st_size > 3 * 32 * 1024) == (count == 1500)
    curves = read_curves(file)
    assert curves.train.steps.tolist() == [5 * step for step in range(1, count + 1)]
    assert curves.train.values[:-2] == pytest.approx([1 + math.exp(-step / 10) for step in range(1, count - 1)])
    assert np.isnan(curves.train.values[-2:]).all()
    assert len(curves.validation) == count // 20
    assert curves.lr == 0.25

    (cut := tmp_path / "cut.wandb").write_bytes(file.read_bytes()[:-400])  # as while a run is under way
    assert 0 < len(read_curves(cut).train) <= count


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.txt", "1 2 3", "x.txt: not a kind of file that holds curves; give .csv"),
        ("x.csv", "a,b\n1,2\n", "x.csv: no column of a loss; name one train_loss or validation_loss (there are: "),
        ("x.csv", "", "x.csv: no column of a loss"),
        ("x.csv", "step,loss\n1,2\n2,high\n", "x.csv:3: loss: 'high' is not a number"),
        ("x.json", "{\n'a'}", "x.json:2: not JSON"),
        ("x.json", '{"a": 1}', "x.json: no log_history; give the trainer_state.json"),
        ("x.json", '[{"a": 1}]', "x.json: no column of a loss"),
        ("x.wandb", "hello", "x.wandb: not a log of W&B"),
        ("x.wandb", ":W&B\0\0\0" + "\0" * 4 + "\3\0\1abc", "x.wandb: a damaged record"),
    ],
)
def test_what_is_no_curve_is_refused_in_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(FtlabError) as error:
        read_curves(tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_faults_of_files(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"step,loss\n\xff\xfe,2\n")
    with pytest.raises(FtlabError, match="not UTF-8"):
        read_curves(tmp_path / "x.csv")
    with pytest.raises(FtlabError, match="cannot be read"):
        read_curves(tmp_path / "none.csv")

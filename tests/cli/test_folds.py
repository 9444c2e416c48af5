import json
import os

import numpy as np
import pytest
from scipy import stats

from ftlab import Run
from ftlab.cli.fold_table import fold_mean, measures, missing, table
from ftlab.cli.folds import fingerprint, run_folds
from ftlab.cli.sources import Sources
from ftlab.errors import FtlabError
from tests.conftest import ftlab

SCORES = [60.0, 70.0, 64.0, 66.0, 75.0]


def test_the_interval_is_students_widened_for_shared_training_rows():
    mean = fold_mean(SCORES)
    plain = stats.ttest_1samp(SCORES, 0).confidence_interval(0.95)
    assert mean.mean == pytest.approx(67)
    assert mean.high - mean.mean == pytest.approx((plain.high - 67) * np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert mean.low == pytest.approx(2 * 67 - mean.high)
    assert fold_mean([1.0, 99.0], (0, 100)) == fold_mean([3.0, 97.0], (0, 100)) == type(mean)(50, 0, 100)


@pytest.mark.parametrize("k", [5, 10])
def test_the_interval_holds_the_truth_where_students_alone_is_too_narrow(k):
    """A fold's score is chance of its own and what the rows of all other folds, which it learns from, do to it."""
    rng = np.random.default_rng(0)
    rows, own = rng.normal(size=(2, 1000, k))
    scores = (rows.sum(axis=1, keepdims=True) - rows) / (k - 1) + own
    means = [fold_mean(score) for score in scores]
    plain = [stats.ttest_1samp(score, 0).confidence_interval(0.95) for score in scores]
    assert np.mean([mean.low <= 0 <= mean.high for mean in means]) > 0.93
    assert np.mean([mean.low <= 0 <= mean.high for mean in plain]) < 0.9


def make_run(name, before, after, loss, **config):
    run = Run.create(name, {"name": name, **config})
    exam = None if after is None else {"before": {"score": before}, "after": {"score": after}}
    run.write_summary({"exam": exam, "best": {"validation_loss": loss}})
    return run


def test_the_table_shows_each_fold_and_the_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = {f"{i + 1}/5": make_run(f"x/{i + 1}", 10.0, score, score / 100) for i, score in enumerate(SCORES)}
    folds = {fold: measures(run) for fold, run in runs.items()}
    means = {key: fold_mean([values[key] for values in folds.values()]) for key in folds["1/5"]}
    lines = table(folds, means, {fold: str(run.folder) for fold, run in runs.items()})
    assert lines[0].split() == ["fold", "exam", "before", "exam", "after", "loss", "run"]
    assert lines[3].split() == ["3/5", "10.0", "64.0", "0.6400", str(runs["3/5"].folder)]
    assert lines[6].split() == ["mean", "10.0", "67.0", "0.6700"]
    high = means["exam_after"].high
    assert lines[8] == f"exam after  67.0, 95 % interval {134 - high:.1f} to {high:.1f} over 5 training sets"


def test_without_an_exam_the_loss_takes_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run("x", None, None, 0.5)
    folds = {"1/2": measures(run), "2/2": measures(run)}
    lines = table(folds, {"validation_loss": fold_mean([0.5, 0.5])}, dict.fromkeys(folds, "runs/x"))
    assert lines[0].split() == ["fold", "loss", "run"]
    assert "exam" not in "".join(lines)


def test_what_some_folds_lack_has_no_mean_and_is_told_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unmeasured = {"trainer": {"limit_val_batches": 0}}
    runs = {
        "1/4": make_run("x/1", 10.0, 60.0, 0.5, exam={}),
        "2/4": make_run("x/2", 20.0, 70.0, None, exam={}, **unmeasured),
        "3/4": make_run("x/3", 30.0, 80.0, float("nan"), exam={}),
        "4/4": make_run("x/4", 40.0, 90.0, None, exam={}, **unmeasured),
    }
    folds = {fold: measures(run) for fold, run in runs.items()}
    means = {key: fold_mean([one[key] for one in folds.values()]) for key in ("exam_before", "exam_after")}
    lines = table(folds, means, dict.fromkeys(runs, "runs/x"))
    assert lines[0].split() == ["fold", "exam", "before", "exam", "after", "loss", "run"]
    assert [line.split()[3] for line in lines[1:5]] == ["0.5000", "-", "-", "-"]
    assert lines[5].split() == ["mean", "25.0", "75.0", "-"]
    assert not any(line.startswith("loss") for line in lines)
    assert missing(runs) == [
        "no loss     2/4, 4/4: trainer.limit_val_batches is 0; leave it out to validate",
        "no loss     3/4: the loss is not a number; lower optimizer.lr",
    ]


def test_without_any_score_there_is_no_mean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = {f"{i}/2": make_run(f"x/{i}", None, None, None, exam={"questions": "x"} if i == 2 else None) for i in (1, 2)}
    folds = {fold: measures(run) for fold, run in runs.items()}
    assert [line.split() for line in table(folds, {}, dict.fromkeys(runs, "runs/x"))] == [
        ["fold", "run"], ["1/2", "runs/x"], ["2/2", "runs/x"],
    ]  # fmt: skip
    assert [line.partition(":")[0] for line in missing(runs)] == [
        "no loss     1/2", "no exam before 2/2", "no exam after 2/2", "no loss     2/2",
    ]  # fmt: skip


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit):
        run_folds(["--help"])
    shown = capsys.readouterr().out
    for told in ("--config X.yaml", "--k K", "example: ftlab folds --config configs/quickstart.yaml", "folds.json"):
        assert told in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_what_a_fit_is_told_and_the_files_that_it_names_make_the_fingerprint(tmp_path):
    data, config, other = tmp_path / "data.jsonl", tmp_path / "config.yaml", tmp_path / "other.jsonl"
    for file in (data, other):
        file.write_text("{}\n")
    config.write_text(f"name: x\ndata: {{train: [{tmp_path}/d*.jsonl]}}\n")

    def made(*args):
        args = [f"--config={config}", *args]
        return fingerprint(args, Sources(args))

    first = made()
    assert made() == first != made("--optimizer.lr=1")
    other.write_text("{}\n{}\n")
    assert made() == first
    os.utime(data, (1, 1))
    second = made()
    assert second != first
    config.write_text(config.read_text() + "# more\n")
    assert made() != second


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--k=1"], "--k: 1 is not 2 or more"),
        (["--k=two"], "--k: invalid int value: 'two'"),
        (["--k=2", "--data.fold=1/2"], "--data.fold: ftlab folds starts each fold itself"),
        (["--k=2", "--ckpt_path", "last"], "--ckpt_path: ftlab folds starts each fold itself"),
        (["--config=missing.yaml"], "missing.yaml: no such config file"),
    ],
)
def test_options_at_fault_are_named(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FtlabError, match=message):
        run_folds(args)


@pytest.mark.slow
def test_a_fault_in_a_fold_ends_all_with_its_exit_code(workplace, monkeypatch, capfd):
    monkeypatch.chdir(workplace)
    args = ["--config=configs/quickstart.yaml", "--k=2", "--data.train=missing.jsonl", "--data.validation=null"]
    assert run_folds([*args, "--name=faulty"]) == 2
    said = capfd.readouterr().err
    assert "ftlab: error: " in said
    assert "missing.jsonl" in said
    assert "fold 1/2 ended with exit code 2; the same command goes on from this fold" in said
    assert "fold 2/2" not in said


@pytest.mark.slow
def test_all_folds_of_a_real_run(workplace):
    """Two fits on halves that have no row in common; a second call takes both over."""
    args = [
        "folds", "--config=configs/quickstart.yaml", "--k=2", "--name=halves", "--data.validation=null",
        "--wandb.mode=off", "--trainer.max_steps=1", "--trainer.val_check_interval=1", "--exam.limit=8",
        "--trainer.enable_progress_bar=false",
        "--exam.max_new_tokens=8", "--trainer.limit_val_batches=2",
    ]  # fmt: skip
    first = ftlab(workplace, *args)
    assert first.returncode == 0, first.stderr[-3000:]
    found = json.loads((workplace / "runs/halves/folds.json").read_text())
    assert list(found["folds"]) == ["1/2", "2/2"]
    runs = [Run.open(workplace / folder) for folder in found["runs"].values()]
    assert [run.folder.parent.name for run in runs] == ["fold-1-of-2", "fold-2-of-2"]
    assert [run.config["data"]["fold"] for run in runs] == ["1/2", "2/2"]
    losses = [run.summary["best"]["validation_loss"] for run in runs]
    assert found["validation_loss"]["mean"] == pytest.approx(np.mean(losses))
    assert found["exam_after"]["low"] <= found["exam_after"]["mean"] <= found["exam_after"]["high"]
    sizes = [run.summary["data"] for run in runs]
    assert sizes[0]["train"]["chats"] == sizes[1]["validation"]["chats"]
    assert "over 2 training sets" in first.stdout
    again = ftlab(workplace, *args)
    assert again.stdout.count("taken over from runs/halves/") == 2
    assert json.loads((workplace / "runs/halves/folds.json").read_text()) == found

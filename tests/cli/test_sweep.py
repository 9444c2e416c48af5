"""The command: what it refuses before the first trial, and real sweeps that are killed, interrupted, pruned."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml

from ftlab import Run
from ftlab.cli.find_lr import plan
from ftlab.cli.main import main
from ftlab.cli.resolved import Resolved
from ftlab.cli.sweep_check import require_objective
from ftlab.cli.sweep_file import SweepFile
from ftlab.cli.sweep_options import make_parser
from ftlab.data.module import ChatData
from ftlab.data.splits import Split
from ftlab.errors import FtlabError, SettingError
from ftlab.exam.exam import Exam
from ftlab.exam.graders import Number
from ftlab.experiment import Experiment
from ftlab.methods import LoRA
from ftlab.sweep.judge import Judge
from ftlab.sweep.settings import Sweep
from ftlab.sweep.study import Study
from ftlab.training.base import Base
from ftlab.training.tuner import FineTuner
from tests.conftest import ROOT, ftlab

START = "config: configs/quickstart.yaml\n"
QUICK = """\
--trainer.max_steps=4 --trainer.val_check_interval=2 --trainer.limit_val_batches=2 --trainer.log_every_n_steps=1
--trainer.enable_progress_bar=false --wandb.mode=off --exam=null
""".split()


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Return what the command says about a sweep's file, which must not begin a trial."""
    for name in ("configs", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)

    def told(text, *args):
        Path("tune.yaml").write_text(text)
        assert main(["sweep", "tune.yaml", *args]) == 2
        assert not list(Path().glob("runs/*/trial-*"))
        return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("ftlab: error: ")

    return told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (START + "space:\n  method.rank: [1]\n",
         "tune.yaml:3: space.method.rank: not a setting of LoRA; did you mean r?"),
        (START + "space:\n  method: [{class_path: LoRA, init_args: {rank: 1}}]\n",
         "tune.yaml:3: space.method.rank: not a setting of LoRA; did you mean r?"),
        (START + "space:\n  optimizer.lr:\n    {low: -1, high: 1}\n",
         "tune.yaml:3: space.optimizer.lr: -1.0 is not above 0"),
    ],
)  # fmt: skip
def test_what_fit_would_refuse_is_told_before_the_first_trial(told, text, message):
    assert told(text).startswith(message)


@pytest.mark.parametrize(
    ("objective", "pruner", "every", "message"),
    [
        ("exam/score", "median", 1, None),
        ("exam/score", None, 0, None),
        ("train/loss", "median", 0, None),
        ("exam/score", "median", 0, "pruner: exam/score is not measured while training; set exam.every to 1"),
        ("retention/score", None, 1, "objective: retention/score is not measured in these runs; choose one of "),
        ("exam/scor", None, 1, "objective: exam/scor is not measured in these runs; did you mean exam/score?"),
        ("exam/low", None, 0, None),
        ("exam/low", "median", 0, "pruner: exam/low is not measured while training; set exam.every to 1"),
        ("validaton/loss", None, 1, "objective: validaton/loss is not measured in these runs; choose one of "),
        ("train/los", None, 1, "objective: train/los is not measured in these runs; did you mean train/loss?"),
        ("train/penalty", None, 1, "objective: train/penalty is not measured in these runs; "),
        ("train/loss/web", None, 1, None),
        (
            "validation/loss",
            None,
            1,
            "objective: validation/loss is not measured in these runs; there is no validation ",
        ),
        ("validation/loss/web", None, 1, "objective: validation/loss/web is not measured in these runs; "),
    ],
)
def test_an_objective_has_to_be_measured_and_for_a_pruner_while_training(objective, pruner, every, message):
    exam = Exam(str(ROOT / "experiments/lesson/exam.jsonl"), Number(), every=every)
    sweep = Sweep("x.yaml", {"x": [1]}, "s", objective=objective, pruner=pruner, direction="maximize")
    experiment = Experiment(FineTuner(Base("ftlab/tiny"), LoRA()), ChatData("train.jsonl"), exam)
    if message is None:
        require_objective(sweep, experiment, {})
        return
    with pytest.raises(SettingError) as fault:
        require_objective(sweep, experiment, {})
    assert str(fault.value).startswith(message)


@pytest.mark.parametrize(
    ("data", "trainer", "measured"),
    [
        ({"validation": "v.jsonl"}, {}, True),
        ({"validation": "v.jsonl"}, {"limit_val_batches": 0}, False),
        ({"split": Split()}, {}, True),
        ({"split": Split(validation=0, test=0.1)}, {}, False),
        ({"fold": "1/5"}, {}, True),
        ({"train": "prepared"}, {}, True),
    ],
)
@pytest.mark.parametrize("objective", ["validation/loss", "validation/perplexity", "validation/loss/web"])
def test_a_validation_loss_needs_data_held_out(objective, data, trainer, measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prepared").mkdir()
    for name in ("train", "validation"):
        Path(f"prepared/{name}.parquet").touch()
    experiment = Experiment(FineTuner(Base("ftlab/tiny"), LoRA()), ChatData(**{"train": "t.jsonl"} | data))
    sweep = Sweep("x.yaml", {"x": [1]}, "s", objective=objective)
    with contextlib.nullcontext() if measured else pytest.raises(SettingError, match="is not measured in these runs"):
        require_objective(sweep, experiment, trainer)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "ftlab sweep: of which file? ftlab sweep SWEEP.yaml; --find-lr needs no sweep's file"),
        (["x.yaml", "--find-lr"], "--find-lr needs no sweep's file"),
        (["missing.yaml"], "missing.yaml: no such config file"),
        (["x.yaml", "--ckpt_path=last"], "--ckpt_path: ftlab sweep starts each run itself"),
        (["x.yaml", "--trials=many"], "ftlab sweep: argument --trials: invalid int value"),
        (["--find-lr", "--steps=2"], "--steps: 2 is not 4 or more"),
    ],
)
def test_options_at_fault_are_told(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *args]) == 2
    assert message in capsys.readouterr().err


def test_the_help_teaches_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom ftlab.cli.main import main\n"
        "try: main(['sweep', '--help'])\n"
        "except SystemExit: print([name for name in ('torch', 'optuna') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert max(map(len, shown.splitlines())) <= 120
    example = (ROOT / "configs/sweeps/quickstart.yaml").read_text()
    lines = [line.split(" #")[0] for line in example.splitlines()[1:]]
    assert len(lines) == 9
    for told in ("--find-lr", "arXiv:1810.05934", "best.yaml", *lines):
        assert told in shown


def test_the_example_is_read(monkeypatch):
    monkeypatch.chdir(ROOT)
    sweep = SweepFile("configs/sweeps/quickstart.yaml").read()
    assert (sweep.count, sweep.domains["optimizer.lr"].low) == (12, 1e-3)
    assert all(Path(config).is_file() for config in sweep.configs)


def test_a_judge_records_the_objective_and_ends_what_is_no_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(Sweep("x.yaml", {"x": [1]}, "s", objective="validation/loss"), {})
    trial = study.claim()
    judge = Judge(study.sweep.address, "s", study.id_of(trial.number), "validation/loss", None, 1)
    monkeypatch.setenv(*next(iter(judge.environment.items())))
    assert Judge.of_environment() == judge
    assert [judge.stops(value, i, False) for i, value in enumerate([2.0, 1.0, float("nan")], 1)] == [False, False, True]
    study.pruned(trial)
    [found] = study.slots().values()
    assert list(found.intermediate_values.values())[:2] == [2.0, 1.0]
    assert found.user_attrs["stopped"] == {"validation": 3, "value": "nan"}
    assert judge.stops(0.5, 4, False)  # nothing can be recorded any more, so the run may as well end
    study.close()


def test_a_judge_lets_a_trial_go_on_while_the_database_is_away(tmp_path):
    judge = Judge(f"sqlite:///{tmp_path}/sweep.db", "s", 0, "validation/loss", "median", 1)
    Path(tmp_path / "sweep.db").write_text("this is no database, " * 100)
    with pytest.warns(UserWarning, match="the trial goes on unreported") as warned:
        assert [judge.stops(value, i, False) for i, value in enumerate([2.0, 1.0], 1)] == [False, False]
    assert len({str(each.message) for each in warned}) == 1


@pytest.mark.parametrize("option", ["--optimizer.lr=9", "--optimizer.lr"])
def test_a_setting_of_the_space_as_an_option_is_refused(told, option):
    text = START + "space: {optimizer.lr: [1e-3]}\n"
    message = "--optimizer.lr: the space of tune.yaml sets this; take it out of one of them"
    assert told(text, option, *([] if "=" in option else ["9"])) == message


@pytest.fixture
def own_workplace(workplace, tmp_path):
    for each in workplace.iterdir():
        if each.is_symlink():
            (tmp_path / each.name).symlink_to(each.resolve())
    return tmp_path


def begin(folder, *args):
    command = [sys.executable, "-m", "ftlab", "sweep", *args]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(found, process):
    while not found():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_grid_with_a_fault_is_killed_and_goes_on(own_workplace):
    """The first trial fails alone; the second is running when the sweep is killed, and runs again."""
    (own_workplace / "tune.yaml").write_text(
        START + "sampler: grid\nobjective: validation/loss\n"
        "space: {data.train: [missing.jsonl, experiments/lesson/train_1k.jsonl]}\n"
    )
    process = begin(own_workplace, "tune.yaml", *QUICK)
    folder = own_workplace / "runs/tune"
    wait_for(lambda: list(folder.glob("trial-0002/*/config.yaml")), process)
    process.kill()
    process.wait()
    again = ftlab(own_workplace, "sweep", "tune.yaml", *QUICK)
    assert again.returncode == 0, again.stderr[-3000:]
    lines = [line.split() for line in again.stdout.splitlines()]
    assert lines[1][:4] == ["1", "missing.jsonl", "-", "failed"]
    assert "missing.jsonl: no such data file" in again.stdout
    assert lines[2][:2] + lines[2][3:4] == ["2", "experiments/lesson/train_1k.jsonl", "done"]
    runs = sorted(folder.glob("trial-0002/2*"))
    assert len(runs) == 2
    summaries = [Run(run).summary for run in runs]
    assert summaries[0] == {}  # the child has ended with the sweep
    assert float(lines[2][2]) == pytest.approx(summaries[1]["best"]["validation_loss"], rel=1e-3)
    assert Run(runs[1]).config["name"] == "tune/trial-0002"
    assert yaml.safe_load((folder / "best.yaml").read_text()) == {
        "data": {"train": "experiments/lesson/train_1k.jsonl"}
    }
    assert (folder / "compare.html").is_file()
    assert not list(folder.glob(".holder-*"))


@pytest.mark.slow
def test_an_interruption_ends_with_its_code_and_says_how_to_go_on(own_workplace):
    (own_workplace / "tune.yaml").write_text(START + "sampler: grid\nspace: {method.r: [4]}\nobjective: train/loss\n")
    process = begin(own_workplace, "tune.yaml", *QUICK)
    wait_for(lambda: list(own_workplace.glob("runs/tune/trial-0001/output.txt")), process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "ftlab: interrupted; the same command goes on with the trials that are left" in said
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{own_workplace}/runs/tune/sweep.db")
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    assert "error" not in study.trials[0].user_attrs


@pytest.mark.slow
def test_the_learning_rate_finder_ends_what_diverges(own_workplace, monkeypatch):
    """One rate that learns, and one far too high; the better one is in a YAML that fit takes."""
    config = "--config=configs/quickstart.yaml"
    short = ["--trainer.limit_val_batches=2", "--wandb.mode=off", "--trainer.enable_progress_bar=false"]
    options = ["--find-lr", "--low=5e-3", "--high=100", "--trials=2", "--steps=8"]
    result = ftlab(own_workplace, "sweep", *options, config, *short)
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["trial", "optimizer.lr", "validation/loss", "state", "seconds"]
    assert [lines[1][1], lines[1][3]] == ["0.005", "done"]
    assert lines[2][1] == "100"
    assert lines[2][3] in ("pruned", "diverged")
    [good], [bad] = ([*own_workplace.glob(f"runs/quickstart-lr/trial-000{i}/2*")] for i in (1, 2))
    assert Run(good).summary["steps"] == 8
    assert Run(bad).summary["steps"] < 8
    assert Run(good).summary["exam"] is None
    monkeypatch.chdir(own_workplace)
    best = "runs/quickstart-lr/best.yaml"
    found = Resolved([config, f"--config={best}"])
    assert found.experiment.tuner.optimizer.lr == 0.005
    assert found.experiment.exam is not None
    assert yaml.safe_load(Path(best).read_text()) == {"optimizer": {"lr": 0.005}}


def test_the_finder_wants_a_run(capsys):
    assert main(["sweep", "--find-lr"]) == 2
    assert "--find-lr: of which run? ftlab sweep --find-lr --config X.yaml" in capsys.readouterr().err


def test_the_finder_is_a_grid_of_rates_around_the_configs_own_in_short_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = "--config=configs/quickstart.yaml"
    sweep, short = plan(make_parser().parse_args(["--find-lr"]), [config])
    rates = [point["optimizer.lr"] for point in sweep.points]
    assert rates == [0.00017, 0.00052, 0.0016, 0.005, 0.016, 0.048, 0.15]
    assert (sweep.name, sweep.objective, sweep.pruner) == ("quickstart-lr", "validation/loss", "diverging")
    found = Resolved([config, *short])
    assert (found.experiment.exam, found.experiment.early_stopping) == (None, None)
    assert (found.trainer_options["max_steps"], found.trainer_options["val_check_interval"]) == (60, 15)
    assert found.experiment.memorisation == 0
    _, short = plan(make_parser().parse_args(["--find-lr"]), [config, "--trainer.max_steps=8"])
    assert {"--trainer.max_steps=8", "--trainer.val_check_interval=2"} <= set(short)
    with pytest.raises(FtlabError, match="--low: 0 is not above 0"):
        plan(make_parser().parse_args(["--find-lr", "--low=0"]), [config])

"""Every command and every example of the README runs."""

import inspect
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ftlab.cli.main import main
from ftlab.data.formats import Format
from ftlab.exam.graders import Grader
from ftlab.plugins import registered
from ftlab.runs import Run
from tests.conftest import ROOT, SHORT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip() for language, block in BLOCKS if language == "bash" for line in block.splitlines()
]


def test_the_readme_has_the_commands_that_are_run_here():
    assert " ".join(language for language, _ in BLOCKS) == "bash yaml bash python bash yaml bash bash bash bash"
    assert len(COMMANDS) == 21


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_targets_exist(command):
    subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=True, capture_output=True)


FTLAB = [
    pytest.param(command, marks=[pytest.mark.slow] * any(name in command for name in ("folds", "sweep")))
    for command in COMMANDS
    if command.startswith("ftlab")
]


@pytest.mark.parametrize("command", FTLAB)
def test_commands_run(command, finished, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.setattr("builtins.input", lambda prompt: "/quit")
    args = [str(finished[0].folder) if arg == "RUN" else arg for arg in shlex.split(command)[1:]]
    args = [f"{arg}-of-the-readme" if arg == "merged" else arg for arg in args]
    if args[:2] == ["data", "prepare"]:
        shutil.rmtree("prepared", ignore_errors=True)
    if args[0] in ("fit", "folds"):
        args += [*SHORT, "--trainer.max_epochs=3", "--exam=null", "--wandb.mode=off"]
    if args[0] == "sweep":
        short = ["--trials=2", "--steps=4", "--trainer.limit_val_batches=2"] if "--find-lr" in args else ["--trials=1"]
        args += [*short, *(SHORT if "--find-lr" not in args else []), "--wandb.mode=off"]
    if args[:2] == ["methods", "check"]:
        args += ["--only", "[1,2,3]"]  # tests/conformance runs them all
    assert main(args) == 0


def test_the_yaml_fits_own_data(workplace, monkeypatch, tmp_path):
    run, exams = [block for language, block in BLOCKS if language == "yaml"]
    assert yaml.safe_load(run)["name"] == "mine"
    assert {"exam", "retention", "best", "early_stopping"} == yaml.safe_load(exams).keys()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(run)
    (tmp_path / "exams.yaml").write_text(exams)
    (tmp_path / "ftlab").symlink_to(ROOT / "ftlab")
    for name in ("train", "validation", "exam"):
        file, count = ("train_1k", 300) if name == "train" else (name, 20)
        rows = (ROOT / f"experiments/lesson/{file}.jsonl").read_text()
        (tmp_path / f"{name}.jsonl").write_text("".join(line + "\n" for line in rows.splitlines()[:count]))
    small = ["--model.base=ftlab/tiny", "--exam.max_new_tokens=8", "--trainer.max_epochs=1", "--wandb.mode=off"]
    assert main(["fit", "--config", "x.yaml", "--config", "exams.yaml", *small]) == 0
    [folder] = Path("runs/mine").iterdir()
    summary = Run(folder).summary
    assert summary["exam"].keys() >= {"shots", "verdict", "parts"}
    assert summary["retention"]["general"]["questions"] == 200


def test_the_python_example_runs(workplace, monkeypatch, capsys):
    [code] = [block for language, block in BLOCKS if language == "python"]
    assert len([line for line in code.splitlines() if line]) <= 10
    monkeypatch.chdir(workplace)
    code = code.replace("max_epochs=2", "max_epochs=1, limit_train_batches=4, enable_progress_bar=False")
    exec(compile(code.replace("max_new_tokens=48", "max_new_tokens=48, limit=8"), "README.md", "exec"), {})
    score, report = capsys.readouterr().out.strip().splitlines()[-1].split()
    assert 0 <= float(score) <= 100
    assert (workplace / report).is_file()


@pytest.mark.parametrize("kind", [Format, Grader])
def test_the_tables_of_formats_and_graders_are_their_docstrings(kind):
    for name, cls in registered(kind).items():
        told = f"| `{name}` | {' '.join(inspect.getdoc(cls).split(chr(10) * 2)[0].split())} |"
        assert (told in README) == cls.__module__.startswith("ftlab.")


def test_the_table_of_pefts_types_is_the_measured_one():
    from tests.methods.test_peft_type import RECORDS, table

    assert "\n".join(table.grouped(RECORDS)) in README

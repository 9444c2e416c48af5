"""Bad input: exit code 2, one line that says where, what and what instead, no traceback, and before a model loads."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftlab.cli.commands import COMMANDS
from ftlab.cli.main import main
from tests.conftest import ROOT

CONFIG = """\
name: x
model: {base: ftlab/tiny}
method:
  class_path: LoRA
  init_args:
    r: 8
data:
  train: train.jsonl
optimizer: {lr: 1.0e-3}
exam:
  questions: exam.jsonl
  grader: {class_path: Marker, init_args: {begin: "<"}}
wandb: {mode: "off"}
trainer: {max_epochs: 1}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, write_chats):
    monkeypatch.chdir(tmp_path)
    write_chats("train.jsonl", ("a", "b"))
    write_chats("exam.jsonl", ("c", "d"))
    return tmp_path


def fault(capsys, *args):
    assert main(args) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ftlab: error: ")
    assert captured.err.count("\n") == 1
    assert not Path("runs").exists()
    return captured.err.removeprefix("ftlab: error: ").strip()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("r: 8", "rank: 8", "x.yaml:6: method.rank: not a setting of LoRA; did you mean r? (r, alpha, dropout, "),
        ("r: 8", "r: eight", "x.yaml:6: method.r: 'eight' is not a whole number"),
        ("LoRA", "LORA", "x.yaml:3: method: no method is called LORA; did you mean LoRA? ("),
        ("LoRA", "Zebra", "x.yaml:3: method: no method is called Zebra; choose one of ("),
        ("r: 8", "target_modules: 3", "x.yaml:6: method.target_modules: '3' is not a list or a text"),
        ("lr: 1.0e-3", "rate: 1", "x.yaml:9: optimizer.rate: not a setting of optimizer; choose one of (name, lr, "),
        ("lr: 1.0e-3", "schedule: cos", "x.yaml:9: optimizer.schedule: 'cos' is not one of 'constant', 'linear', "),
        ("optimizer", "optimiser", "x.yaml:9: optimiser: not a section or setting; did you mean optimizer? ("),
        ("max_epochs", "max_epoch", "x.yaml:14: trainer.max_epoch: not a setting of trainer; did you mean max_epochs?"),
        (
            "begin",
            "begn",
            "x.yaml:12: exam.grader.begn: not a setting of Marker; did you mean begin? (begin, end, counts)",
        ),
        ("class_path: Marker", "class_path: Mark", "x.yaml:12: exam.grader: no grader is called Mark; did you mean M"),
        ("name: x", "name: x\nname: y", "x.yaml:2: name: already set in line 1; keep one"),
        ("r: 8", "r: 8\n    r: 9", "x.yaml:7: method.init_args.r: already set in line 6; keep one"),
        ("{lr: 1.0e-3}", "{lr: ", "x.yaml:10: not YAML"),
        ("train.jsonl", "none.jsonl", "none.jsonl: no such data file; paths are relative to "),
        ("  train: train.jsonl", "  batch_size: 4", "data.train: not set; name a file of chats to learn from"),
        ("exam.jsonl", "none.jsonl", "none.jsonl: no such data file"),
        ("optimizer: {lr: 1.0e-3}", "optimizer: 3", "x.yaml:9: optimizer: a section, not a value; write its settings"),
        ("model: {base: ftlab/tiny}", "model: ftlab/tiny", "x.yaml:2: model: a section, not a value"),
        ("lr: 1.0e-3", "lr: -1", "x.yaml:9: optimizer.lr: -1.0 is not above 0"),
        ("r: 8", "r: 0", "x.yaml:6: method.r: 0 is not 1 or more"),
        ("questions: exam.jsonl", "questions: exam.jsonl\n  limit: 0", "x.yaml:12: exam.limit: 0 is not 1 or more"),
        ("train: train.jsonl", "train: train.jsonl\n  batch_size: 0", "x.yaml:9: data.batch_size: 0 is not 1 or more"),
        ("name: x", "name: ../x", "x.yaml:1: name: '../x' is not a name for a folder"),
        ("max_epochs: 1", "devices: 3x", "trainer: "),
        ("max_epochs: 1", "strategy: none", "trainer: You selected an invalid strategy name"),
    ],
)
def test_a_fault_in_the_config(folder, capsys, old, new, expected):
    assert old in CONFIG
    (folder / "x.yaml").write_text(CONFIG.replace(old, new, 1))
    assert fault(capsys, "fit", "--config", "x.yaml").startswith(expected)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("[Full, {class_path: LoRA, init_args: {rank: 5}}]", "x.yaml:3: method.rank: not a setting of LoRA; did you m"),
        ("[Full, {class_path: LoRA, init_args: {r: six}}]", "x.yaml:3: method.r: 'six' is not a whole number"),
        ("[Full, {class_path: LoRA, init_args: {r: 0}}]", "x.yaml:3: method.r: 0 is not 1 or more"),
        ("[Full, LORA]", "x.yaml:3: method: no method is called LORA; did you mean LoRA? ("),
        ("[Full, 3]", "x.yaml:3: method: 3 is not a method; choose one of ("),
        ("[]", "x.yaml:3: method: [] names no method that trains; add one, such as LoRA, or"),
        ("\n- Full\n- {class_path: LORA}", "x.yaml:5: method: no method is called LORA; did you mean LoRA? ("),
        ("\n- {class_path: LoRA, init_args: {r: 8}}\n- class_path: LoRA\n  init_args:\n    r: 0", "x.yaml:7: method.r"),
        ("\n- Full\n- class_path: LoRA\n  init_args:\n    r: six\n", "x.yaml:7: method.r: 'six' is not a whole number"),
        ("\n- Full\n- class_path: LoRA\n  init_args:\n    rank: 5\n", "x.yaml:7: method.rank: not a setting of LoRA; "),
    ],
)
def test_a_fault_in_a_list_of_methods(folder, capsys, items, expected):
    (folder / "x.yaml").write_text(f"name: x\ndata: {{train: train.jsonl}}\nmethod: {items}\n")
    assert fault(capsys, "fit", "--config", "x.yaml").startswith(expected)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--method.rank", "16"], "--method.rank: not a setting of LoRA; did you mean r?"),
        (["--method.r", "x"], "--method.r: 'x' is not a whole number"),
        (["--optimizer.lr=fast"], "--optimizer.lr: 'fast' is not a number"),
        (["--exam.limit", "1.5"], "--exam.limit: '1.5' is not a whole number"),
        (["--trainer.max_epoch", "3"], "--trainer.max_epoch: not a setting of trainer; did you mean max_epochs?"),
        (["--nonsense", "3"], "--nonsense: not a section or setting; choose one of ("),
        (["--config", "none.yaml"], "none.yaml: no such config file"),
        (["--plugins", "none.py"], "none.py: no such plugin file"),
        (["--ckpt_path", "last"], "--ckpt_path: no run in runs/x has last/last.ckpt"),
        (["--ckpt_path", "http://example.org/x.ckpt"], "--ckpt_path: http://example.org/x.ckpt is no checkpoint"),
    ],
)
def test_a_fault_in_the_options(folder, capsys, args, expected):
    (folder / "x.yaml").write_text(CONFIG)
    assert fault(capsys, "fit", "--config", "x.yaml", *args).startswith(expected)


def test_commands_and_runs_that_do_not_exist(folder, capsys):
    assert fault(capsys, "fitt") == f"fitt: not a command; did you mean fit? ({', '.join(COMMANDS)})"
    assert fault(capsys, "methods", "LORA").startswith("LORA: not a method; did you mean LoRA?")
    assert fault(capsys, "test") == "test: of which run? ftlab test runs/<name>/<stamp>"
    assert fault(capsys, "merge", "nowhere").startswith("ftlab merge: the following arguments are required: --output")
    for command in (["test", "nowhere"], ["chat", "nowhere"], ["merge", "nowhere", "--output", "m"]):
        assert fault(capsys, *command).startswith("nowhere: not a run, it has no config.yaml")


def test_a_traceback_only_with_debug(folder):
    command = [sys.executable, "-m", "ftlab", "fit", "--config", "none.yaml"]
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, check=False)
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize("args", [[], ["--help"], ["--version"]])
def test_help_and_version_answer_without_torch(args):
    code = "import sys; from ftlab.cli.main import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    print(f"{time.perf_counter() - start:.2f} s")
    assert result.stdout.splitlines()[0].startswith("ftlab 0.")
    assert result.stdout.splitlines()[-1] == "False"


def test_methods_lists_name_origin_and_one_line(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["methods"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "built-in" in listed["LoRA"]
    assert "plugins/bitfit.py" in listed["BitFit"]
    assert main(["methods", "LoRA"]) == 0
    shown = capsys.readouterr().out
    assert "r: int = 8" in shown
    assert "Rank of each update." in shown
    assert "arXiv:2106.09685" in shown


LIST = "method: [Freeze, {class_path: LoRA, init_args: {r: 8}}]"


@pytest.mark.parametrize(
    ("config", "args"),
    [
        (LIST, ["--method.r", "3"]),
        (LIST, ["--method.r=3"]),
        (LIST, ["--method.rank", "3"]),
        (LIST, ["--method.class_path", "IA3"]),
        (LIST, ["--optimizer.lr", "1e-3", "--method.r", "3", "--name", "y"]),
        ("name: x", ["--method", "[Freeze, LoRA]", "--method.r", "3"]),
        ("name: x", ["--method.r", "3", "--method", "[Freeze, LoRA]"]),
    ],
)
def test_options_for_one_method_where_there_is_a_list(folder, capsys, config, args):
    (folder / "x.yaml").write_text(f"data: {{train: train.jsonl}}\n{config}\n")
    option = next(arg for arg in args if arg.startswith("--method.")).partition("=")[0]
    expected = f"{option}: method is a list here; give the whole list: --method '[...]'"
    assert fault(capsys, "fit", "--config", "x.yaml", *args) == expected


def test_options_for_the_one_method_that_replaces_a_list(folder, capsys):
    (folder / "x.yaml").write_text(f"data: {{train: none.jsonl}}\n{LIST}\n")
    args = ["--method", "LoRA", "--method.r", "3"]
    assert fault(capsys, "fit", "--config", "x.yaml", *args).startswith("none.jsonl: no such data file")
    assert fault(capsys, "fit", "--config", "x.yaml", *args[:3], "x").startswith("--method.r: 'x' is not a whole")

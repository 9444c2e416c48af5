"""Adapters stay with their base, told through the command line; several of them answer on one base, loaded once."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftlab import Base, Run
from ftlab.carried import carried
from ftlab.cli.main import main
from tests.conftest import QUICKSTART
from tests.training.test_share import hash_of

QUIET = ["--trainer.enable_progress_bar=false"]

#: A method that writes into the base's own weights while it is applied, as some of peft's initializations do.
INTRUDER = """\
from dataclasses import dataclass

import torch

from ftlab.methods.base import Method


@dataclass
class Intruder(Method):
    \"""Shrink every weight in place, and train the norms.\"""

    def apply(self, model):
        model.requires_grad_(False)
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.data *= 0.98
            elif type(module).__name__.endswith("RMSNorm"):
                module.requires_grad_(True)
        return model
"""


def change_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: tensor * 1.01 if "up_proj" in name else tensor for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def change_template(folder):
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text() + "{# changed #}")


def change_tokenizer(folder):
    tokenizer = Base(str(folder)).load_chat().tokenizer
    tokenizer.add_tokens(["ftlabish"])
    tokenizer.save_pretrained(str(folder))


CHANGES = {"weights": change_weights, "template": change_template, "tokenizer": change_tokenizer}


@pytest.fixture
def other(tmp_path):
    """Return a function that copies ftlab/tiny and changes one thing in it."""

    def make(what=None):
        folder = shutil.copytree(carried("ftlab/tiny"), tmp_path / (what or "moved"))
        CHANGES.get(what, lambda folder: None)(folder)
        return folder

    return make


@pytest.fixture
def questions(in_workplace):
    file = Path("few.jsonl")
    lines = Path("experiments/lesson/exam.jsonl").read_text().splitlines()[:6]
    file.write_text("".join(line + "\n" for line in lines))
    return file


def train(name, *args):
    """Train for a moment, and fast enough that the answers are not the base's."""
    few = [
        "--trainer.limit_train_batches=8",
        "--trainer.limit_val_batches=1",
        "--trainer.max_epochs=1",
        "--exam.every=0",
        "--exam.limit=4",
    ]
    assert main([*QUICKSTART, *few, "--wandb.mode=off", "--name", name, *args]) == 0
    return Run.newest(name, "summary.json")


@pytest.mark.parametrize("what", list(CHANGES))
def test_another_base_tokenizer_or_template_is_refused(finished, in_workplace, other, capsys, what):
    run = finished[0].folder
    folder = other(what)
    assert main(["test", str(run), "--model.base", str(folder), *QUIET]) == 4
    [line] = capsys.readouterr().err.strip().splitlines()[-1:]
    [trained] = {json.loads((run / "best/ftlab.json").read_text())[what]}
    start, found = line.split(f"this is {folder} ({what} ")
    assert start == f"ftlab: error: {run}/best: trained on base ftlab/tiny ({what} {trained}), "
    found, rest = found.split(")", 1)
    assert rest == "; use the base of the run"
    assert len(found) == len(trained) == 16
    assert found != trained


def test_the_same_base_in_another_place_is_not_refused(finished, in_workplace, other):
    run = finished[0].folder
    assert main(["validate", str(run), "--model.base", str(other()), *QUIET]) == 0


def test_a_base_that_changes_after_a_run_is_refused_by_every_command(questions, other, tmp_path, capsys, monkeypatch):
    folder = other()
    monkeypatch.setattr("builtins.input", lambda prompt: "/quit")
    run = train("changed", "--model.base", str(folder), "--exam=null")
    again = [*QUICKSTART, "--name=changed", "--wandb.mode=off", "--exam=null", "--model.base", str(folder)]
    commands = [
        ["chat", str(run.folder)],
        ["merge", str(run.folder), "--output", str(tmp_path / "merged")],
        ["validate", str(run.folder), *QUIET],
        ["predict", str(run.folder), "--prompts", str(questions), "--output", str(tmp_path / "a.jsonl")],
        ["predict", "--adapters", str(run.folder), "--prompts", str(questions), "--output", str(tmp_path / "a.jsonl")],
        [*again, "--ckpt_path", str(run.folder)],
    ]
    assert main(commands[0]) == 0
    change_weights(folder)
    for command in commands:
        capsys.readouterr()
        assert main(command) == 4, command
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ftlab: error: ")]
        assert len(errors) == 1
        assert errors[0].count(f"{folder} (weights ") == 2
    assert not (tmp_path / "merged").exists()
    assert not (tmp_path / "a.jsonl").exists()


def test_weights_that_do_not_say_their_base_are_a_fault(finished, in_workplace, tmp_path, capsys):
    copied = shutil.copytree(finished[0].folder, tmp_path / "runs/old/x")
    (copied / "best/ftlab.json").unlink()
    assert main(["validate", str(copied), *QUIET]) == 2
    assert f"{copied}/best: has no ftlab.json" in capsys.readouterr().err
    state = torch.load(copied / "last/last.ckpt", weights_only=True)
    assert state.pop("ftlab_identity")["base"] == "ftlab/tiny"
    torch.save(state, copied / "last/last.ckpt")
    assert main([*QUICKSTART, "--name=old", "--wandb.mode=off", "--exam=null", "--ckpt_path", str(copied)]) == 2
    assert "--ckpt_path: does not say what base it belongs to" in capsys.readouterr().err


@pytest.mark.slow
def test_several_adapters_answer_on_one_base(finished, questions, tmp_path, monkeypatch, capsys):
    """LoRA between methods that write into the base: each answers as it does alone, and the base is as new."""
    (tmp_path / "intruder.py").write_text(INTRUDER)
    full = train("full", "--method=Full", "--optimizer.lr=1e-3")
    intruder = train("intruder", "--method=Intruder", f"--plugins={tmp_path / 'intruder.py'}")
    pissa = train("pissa", "--method.init=pissa", "--optimizer.lr=1e-3")
    runs = [str(run.folder) for run in (intruder, pissa, finished[0], full)]
    alone = {}
    for run in runs:
        assert main(["predict", run, "--prompts", str(questions), "--output", str(tmp_path / "one.jsonl")]) == 0
        alone[run] = [json.loads(line)["answer"] for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert len({tuple(answers) for answers in alone.values()}) == 4

    loaded = []
    load_model = Base.load_model
    monkeypatch.setattr(Base, "load_model", lambda *args, **kw: loaded.append(load_model(*args, **kw)) or loaded[-1])
    capsys.readouterr()
    output = tmp_path / "each.jsonl"
    assert main(["predict", "--adapters", *runs, "--prompts", str(questions), "--output", str(output)]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [list(row["answers"]) for row in rows] == [runs] * 6
    for run in runs:
        assert [row["answers"][run] for row in rows] == alone[run]
    assert [row["messages"] for row in rows] == [json.loads(q)["messages"] for q in questions.read_text().splitlines()]
    assert [row["id"] for row in rows] == [json.loads(q)["id"] for q in questions.read_text().splitlines()]
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("adapter ")]
    assert [line.split()[1] for line in told] == runs
    [base] = loaded
    assert hash_of(base) == hash_of(load_model(Base()))


def test_adapters_of_different_bases_are_refused(finished, questions, other, capsys):
    run = finished[0].folder
    folder = other("weights")
    stranger = train("stranger", "--model.base", str(folder), "--exam=null")
    capsys.readouterr()
    assert main(["predict", "--adapters", str(run), str(stranger.folder), "--prompts", str(questions)]) == 4
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"ftlab: error: {run}: trained on base ftlab/tiny (weights ")
    assert f"), {stranger.folder} on {folder} (weights " in error
    assert "\n" not in error


@pytest.mark.slow
def test_adapters_need_one_way_to_load_the_base(finished, questions, capsys):
    run = finished[0].folder
    halved = train("halved", "--model.dtype=bfloat16", "--exam=null")
    capsys.readouterr()
    assert main(["predict", "--adapters", str(run), str(halved.folder), "--prompts", str(questions)]) == 2
    assert "load their base differently (LoRA on float32 and LoRA on bfloat16)" in capsys.readouterr().err


def test_one_run_or_several_but_not_both(finished, questions, capsys):
    run = str(finished[0].folder)
    assert main(["predict", run, "--adapters", run, "--prompts", str(questions)]) == 2
    assert "give one run, or several after --adapters" in capsys.readouterr().err
    assert main(["predict", "--adapters", run, "--prompts", str(questions)]) == 0
    [row, *_] = (finished[0].folder / "answers/few-each.jsonl").read_text().splitlines()
    assert list(json.loads(row)["answers"]) == [run]

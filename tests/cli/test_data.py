"""`ftlab data`: show, check and prepare on small files, from the command line as a user types it."""

import contextlib
import json
import os
import pty
import random
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ftlab.cli.main import main
from ftlab.data.module import ChatData
from ftlab.data.sources import read_rows
from tests.conftest import ROOT

CONFIG = """\
name: x
model: {base: ftlab/tiny}
method: {class_path: LoRA, init_args: {r: 4}}
data: {train: train.jsonl, validation: validation.jsonl, max_length: 128}
exam: {questions: exam.jsonl, grader: {class_path: Marker, init_args: {begin: "{{ans:", end: "}}"}}}
trainer: {max_epochs: 1}
"""


def write_rows(path, count, seed):
    """Write questions of made-up words, no two of which are alike."""
    draw = random.Random(seed)
    for i in range(count):
        words = ["".join(draw.choices("aeiou", k=1) + draw.choices("bdfgklmnprstvz", k=2)) * 2 for _ in range(9)]
        number = draw.randint(10, 99)
        add_row(path, f"{' '.join(words)}?", f"{number} + 1 = {number + 1}\n{{{{ans:{number + 1}}}}}", id=f"{seed}-{i}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run's config and data without a leak."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "x.yaml").write_text(CONFIG)
    for seed, (name, count) in enumerate({"train": 60, "validation": 20, "exam": 20}.items()):
        write_rows(f"{name}.jsonl", count, seed)
    return tmp_path


def run(capsys, *args, code=0):
    capsys.readouterr()
    assert main(["data", *args]) == code
    captured = capsys.readouterr()
    if code:
        assert captured.err.startswith("ftlab: error: ")
        assert captured.err.count("\n") == 1
    return captured.out if not code else captured.err.removeprefix("ftlab: error: ").strip()


def add_row(path, user, answer, **more):
    row = {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": answer}], **more}
    with Path(path).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def copy_row(path, at):
    """Let a row that is held out be learnt."""
    with Path("train.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(Path(path).read_text(encoding="utf-8").splitlines()[at] + "\n")


def test_check_reads_the_source_of_a_regularizer(folder, capsys):
    ewc = ["check", "x.yaml", "--regularizer", "EWC", "--regularizer.source"]
    assert run(capsys, *ewc, "none.jsonl", code=2).startswith("none.jsonl: no such data file")
    write_rows("old.jsonl", 3, seed=9)
    run(capsys, *ewc, "old.jsonl")


def test_help_names_the_actions(capsys):
    shown = run(capsys, "--help")
    assert [line.split()[0] for line in shown.splitlines() if re.match(r"  \w", line)] == ["show", "check", "prepare"]


@pytest.mark.parametrize(
    ("action", "own"), [("show", ["row", "split", "tokens", "html"]), ("check", ["html"]), ("prepare", ["output"])]
)
def test_own_options_stand_first_in_the_help(capsys, monkeypatch, action, own):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as ended:
        main(["data", action, "--help"])
    assert ended.value.code == 0
    usage, *rest = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: ftlab data {action} CONFIG ")
    assert len(usage.splitlines()) <= 2
    first, second = [part for part in rest if re.match(r"[^\n]+:\n  -", part)][:2]
    assert re.findall(r"^  (?:-\w(?: \w+)?, )?--(\w+)", first, flags=re.MULTILINE) == [
        "help",
        "config",
        "print_config",
        *own,
    ]
    assert second.startswith("Settings of a run, as for fit")
    assert "\n  --name" in second


def test_show_prints_the_first_rows(folder, capsys):
    shown = run(capsys, "show", "x.yaml")
    headings = re.findall(r"^── (row \d+)   (\S+)   \d+ tokens, \d+ learnt$", shown, flags=re.MULTILINE)
    assert headings == [(f"row {n}", f"train.jsonl:{n}") for n in (1, 2, 3)]
    answer = read_rows("train.jsonl")[0].reference.replace("\n", "↵\n")
    assert f"‹<|im_start|>›assistant↵\n⟦{answer}‹<|im_end|>›⟧↵\n" in shown


def test_show_prints_one_row(folder, capsys):
    shown = run(capsys, "show", "x.yaml", "--row", "20", "--split", "validation", "--tokens")
    assert re.findall(r"── row (\d+)   (\S+)", shown) == [("20", "validation.jsonl:20")]
    assert shown.count("│") > 20
    assert re.search(r"^ +0 +1 +0  ‹<\|im_start\|>›$", shown, flags=re.MULTILINE)
    assert re.findall(r"── row (\d+)", run(capsys, "show", "--config", "x.yaml", "--row", "4", "2")) == ["4", "2"]


def test_show_takes_any_option_of_a_run(folder, capsys):
    add_row("other.jsonl", "word " * 100, "b")
    shown = run(capsys, "show", "x.yaml", "--data.train", "other.jsonl", "--data.max_length=64", "--optimizer.lr=1")
    assert "other.jsonl:1" in shown
    assert "not learnt from: " in shown
    assert "data.max_length is 64" in shown
    assert "not learnt from" not in run(capsys, "show", "--data.train", "other.jsonl")
    last = run(capsys, "show", "x.yaml", "--data.learn", "all", "--row", "1")
    assert "⟦‹<|im_start|>›user↵" in last


def test_show_looks_past_a_leak(folder, capsys):
    copy_row("exam.jsonl", 0)
    assert "train.jsonl:61" in run(capsys, "show", "x.yaml", "--row", "61")


def test_show_writes_a_page(folder, capsys):
    assert run(capsys, "show", "x.yaml", "--html", "rows.html") == "page       rows.html\n"
    page = Path("rows.html").read_text(encoding="utf-8")
    assert page.count("<article") == 60
    assert "train.jsonl:60" in page


@pytest.mark.parametrize(("variable", "value"), [("TERM", "xterm"), ("TERM", "dumb"), ("NO_COLOR", "1")])
def test_show_colours_a_terminal_that_wants_it(folder, monkeypatch, variable, value):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        assert main(["data", "show", "x.yaml", "--row", "1"]) == 0
    shown = ""
    with contextlib.suppress(OSError), os.fdopen(master, encoding="utf-8") as terminal:  # it ends in an error
        for line in terminal:
            shown += line
    coloured = value == "xterm"
    assert ("\x1b[1;32m" in shown) is coloured
    assert ("⟦" in shown) is not coloured


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["shwo"], "data shwo: not an action; did you mean show? (show, check, prepare)"),
        (["show", "none.yaml"], "none.yaml: no such config file; paths are relative to "),
        (["show", "train.jsonl"], "train.jsonl: data, not a config; write ftlab data show --data.train train.jsonl"),
        (["show", "."], ".: not a run, it has no config.yaml; name a config or a folder runs/<name>/<stamp>"),
        (["show", "x.yaml", "--rwo", "3"], "--rwo: not a section or setting; did you mean row? ("),
        (["show", "x.yaml", "--row", "61"], "--row: there is no row 61; the train data have the rows 1 to 60"),
        (["show", "x.yaml", "--row", "0"], "--row: there is no row 0; the train data have the rows 1 to 60"),
        (["show", "x.yaml", "--row", "x"], "--row: 'x' is not a whole number"),
        (["show", "x.yaml", "--split", "test"], "--split: there are no test data; choose one of (train, validation)"),
        (["show", "x.yaml", "--split", "tset"], "--split: 'tset' is not one of 'train', 'validation', 'test'"),
        (["check", "x.yaml", "--data.trian", "y"], "--data.trian: not a setting of data; did you mean train? ("),
        (["check", "x.yaml", "--data.max_length", "0"], "--data.max_length: 0 is not 1 or more"),
        (["check", "x.yaml", "--data.train", "none.jsonl"], "none.jsonl: no such data file; paths are relative to "),
        (
            ["check", "x.yaml", "--trainer.max_epoch", "1"],
            "--trainer.max_epoch: not a setting of trainer; did you mean",
        ),
        (["check"], "data.train: not set; "),
        (["prepare", "x.yaml"], "output: not set; "),
        (["prepare", "x.yaml", "--output", "x.yaml"], "--output: x.yaml is there already; name a new folder"),
        (["prepare", "x.yaml", "--output", "."], "--output: . is there already; name a new folder"),
    ],
)
def test_faults_are_one_line(folder, capsys, args, expected):
    before = sorted(folder.iterdir())
    assert run(capsys, *args, code=2).startswith(expected)
    assert sorted(folder.iterdir()) == before


def test_a_broken_row_is_named(folder, capsys):
    with Path("train.jsonl").open("a") as lines:
        lines.write('{"messages": 3}\n')
    for action in (["show"], ["check"], ["prepare", "--output", "out"]):
        assert run(capsys, action[0], "x.yaml", *action[1:], code=2).startswith("train.jsonl:61: ")


def test_check_reports_on_one_screen(folder, capsys, chat):
    for user in ("What is 2 + 2?", "What is 2 + 2?"):
        add_row("train.jsonl", user, "4")
    shown = run(capsys, "check", "x.yaml").splitlines()
    assert len(shown) <= 40
    train = next(line for line in shown if line.startswith("train ")).split()
    data = ChatData("train.jsonl")
    data.load(chat, "fit")
    lengths = data.examples["train"].lengths
    assert [train[i] for i in (1, 2, 3, 6)] == ["62", "2", f"{lengths.sum():,}", str(lengths.max())]
    assert any(line.startswith("exam ") and line.split()[1] == "20" for line in shown)
    assert any(re.search("[▁▂▃▄▅▆▇█]", line) for line in shown)
    assert any("rows twice: 1 (1.61 %), first train.jsonl:61 = :62" in line for line in shown)
    assert any(line.startswith("leaks      none between train, validation and exam") for line in shown)
    assert any(line.startswith("warning    62 rows, fewer than 100: ") for line in shown)


@pytest.mark.parametrize(("held_out", "name"), [("validation.jsonl", "validation"), ("exam.jsonl", "exam")])
def test_check_ends_with_2_where_a_leak_would_stop_a_run(folder, capsys, held_out, name):
    copy_row(held_out, 6)
    capsys.readouterr()
    assert main(["data", "check", "x.yaml", "--html", "page.html"]) == 2
    captured = capsys.readouterr()
    assert f"train.jsonl:61 and {held_out}:7 ({name}): exact" in captured.out
    assert captured.err.count("\n") == 1
    assert "train.jsonl:61" in captured.err
    assert f"{held_out}:7" in captured.err
    assert "A run would stop." in Path("page.html").read_text(encoding="utf-8")
    assert "a run stops here" not in run(capsys, "check", "x.yaml", "--data.on_leak", "warn")
    assert " 60 " in next(
        line for line in run(capsys, "check", "x.yaml", "--data.on_leak", "drop").splitlines() if line[:6] == "train "
    )


def test_check_says_what_was_done_about_leaks(folder, capsys):
    copy_row("exam.jsonl", 0)
    shown = run(capsys, "check", "x.yaml", "--data.on_leak", "drop", "--html", "page.html")
    assert "LEAKS      1: 1 training row left out (data.on_leak: drop)" in shown
    assert "left out   1: 1 for a leak\n           train.jsonl:61: asks what exam.jsonl:1 (exam) asks" in shown
    page = Path("page.html").read_text(encoding="utf-8")
    assert "1 training row left out (data.on_leak: drop)." in page
    assert "A run would stop" not in page


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--data.train", "[{path: train.jsonl, weight: 1, weight_end: 2}]", "--trainer.max_epochs", "1"],
            "--data.train: weight_end: weights move over the epochs; set trainer.max_epochs to 2 or more",
        ),
        (["--data.train", "[{path: train.jsonl, weight: -1}]"], "--data.train: train has a weight below 0"),
        (["--data.unfit", "error", "--data.max_length", "20"], "train.jsonl:1: "),
        (["--data.max_length", "2"], "train.jsonl:1: no chat is left to learn from"),
    ],
)
def test_check_ends_with_2_where_fit_would_stop(folder, capsys, options, expected):
    assert run(capsys, "check", "x.yaml", *options, code=2).startswith(expected)


def test_check_takes_weights_that_move(folder, capsys):
    moving = "[{path: train.jsonl, weight: 1, weight_end: 2}]"
    run(capsys, "check", "x.yaml", "--data.train", moving, "--trainer.max_epochs", "2")


def test_check_says_no_turns_of_documents(folder, capsys):
    Path("text.txt").write_text("Once upon a time\n\nthere was a text\n")
    shown = run(capsys, "check", "--data.train", "text.txt")
    assert next(line for line in shown.splitlines() if line.startswith("train ")).split()[1:3] == ["2", "-"]


def test_check_loads_a_tokenizer_and_no_weights(folder, capsys):
    model = folder / "model"
    model.mkdir()
    for file in (ROOT / "ftlab/tiny").iterdir():
        if file.suffix != ".safetensors":
            (model / file.name).write_bytes(file.read_bytes())
    shown = run(capsys, "check", "x.yaml", "--model.base", str(model))
    assert "leaks      none" in shown


def test_a_run_is_a_config_too(finished, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    shown = run(capsys, "show", str(finished[0].folder), "--row", "1")
    assert "experiments/lesson/train_1k.jsonl:1 " in shown


def test_plugins_of_the_config_are_loaded(folder, capsys):
    Path("own_pairs.py").write_text(
        "from dataclasses import dataclass\nfrom ftlab import Format\n\n\n@dataclass\nclass OwnPairs(Format):\n"
        '    def messages(self, record):\n        q, a = record.pop("pair")\n'
        '        return [{"role": "user", "content": q}, {"role": "assistant", "content": a}]\n'
    )
    Path("pairs.jsonl").write_text('{"pair": ["left", "right"]}\n')
    settings = yaml.safe_load(CONFIG) | {
        "plugins": ["own_pairs.py"],
        "data": {"train": "pairs.jsonl", "format": "OwnPairs"},
    }
    del settings["exam"]
    Path("own.yaml").write_text(yaml.safe_dump(settings))
    assert "⟦right‹<|im_end|>›⟧" in run(capsys, "show", "own.yaml")


def same(given, back):
    assert len(back) == len(given) > 0
    for one, other in zip(given, back, strict=True):
        for key in ("messages", "extra", "tools", "rejected"):
            assert getattr(one, key) == getattr(other, key)
    assert back.fingerprint == given.fingerprint


def test_prepare_writes_what_fit_reads(folder, capsys, chat):
    add_row("train.jsonl", "hi", "ho", kind=None, deep={"a": [1, 2.5, "ü", None]}, file="f", line="l", rejected=3)
    assert "train 61, validation 20" in run(capsys, "prepare", "x.yaml", "--output", "out/data")
    written = sorted(file.name for file in Path("out/data").iterdir())
    assert written == ["README.md", "card.json", "train.parquet", "validation.parquet"]
    assert list(Path("out").iterdir()) == [Path("out/data")], "what was staged is left"
    for split in ("train", "validation"):
        back = read_rows(f"out/data/{split}.parquet")
        same(read_rows(f"{split}.jsonl"), back)
        assert back.place(4) == f"out/data/{split}.parquet:5"
    before, after = ChatData("train.jsonl", "validation.jsonl"), ChatData("out/data")
    for data in (before, after):
        data.load(chat, "fit")
    for split in ("train", "validation"):
        assert before.examples[split].fingerprint == after.examples[split].fingerprint


def test_tools_and_weights_come_back(folder, capsys):
    function = {"name": "f", "arguments": '{"a": 1, "b": null, "ü": ["x"]}'}
    turns = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]},
        {"role": "tool", "content": "3", "tool_call_id": "1", "name": "f"},
        {"role": "assistant", "content": "three", "weight": 0.5, "reasoning_content": "hm"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "3", "train": False},
    ]
    tools = [{"name": "f", "parameters": {"type": "object"}}]
    Path("tools.jsonl").write_text(json.dumps({"messages": turns, "tools": tools}) + "\n")
    run(capsys, "prepare", "--data.train", "tools.jsonl", "--output", "out")
    same(read_rows("tools.jsonl"), read_rows("out"))


def test_documents_come_back(folder, capsys):
    Path("text.txt").write_text("Once upon a time\n\nthere was a text\n")
    run(capsys, "prepare", "--data.train", "text.txt", "--output", "out")
    same(read_rows("text.txt"), read_rows("out"))


def test_preference_pairs_come_back(folder, capsys):
    Path("pairs.jsonl").write_text('{"prompt": "p", "chosen": "good", "rejected": "bad", "extra": 3}\n')
    run(capsys, "prepare", "--data.train", "pairs.jsonl", "--output", "out")
    [given], [back] = read_rows("pairs.jsonl"), read_rows("out")
    assert (given.rejected, given.extra) == (back.rejected, back.extra)
    assert back.rejected == [{"role": "assistant", "content": "bad"}]


def test_the_card_says_what_was_done(folder, capsys):
    add_row("train.jsonl", " spaces ", " around \n")
    options = ["--data.split.validation", "0.2", "--data.clean", '[{"class_path": "Whitespace"}]']
    run(capsys, "prepare", "--data.train", "train.jsonl", *options, "--output", "out")
    card = json.loads(Path("out/card.json").read_text())
    counts = {split: about["rows"] for split, about in card["splits"].items()}
    assert sum(counts.values()) == 61
    assert counts["validation"] == pytest.approx(12, abs=1)
    for split, about in card["splits"].items():
        assert about["rows"] == len(read_rows(f"out/{split}.parquet"))
        assert about["fingerprint"] == read_rows(f"out/{split}.parquet").fingerprint
    [step] = card["cleaning"]["train"]
    assert (step["step"], step["rows"], step["changed"]) == ("Whitespace", 61, 1)
    assert card["settings"]["split"]["init_args"]["validation"] == 0.2
    digest = subprocess.run(["sha256sum", "train.jsonl"], capture_output=True, text=True, check=True).stdout.split()[0]
    assert card["files"] == {"train.jsonl": digest}
    readme = Path("out/README.md").read_text()
    assert digest in readme
    assert "Whitespace" in readme


def test_a_leak_writes_nothing(folder, capsys):
    copy_row("exam.jsonl", 0)
    assert "exam.jsonl:1" in run(capsys, "prepare", "x.yaml", "--output", "out", code=2)
    assert not Path("out").exists()
    run(capsys, "prepare", "x.yaml", "--output", "out", "--data.on_leak", "drop")
    assert len(read_rows("out")) == 60


def test_a_full_disk_leaves_nothing(folder, capsys):
    run(capsys, "check", "x.yaml")  # the caches are written
    before = sorted(folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        code = main(["data", "prepare", "x.yaml", "--output", "out"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1
    assert sorted(folder.iterdir()) == before

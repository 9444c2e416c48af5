"""Plugins: three ways in, what happens to those that fail, and what a run keeps of those it used."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftlab.cli.main import main
from tests.conftest import ROOT, SHORT, ftlab

METHOD = '''\
from dataclasses import dataclass

from ftlab import Method


@dataclass
class {name}(Method):
    """Train the norms."""

    def apply(self, model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("norm" in name)
        return model
'''
STEP = ["--trainer.max_steps=1", "--wandb.mode=off", "--trainer.enable_progress_bar=false"]
CONFIG = f"""\
data: {{train: {ROOT}/experiments/lesson/train_100.jsonl, validation: {ROOT}/experiments/lesson/validation.jsonl}}
trainer: {{max_steps: 1, limit_val_batches: 1, enable_progress_bar: false}}
wandb: {{mode: "off"}}
"""
README = (ROOT / "plugins/README.md").read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def without_environment(**more):
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | more


def listed(folder, *args, **environment):
    """Return what `ftlab methods` lists, by name, and what it says beside it."""
    result = ftlab(folder, "methods", *args, env=without_environment(**environment))
    assert result.returncode == 0, result.stderr
    return {line.split()[0]: line for line in result.stdout.splitlines()}, result.stderr


def fault(folder, *args):
    result = ftlab(folder, *args)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    return result.stderr.removeprefix("ftlab: error: ").strip()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder into which pip has installed the example package, built without a network."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "plugins/example_package", folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", folder / "site", folder / "source"], check=True)
    return folder / "site"


def test_a_file_is_loaded_from_the_folder_or_by_its_path(tmp_path):
    write(tmp_path / "plugins/first.py", METHOD.format(name="First"))
    write(tmp_path / "elsewhere/second.py", METHOD.format(name="Second"))
    write(tmp_path / "plugins/test_first.py", "raise SystemExit\n")
    methods, said = listed(tmp_path, "--plugins", "elsewhere/second.py")
    assert "plugins/first.py" in methods["First"]
    assert "elsewhere/second.py" in methods["Second"]
    assert said == ""


def test_a_module_is_loaded_by_its_name(tmp_path):
    write(tmp_path / "my_package/__init__.py", "")
    write(tmp_path / "my_package/norms.py", METHOD.format(name="Norms"))
    assert "my_package/norms.py" in listed(tmp_path, "--plugins", "my_package.norms")[0]["Norms"]
    (tmp_path / "elsewhere").mkdir()
    assert "Norms" in listed(tmp_path / "elsewhere", "--plugins", "my_package.norms", PYTHONPATH=str(tmp_path))[0]


def test_an_installed_package_is_loaded_by_its_entry_point(site, tmp_path):
    methods, _ = listed(tmp_path, PYTHONPATH=str(site))
    assert "ftlab-example 0.1.0" in methods["OutputScale"]
    assert "OutputScale" not in listed(tmp_path)[0]


@pytest.mark.slow
def test_the_packages_own_tests_pass(site):
    """Without the conformance kit, which takes a minute and has tests of its own: `make test-all` runs it."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        site.parent / "source/tests",
        "-k",
        "grader or format",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(command, env=without_environment(PYTHONPATH=str(site)), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 passed" in result.stdout


@pytest.mark.slow
def test_the_packages_method_keeps_the_contract(site):
    command = [sys.executable, "-m", "pytest", "-q", site.parent / "source/tests", "-p", "no:cacheprovider"]
    subprocess.run(command, env=without_environment(PYTHONPATH=str(site)), check=True)


@pytest.mark.parametrize("name", ["BitFit", "LoHa"])
def test_the_examples_count_by_their_formula_and_merge(name, small_model, monkeypatch):
    import torch

    from ftlab import Method
    from ftlab.plugins import load_plugins, registered

    load_plugins(folder=ROOT / "plugins")
    method = registered(Method)[name]()
    for architecture in ("llama", "qwen2"):
        expected = method.count(small_model(architecture))
        model = method.apply(small_model(architecture)).eval()
        free = [p for p in model.parameters() if p.requires_grad]
        assert sum(p.numel() for p in free) == expected
        with torch.no_grad():
            for parameter in free:
                parameter.add_(torch.randn_like(parameter) / 50)
            ids = torch.arange(8)[None]
            before = model(input_ids=ids).logits
            after = method.merge(model)(input_ids=ids).logits
        assert (before - after).abs().max() < 1e-5


def test_bitfit_without_norms_needs_biases(small_model):
    from ftlab import Method
    from ftlab.plugins import load_plugins, registered

    load_plugins(folder=ROOT / "plugins")
    method = registered(Method)["BitFit"](norms=False)
    names = [name for name, p in method.apply(small_model("qwen2")).named_parameters() if p.requires_grad]
    assert names
    assert all(name.endswith("bias") for name in names)
    with pytest.raises(ValueError, match="no biases"):
        method.apply(small_model("llama"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\n\nos.nothing\n", "mine.py:3: AttributeError: module 'os' has no attribute 'nothing'; fix"),
        ("import nothing_of_this_name\n", "mine.py:1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("\ndef broken(:\n", "mine.py:2: SyntaxError: "),
        ("import sys\nsys.exit(0)\n", "mine.py:2: SystemExit: it ends the program; fix the plugin or leave it out"),
        ("class Mine(BaseException): pass\nraise Mine\n", "mine.py:2: Mine: no message"),
        ("def f():\n    raise KeyError('x')\nf()\n", "mine.py:2: KeyError: 'x'; fix the plugin or leave it out"),
    ],
)
def test_a_named_plugin_that_fails_is_an_error_with_its_line(tmp_path, monkeypatch, capsys, text, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("mine.py", "mine"):
        write(tmp_path / "mine.py", text)
        assert main(["methods", "--plugins", name]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"ftlab: error: {expected}")
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.py", "none.py: no such plugin file; check --plugins"),
        ("some/none", "some/none: no such plugin file"),
        ("none.methods", "none.methods: neither a plugin file nor a module that can be imported; check --plugins"),
        ("my-method.py", "my-method.py: its name cannot stand in a class path"),
    ],
)
def test_a_plugin_that_cannot_be_named_so(tmp_path, monkeypatch, capsys, name, expected):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my-method.py", "")
    assert main(["methods", "--plugins", name]) == 2
    assert capsys.readouterr().err.startswith(f"ftlab: error: {expected}")


@pytest.mark.slow
def test_a_plugin_that_fails_is_a_warning_if_unused_and_an_error_if_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "plugins/mine.py", METHOD.format(name="Mine") + "\nimport nothing_of_this_name\n")
    write(tmp_path / "x.yaml", "data: {train: none.jsonl}\n")
    reason = "plugins/mine.py:15: ModuleNotFoundError: No module named 'nothing_of_this_name'; fix the plugin or leave"
    assert main(["methods"]) == 0
    said = capsys.readouterr()
    assert "Mine" not in said.out
    assert said.err.startswith(f"ftlab: warning: plugin skipped: {reason}")
    assert main(["fit", "--config", "x.yaml"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"ftlab: warning: plugin skipped: {reason}")
    assert "none.jsonl: no such data file" in said[-1]
    for method in ("Mine", "plugins.mine.Mine", "[Full, Mine]"):
        assert main(["fit", "--config", "x.yaml", "--method", method]) == 2
        [said] = capsys.readouterr().err.splitlines()
        assert said.startswith(f"ftlab: error: {reason}")
    assert main(["methods", "Mine"]) == 2
    assert capsys.readouterr().err.startswith(f"ftlab: error: {reason}")


@pytest.mark.slow
def test_an_entry_point_that_fails_is_a_warning_if_unused_and_an_error_if_used(tmp_path, monkeypatch, capsys):
    """The metadata is what pip would write."""
    site, folder = tmp_path / "site", tmp_path / "work"
    write(folder / "x.yaml", "method: Mine\ndata: {train: none.jsonl}\n")
    write(site / "mine/__init__.py", "from mine.method import Mine\n")
    write(site / "mine/method.py", METHOD.format(name="Mine") + "\nraise SystemExit\n")
    write(site / "mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    write(site / "mine-1.0.dist-info/entry_points.txt", "[ftlab.plugins]\nmine = mine\n")
    reason = f"{site}/mine/method.py:15: SystemExit: it ends the program"
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(site)
    assert main(["methods"]) == 0
    assert capsys.readouterr().err.startswith(f"ftlab: warning: plugin skipped: {reason}")
    assert main(["fit", "--config", "x.yaml"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"ftlab: error: {reason}")


def test_two_classes_of_one_name_are_an_error_that_names_both_places(tmp_path):
    write(tmp_path / "plugins/one.py", METHOD.format(name="Twin"))
    write(tmp_path / "plugins/two.py", METHOD.format(name="Twin"))
    write(tmp_path / "lora.py", METHOD.format(name="LoRA"))
    expected = "plugins/two.py: a Method called Twin is already defined in plugins/one.py; rename one of the two"
    assert fault(tmp_path, "methods") == expected
    shutil.rmtree(tmp_path / "plugins")
    assert fault(tmp_path, "methods", "--plugins", "lora.py").startswith("lora.py: a Method called LoRA is already")


def test_settings_are_checked_where_the_type_is_known_to_the_base_class_alone(tmp_path):
    """The parser would look for `Literal` in the second module."""
    text = METHOD.format(name="First").replace('norms."""\n', 'norms."""\n\n    kind: Literal["a", "b"] = "a"\n')
    write(tmp_path / "first.py", "from __future__ import annotations\nfrom typing import Literal\n" + text)
    second = (
        "from dataclasses import dataclass\nfrom first import First\n@dataclass\nclass Second(First):\n    r: int = 3\n"
    )
    write(tmp_path / "second.py", second)
    write(tmp_path / "x.yaml", "method: {class_path: Second, init_args: {kind: c}}\ndata: {train: none.jsonl}\n")
    args = ["fit", "--config", "x.yaml", "--plugins", "first", "second"]
    assert fault(tmp_path, *args).startswith("x.yaml:1: method.kind: 'c' is not one of 'a', 'b'")


def python(folder, code, *args, **environment):
    """Run code in a process of its own, where only its plugins are loaded; return what it printed and said."""
    names = "from ftlab import Grader, Method\nfrom ftlab.plugins import keep, load_plugins, origin, registered\n"
    command = [sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{names}{code}", *map(str, args)]
    environment = without_environment(**environment)
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip(), result.stderr


def keep(folder, run, cls, *named, **environment):
    """Keep what a run with a method, and with all graders that are plugins, would keep."""
    write(run / "config.yaml", f"plugins: {json.dumps(named)}\n")
    code = (
        "load_plugins(sys.argv[3:])\n"
        "graders = [cls() for cls in registered(Grader).values() if origin(cls) != 'built-in']\n"
        "keep([[registered(Method)[sys.argv[1]]()], *graders, None], Path(sys.argv[2]))"
    )
    python(folder, code, cls, run / "plugins", *named, **environment)
    return json.loads((run / "plugins/plugins.json").read_text())


def opened(folder, run, cls, *named, **environment):
    """Return the file from which a run's method is taken when the run is opened, and what is said."""
    code = (
        "load_plugins(sys.argv[3:], configs=[sys.argv[2]])\n"
        "print(sys.modules[registered(Method)[sys.argv[1]].__module__].__file__)"
    )
    return python(folder, code, cls, run / "config.yaml", *named, **environment)


def test_a_run_keeps_what_it_uses_and_opens_when_that_has_moved(tmp_path):
    plugin = write(tmp_path / "there/plugins/mine.py", METHOD.format(name="Mine"))
    write(tmp_path / "there/plugins/unused.py", METHOD.format(name="Unused"))
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    [kept] = keep(tmp_path / "there", run, "Mine")
    copy = run / "plugins/mine.py"
    assert {path.name for path in (run / "plugins").iterdir()} == {"mine.py", "plugins.json"}
    assert (kept["classes"], kept["place"], len(kept["sha256"])) == (["Mine"], str(plugin), 64)

    assert opened(elsewhere, run, "Mine") == (str(plugin), "")
    plugin.write_text(plugin.read_text().replace("Train the norms", "Train the norms still"))
    changed = f"ftlab: warning: {plugin} has changed since the run was made and is used; as it was: {copy}\n"
    assert opened(elsewhere, run, "Mine") == (str(plugin), changed)
    assert opened(elsewhere, run, "Mine", copy) == (str(copy), "")
    plugin.unlink()
    gone = f"ftlab: warning: {plugin}: the plugin is gone; the run's own copy is used, {copy}\n"
    assert opened(elsewhere, run, "Mine") == (str(copy), gone)


def test_a_run_keeps_a_named_plugin_and_a_grader(tmp_path):
    grader = "from dataclasses import dataclass\nfrom ftlab import Grader\n@dataclass\nclass Same(Grader):\n"
    text = f"{grader}    def grade(self, answer, reference):\n        return float(answer == reference)\n"
    named = write(tmp_path / "same.py", text), write(tmp_path / "mine.py", METHOD.format(name="Mine"))
    keep(tmp_path, tmp_path / "run", "Mine", *map(str, named))
    assert {path.name for path in (tmp_path / "run/plugins").iterdir()} == {"mine.py", "same.py", "plugins.json"}
    named[1].rename(tmp_path / "new.py")
    file, said = opened(tmp_path, tmp_path / "run", "Mine", *named)  # as its config names them
    assert file == str(tmp_path / "run/plugins/mine.py")
    assert said.count("the plugin is gone") == 1


def test_a_run_keeps_a_package_and_opens_when_it_is_not_installed(site, tmp_path):
    kept = keep(tmp_path, tmp_path / "run", "OutputScale", PYTHONPATH=str(site))
    assert {cls for module in kept for cls in module["classes"]} == {"OutputScale", "Mentions"}
    assert {(module["package"], module["version"]) for module in kept} == {("ftlab-example", "0.1.0")}
    copies = tmp_path / "run/plugins/packages/ftlab_example"
    assert (copies / "layers.py").is_file()
    assert opened(tmp_path, tmp_path / "run", "OutputScale", PYTHONPATH=str(site))[1] == ""
    file, said = opened(tmp_path, tmp_path / "run", "OutputScale")
    assert file == str(copies / "method.py")
    assert "the plugin is gone; the run's own copy is used" in said


def test_a_run_keeps_a_module_of_the_working_directory(tmp_path):
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(there / "my_package/__init__.py", "")
    write(there / "my_package/names.py", "WANTED = 'norm'\n")
    file = write(there / "my_package/method.py", "from my_package.names import WANTED\n" + METHOD.format(name="Mine"))
    keep(there, tmp_path / "run", "Mine", "my_package.method")
    assert opened(elsewhere, tmp_path / "run", "Mine", "my_package.method") == (str(file), "")
    file.parent.rename(there / "your_package")
    copy, said = opened(elsewhere, tmp_path / "run", "Mine", "my_package.method")
    assert copy == str(tmp_path / "run/plugins/packages/my_package/method.py")
    assert f"{file}: the plugin is gone" in said


@pytest.mark.slow
def test_a_real_run_is_made_again_and_opened_without_its_plugin(tmp_path):
    plugin = write(tmp_path / "there/mine.py", METHOD.format(name="Mine"))
    write(tmp_path / "there/x.yaml", CONFIG)
    args = ["fit", "--config", "x.yaml", "--plugins", "mine.py", "--method", "Mine"]
    result = ftlab(tmp_path / "there", *args)
    assert (result.returncode, result.stderr) == (0, "")
    [run] = (tmp_path / "there/runs/run").iterdir()
    plugin.unlink()
    (tmp_path / "elsewhere").mkdir()
    said = f"ftlab: warning: {plugin}: the plugin is gone; the run's own copy is used, {run}/plugins/mine.py\n"
    again = ftlab(tmp_path / "elsewhere", "fit", "--config", run / "config.yaml")
    assert (again.returncode, again.stderr) == (0, said)
    shutil.rmtree(run)  # the new run has a copy of its own
    [run] = (tmp_path / "elsewhere/runs/run").iterdir()
    opened = ftlab(tmp_path, "chat", run, input="/quit\n")
    assert opened.returncode == 0, opened.stderr


FORMAT = '''\
from dataclasses import dataclass

from ftlab import Format


@dataclass
class Pairs(Format):
    """Questions and answers."""

    answer: str = "answer"

    def messages(self, record):
        if not record["question"]:
            raise ValueError("the question is empty; write one")
        asked = {"role": "user", "content": record.pop("question")}
        return [asked, {"role": "assistant", "content": record.pop(self.answer)}]
'''


def pairs(**more):
    """A record for each of eight lines."""
    records = [{"id": f"q{i}", "question": f"{i} + 1?", "reply": str(i + 1)} for i in range(8)]
    return "".join(json.dumps(record | more) + "\n" for record in records)


@pytest.mark.slow
def test_a_format_reads_data_exam_and_prompts_and_is_kept_with_the_run(tmp_path):
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    plugin = write(there / "plugins/pairs.py", FORMAT)
    data = write(elsewhere / "pairs.jsonl", pairs(kind="sum"))
    setting = "{class_path: Pairs, init_args: {answer: reply}}"
    config = f"""\
data: {{train: {data}, validation: {data}, format: {setting}, on_leak: warn}}
exam: {{questions: {data}, format: {setting}, limit: 2, max_new_tokens: 4}}
"""
    write(there / "x.yaml", config)
    result = ftlab(there, "fit", "--config", "x.yaml", *STEP)
    assert (result.returncode, result.stderr) == (0, "")
    [folder] = (there / "runs/run").iterdir()
    from ftlab import Run

    run = Run(folder)
    expected = {"class_path": "plugins.pairs.Pairs", "init_args": {"answer": "reply"}}
    assert run.config["data"]["format"] == run.config["exam"]["format"] == expected
    answers = [(answer.id, answer.question, answer.reference) for answer in run.sitting("after").answers]
    assert answers == [("q0", "0 + 1?", "1"), ("q1", "1 + 1?", "2")]

    plugin.unlink()
    said = f"ftlab: warning: {plugin}: the plugin is gone; the run's own copy is used, {folder}/plugins/pairs.py\n"
    tested = ftlab(elsewhere, "test", folder)
    assert (tested.returncode, tested.stderr) == (0, said)
    assert "exam/score" in tested.stdout
    predicted = ftlab(elsewhere, "predict", folder, "--prompts", "pairs.jsonl", "--output", "answers.jsonl")
    assert predicted.returncode == 0, predicted.stderr
    first = json.loads((elsewhere / "answers.jsonl").read_text().splitlines()[0])
    assert (first["id"], first["kind"], len(first["messages"])) == ("q0", "sum", 2)


@pytest.mark.slow
def test_a_record_of_another_format_is_named_by_file_and_line(tmp_path):
    write(tmp_path / "plugins/pairs.py", FORMAT)
    write(tmp_path / "a.jsonl", pairs())
    write(tmp_path / "b.jsonl", pairs(question=""))
    args = ["fit", "--data.train", "a.jsonl", "--data.format", "Pairs", *STEP]
    expected = "a.jsonl:1: no 'answer' here, which Pairs reads; mend the row, or give this source a format of its own"
    expected += " (data.train: [{path: ..., format: QuestionAnswer}])"
    assert fault(tmp_path, *args) == expected
    args += ["--data.format.answer", "reply", "--data.validation", "b.jsonl"]
    assert fault(tmp_path, *args) == "b.jsonl:1: the question is empty; write one"


@pytest.mark.parametrize("key", ["data.format", "exam.format"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Message", "no format is called Message; did you mean Messages? (Alpaca"),
        ("Zebra", "no format is called Zebra; choose one of (Alpaca"),
        ("{class_path: plugins.none.Pairs}", "no format is called plugins.none.Pairs; choose one of (Alpaca"),
        ("LoRA", "no format is called LoRA; choose one of (Alpaca"),
        ("3", "3 is not a format; choose one of (Alpaca"),
        ("{class_path: Messages, init_args: {keys: x}}", "not a setting of Messages; did you mean key? (key)"),
        ("{class_path: Messages, init_args: {key: 3}}", "'3' is not a text"),
    ],
)
def test_a_format_that_cannot_be_named_so(tmp_path, monkeypatch, capsys, key, value, expected):
    monkeypatch.chdir(tmp_path)
    settings = {"data": "  train: none.jsonl\n", "exam": "  questions: none.jsonl\n"}
    settings[key.partition(".")[0]] += f"  format: {value}\n"
    lines = "".join(f"{section}:\n{text}" for section, text in settings.items())
    write(tmp_path / "x.yaml", lines)
    assert main(["fit", "--config", "x.yaml"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    place, _, reason = said.removeprefix("ftlab: error: ").partition(f": {key}")
    assert place == f"x.yaml:{1 + lines.splitlines().index(f'  format: {value}')}"
    assert expected in reason


def test_a_run_of_built_ins_keeps_nothing(finished):
    assert not (finished[0].folder / "plugins").exists()


def test_the_readme_has_the_commands_that_are_run_here():
    assert [shlex.split(command)[0] for command in COMMANDS].count("ftlab") == 5
    assert len(COMMANDS) == 7


#: The first two run with every test, the others take longer than they show.
LATER = [pytest.param(command, marks=pytest.mark.slow) for command in COMMANDS[2:] if not command.startswith("pip")]


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS[:2], *LATER])
def test_its_commands_run(command, site, workplace):
    command = re.sub(r"\bftlab (?=fit|methods)", f"{sys.executable} -m ftlab ", command)
    command += f" {shlex.join([*SHORT, *STEP, '--exam.limit=2', '--name=of-the-plugins'])}" * (" fit " in command)
    command += " --only [1,2]" * (" check " in command)
    environment = without_environment(PYTHONPATH=str(site))  # what the command with pip does
    result = subprocess.run(command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_its_contract_is_one(tmp_path):
    contract, *_, kit = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    write(tmp_path / "plugins/scales.py", contract)
    assert "The first line is what" in listed(tmp_path)[0]["Scales"]
    assert "factor: float = 2.0" in ftlab(tmp_path, "methods", "Scales").stdout
    compile(kit, "README.md", "exec")


def test_its_format_and_its_step_read_and_clean(tmp_path):
    _, format, step, _ = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    write(tmp_path / "plugins/said.py", format)
    write(tmp_path / "plugins/no_links.py", step)
    write(tmp_path / "a.jsonl", '{"said": ["Hi", "Hello"], "id": 7}\n{"said": ["Where?", "See http://x"]}\n')
    code = (
        "from ftlab import Step\n"
        "from ftlab.data.quality.cleaning import clean\n"
        "from ftlab.data.sources import read_rows\n"
        "load_plugins([])\n"
        "[row], [report] = clean(read_rows('a.jsonl'), [registered(Step)['NoLinks']()])\n"
        "print([message['content'] for message in row.messages], row.id, report.reasons, report.left_out[0].place)"
    )
    assert python(tmp_path, code)[0] == "['Hi', 'Hello'] 7 {'a link': 1} a.jsonl:2"


def test_its_table_of_a_row_is_whole():
    from ftlab.data.rows import Row

    table = README.partition("| field of a row |")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])) == [
        field.name for field in dataclasses.fields(Row)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        ("@dataclass\n", "pass", "method: apply of Slip returned NoneType; end it with `return model`"),
        (
            "@dataclass\n",
            "return model.requires_grad_(False)",
            "method: Slip trains no parameter; its apply",
        ),
        ("", "return model", "slip.py: Slip is not a dataclass; write @dataclass above the class"),
    ],
)
def test_slips_in_a_method_are_named(tmp_path, head, body, said):
    text = f"from dataclasses import dataclass\nfrom ftlab import Method\n\n{head}class Slip(Method):\n"
    write(tmp_path / "slip.py", f"{text}    def apply(self, model):\n        {body}\n")
    write(tmp_path / "x.yaml", CONFIG)
    result = ftlab(tmp_path, "fit", "--config", "x.yaml", "--plugins", "slip.py", "--method", "Slip")
    assert result.returncode == 2
    [line] = result.stderr.strip().splitlines()[-1:]
    assert said in line

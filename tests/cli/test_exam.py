"""`ftlab exam`: sits exams without training, says which way is best, and loses nothing of a run."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import wandb

from ftlab.cli.main import main
from ftlab.data.cache import cache_folder
from ftlab.diagnosis.wandb_file import read_wandb
from ftlab.exam.sitting import Answer, Sitting
from ftlab.exam.ways import describe_ways
from ftlab.report.exam_table import exam_lines
from ftlab.runs import Run
from tests.test_tracking import seen, table

CONFIG = """\
name: x
data: {train: train.jsonl}
exam: {questions: exam.jsonl, grader: TokenF1, section: kind, max_new_tokens: 4}
retention: {words: {questions: words.jsonl, grader: ExactMatch, max_new_tokens: 2}}
wandb: {mode: "off"}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, write_chats):
    monkeypatch.chdir(tmp_path)
    write_chats("train.jsonl", *((f"What is {i} and {i}?", f"It is {2 * i}.") for i in range(40, 60)))
    write_chats("words.jsonl", ("Say yes.", "yes"), ("Say no.", "no"))
    rows = [{"question": f"What is {i} and {i}?", "answer": f"{2 * i}", "kind": "ab"[i % 2]} for i in range(8)]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "x.yaml").write_text(CONFIG)
    return tmp_path


def exam(capsys, *args):
    """Run the command; return what it printed and the folder that it kept."""
    assert main(["exam", *args]) == 0
    out = capsys.readouterr().out
    return out, Path(out.splitlines()[-1].removeprefix("kept").strip())


def fault(capsys, *args):
    assert main(["exam", *args]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not Path("runs").exists()
    return error.removeprefix("ftlab: error: ").strip()


def test_faults_are_one_line(folder, capsys):
    assert fault(capsys) == "exam: of what? ftlab exam runs/<name>/<stamp>, or a config"
    assert fault(capsys, "none.yaml").startswith("none.yaml: no such config file")
    (folder / "empty").mkdir()
    assert fault(capsys, "empty").startswith("empty: not a run, it has no config.yaml")
    assert fault(capsys, "x.yaml", "--shots", "0") == "--shots: 0 is not 1 or more"
    assert fault(capsys, "x.yaml", "--exam.k", "3").startswith("--exam.k: 3 is not at most exam.samples")
    assert fault(capsys, "x.yaml", "--exam", "null", "--shots", "4").startswith("--shots: there is no exam to sit")
    assert fault(capsys, "--model.base", "ftlab/tiny").startswith("exam: there is none; write one into the config")
    few = "exam.shots: 21 examples wanted, data.train has 20 to give; take fewer"
    assert fault(capsys, "x.yaml", "--shots", "21") == few
    (folder / "empty/config.yaml").write_text(CONFIG)
    assert fault(capsys, "empty").startswith("empty: this run has kept no best checkpoint; --base sits")


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm_eval is installed")
def test_without_the_harness_its_command_is_named(folder, capsys):
    expected = "--harness needs the library lm_eval; install it with: pip install 'ftlab[harness]'"
    assert fault(capsys, "x.yaml", "--harness", "hellaswag") == expected


def test_a_config_is_sat_with_its_base(folder, capsys):
    out, kept = exam(capsys, "x.yaml", "--shots", "2")
    assert kept.parent == Path("runs/x/examined")
    table = out[out.index("exam, 8 questions") :].splitlines()
    assert table[0].split() == "exam, 8 questions base base with 2 examples".split()
    assert [line.split()[0] for line in table[1:5]] == ["TokenF1", "a", "b", "verdict"]
    assert "retention/words, 2 questions   base" in out
    found = json.loads((kept / "exam.json").read_text())
    assert found["method"] is found["run"] is None
    assert found["settings"]["exam"]["shots"] == [0, 2]
    files = sorted(str(file.relative_to(kept)) for file in kept.rglob("*.jsonl"))
    assert files == ["exam/before.jsonl", "exam/shots-2.jsonl", "retention/words/before.jsonl"]
    for title, name in (("base", "before"), ("base with 2 examples", "shots-2")):
        score = Sitting.read(kept / f"exam/{name}.jsonl").score
        assert found["exams"]["exam"]["ways"][title]["score"] == {
            k: getattr(score, k) for k in ("score", "low", "high")
        }


def test_wandb_gets_a_run_of_its_own(folder, capsys):
    """Read back from the offline file: its heading, config, scores and answers, by the names that a training's has."""
    out, kept = exam(capsys, "x.yaml", "--shots", "2", "--wandb.mode", "offline")
    wandb.teardown()  # as at the end of the command
    [file] = (kept / "wandb").glob("offline-run-*/*.wandb")
    assert f"W&B        offline; upload with: wandb sync {file.parent}" in out
    run, summary, _ = seen(file)
    assert (run.job_type, run.run_group, run.display_name) == ("exam", "x", f"x/exam/{kept.name}")
    assert list(run.tags) == ["ftlab/tiny"]
    _, config = read_wandb(file)
    assert config["exam"]["shots"] == [0, 2]
    found = json.loads((kept / "exam.json").read_text())
    assert summary["exam"]["before"] == found["exams"]["exam"]["ways"]["base"]["score"]
    assert summary["exam"]["shots"]["2"] == found["exams"]["exam"]["ways"]["base with 2 examples"]["score"]
    first = table(file, "exam")[0]
    given = Sitting.read(kept / "exam/shots-2.jsonl").answers[0]
    assert (first["id"], first["shots-2"], first["shots-2 points"]) == (given.id, given.answer, given.points)
    assert first["section"] == "a"


def sat(points, **scores):
    each = [Answer(str(i), "q", "r", "a", p, scores={"BLEU": 0.5}) for i, p in enumerate(points)]
    return Sitting(each, {"BLEU": {"bleu": scores.get("bleu", 12.345), "signature": "s"}})


def test_few_shot_that_beats_the_tuned_model_is_said_so():
    ways = {"before": sat([0] * 20), "shots-4": sat([1] * 15 + [0] * 5), "after": sat([1] * 5 + [0] * 15)}
    told = describe_ways({name: ways[name] for name in ("after", "shots-4", "before")})
    assert list(told["ways"]) == ["base", "base with 4 examples", "tuned"]
    assert told["verdict"].startswith("the base with 4 examples in its prompt beats the tuned model by 50 points (")
    lines = exam_lines({"exams": {"exam": {"grader": "Marker", **told}}, "harness": None})
    assert lines[0].split() == "exam, 20 questions base base with 4 examples tuned".split()
    assert lines[1].split() == "Marker 0 (0 to 16.1) 75 (53.1 to 88.8) 25 (11.2 to 46.9)".split()
    assert lines[2].split() == ["BLEU", *["50", "(29.9", "to", "70.1)"] * 3]
    assert lines[3].split() == ["BLEU", "bleu", "12.35", "12.35", "12.35"]  # no signature
    assert lines[4] == f"verdict    {told['verdict']}"


def test_what_was_kept_of_a_general_ability():
    told = describe_ways({"before": sat([1] * 40), "after": sat([1] * 30 + [0] * 10)}, general=True)
    assert told["verdict"].startswith("kept 75 % (")
    assert "): worse by 25 points (" in told["verdict"]


@pytest.mark.slow
def test_a_run_is_sat_again_and_stays_as_it_was(finished, in_workplace, capsys):
    run = finished[0]
    held = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    out, kept = exam(capsys, str(run.folder), "--shots", "2")
    again = Run(kept)
    assert kept.parent == run.folder / "examined"
    assert again.sitting("before") == run.sitting("before")
    assert again.sitting("after") == run.sitting("after")
    assert "the base with 2 examples in its prompt" in out
    assert out.index("base with 2 examples") < out.index("tuned")
    assert {file: file.read_bytes() for file in held} == held
    wandb.teardown()
    [file] = (kept / "wandb").glob("offline-run-*/*.wandb")
    tracked, summary, _ = seen(file)
    assert list(tracked.tags) == [run.summary["method"], "ftlab/tiny"]
    assert summary["exam"]["after"] == run.summary["exam"]["after"]
    assert summary["exam/score"] == run.summary["exam"]["after"]["score"]
    assert {"before points", "after points", "shots-2 points"} <= table(file, "exam")[0].keys()
    known = set((cache_folder() / "answers").iterdir())
    exam(capsys, str(run.folder), "--base")
    assert set((cache_folder() / "answers").iterdir()) == known  # the base's answers are those of the training
    second, folder = exam(capsys, str(run.folder), "--base", "--exam.limit", "5")
    assert set((cache_folder() / "answers").iterdir()) > known
    assert folder != kept
    assert kept.is_dir()
    assert "tuned" not in second
    assert len(Run(folder).sitting("before").answers) == 5


@pytest.mark.slow
def test_benchmarks_of_the_harness(finished, in_workplace, capsys, tmp_path):
    pytest.importorskip("lm_eval")
    rows = [{"question": f"{i} + 1 =", "choices": ["dog", str(i + 1), "?"], "answer": i % 2} for i in range(12)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(
        "task: sums\ndataset_path: json\ndataset_kwargs: {data_files: {test: '%s'}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
        "doc_to_target: answer\nmetric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
        % (tmp_path / "q.jsonl")
    )
    args = ["--harness", str(tmp_path / "sums.yaml"), "--exam", "null", "--harness_limit", "10"]
    _, kept = exam(capsys, str(finished[0].folder), *args)
    measure = json.loads((kept / "exam.json").read_text())["harness"]["sums acc"]
    assert measure["questions"] == 10
    assert measure["before"] != measure["after"]  # with the adapter
    for when, model in (("before", None), ("after", finished[0])):
        assert measure[when]["score"] == pytest.approx(10 * right_options(rows[:10], model))
    assert main(["exam", str(finished[0].folder), "--harness", f"{tmp_path}/none.yaml"]) == 2
    assert "there is no task" in capsys.readouterr().err
    assert main(["exam", str(finished[0].folder), "--harness", "hellaswag"]) == 2  # tests reach no network
    assert "the data of hellaswag cannot be fetched (" in capsys.readouterr().err


def right_options(rows, run):
    """Count the questions whose right option is the likeliest continuation, each measured alone."""
    import torch

    from ftlab.cli.settings import open_experiment
    from ftlab.evaluation import load_best

    experiment = open_experiment(run) if run else None
    if experiment:
        load_best(experiment, run)
        model, tokenizer = experiment.tuner.model, experiment.tuner.chat.tokenizer
    else:
        from ftlab import Base

        model, tokenizer = Base("ftlab/tiny").load_model(), Base("ftlab/tiny").load_chat().tokenizer
    model.eval()
    right = 0
    for row in rows:
        sums = []
        for option in row["choices"]:
            start = tokenizer(row["question"], add_special_tokens=False)["input_ids"]
            ids = tokenizer(f"{row['question']} {option}", add_special_tokens=False)["input_ids"]
            with torch.inference_mode():
                logs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            sums.append(sum(float(logs[i - 1, ids[i]]) for i in range(len(start), len(ids))))
        right += sums.index(max(sums)) == row["answer"]
    return right

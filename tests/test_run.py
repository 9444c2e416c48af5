"""The whole way once: the quickstart's own config, shortened, in a process of its own, and all that is done with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ftlab import Run
from ftlab.cli.main import main
from tests.conftest import QUICKSTART, ftlab, losses


def test_the_terminal_tells_the_summary(finished):
    run, result = finished
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    summary = run.summary
    after = summary["exam"]["after"]
    assert f"->  after {after['score']:.0f} ({after['low']:.0f} to {after['high']:.0f}) of 100" in lines["exam"]
    assert lines["exam"].endswith("24 questions")
    assert lines["verdict"] == f"verdict    {summary['exam']['verdict']}"
    assert lines["state"].startswith(f"state      {summary['diagnosis']['state']}: ")
    assert f"step {summary['best']['step']}, by exam/score" in lines["best"]
    assert f"{summary['parameters']['trainable']:,} of {summary['parameters']['total']:,}" in lines["trainable"]
    assert "upload with: wandb sync" in lines["W&B"]
    assert "Traceback" not in result.stderr


def test_the_folder_holds_the_run(finished):
    run, _ = finished
    names = {path.name for path in run.folder.iterdir()}
    expected = {"config.yaml", "metrics.csv", "exam", "best", "last", "report.html", "summary.json", "wandb"}
    assert expected <= names
    assert {path.stem for path in (run.folder / "exam").iterdir()} >= {"before", "after", "step-6", "step-12"}
    metrics = {key for row in run.metrics() for key in row}
    assert metrics >= {
        "train/loss", "validation/loss", "validation/perplexity", "lr/trainable", "train/gradient_norm",
        "train/tokens_per_second", "memory/peak_bytes", "exam/score", "exam/low", "exam/high",
    }  # fmt: skip
    assert losses(run, "validation/loss").keys() == {6, 12}
    assert losses(run).keys() == set(range(1, 13))


def test_the_summary_has_its_documented_keys(finished):
    summary = finished[0].summary
    assert summary["seconds"]["fit"] > summary["seconds"]["train"] > 0
    assert summary["tokens_per_second"] > 0
    assert summary["memory"]["peak_bytes"] > 1e8
    assert summary["data"]["train"]["chats"] == 1000
    assert summary["best"]["step"] in (6, 12)
    for when in ("before", "after"):
        assert summary["exam"][when]["low"] <= summary["exam"][when]["score"] <= summary["exam"][when]["high"]


def test_the_best_is_the_best_and_its_exam_can_be_taken_again(finished):
    """The exam at the end, with reloaded weights, gives the answers of the sitting at the best step."""
    run, _ = finished
    best = run.summary["best"]
    scores = losses(run, "exam/score")
    assert best["value"] == pytest.approx(max(scores.values()))
    assert run.sitting("after") == run.sitting(f"step-{best['step']}")


def test_the_best_is_a_plain_peft_folder(finished, chat):
    from peft import PeftModel

    from ftlab import Base
    from ftlab.exam.generation import Generation, generate

    run, _ = finished
    model = PeftModel.from_pretrained(Base("ftlab/tiny").load_model(), run.best)
    after = run.sitting("after").answers[:8]
    prompts = [chat.prompt([{"role": "user", "content": answer.question}]) for answer in after]
    assert generate(model, chat, prompts, Generation(32, 8)) == [[answer.answer] for answer in after]


def test_the_checkpoint_is_small_and_plain(finished):
    run, _ = finished
    checkpoint = torch.load(run.last, weights_only=True)
    assert all("lora" in name for name in checkpoint["state_dict"])
    assert run.last.stat().st_size < 3 * run.summary["adapter_bytes"]
    assert [path.name for path in run.last.parent.iterdir()] == ["last.ckpt"]


def wandb_records(file):
    """Read W&B's offline file: protobuf records in LevelDB's log format after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, block, position, parts = file.read_bytes(), 32 * 1024, 7, b""
    while position + 7 <= len(content):
        if block - position % block < 7:  # too little left for a record: the block is filled with zeros
            position += block - position % block
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_wandb_holds_config_metrics_and_answers(finished):
    """Read back from the offline file, as `wandb sync` would send it."""
    run, _ = finished
    [file] = (run.folder / "wandb").glob("offline-run-*/*.wandb")
    config, history, summary = {}, set(), {}
    for record in wandb_records(file):
        for update in [*record.run.config.update, *record.config.update]:
            config[update.key] = json.loads(update.value_json)
        history |= {item.key or ".".join(item.nested_key) for item in record.history.item}
        summary |= {u.key or ".".join(u.nested_key): json.loads(u.value_json) for u in record.summary.update}
    assert config["method"]["init_args"]["r"] == 8
    assert config["model"]["base"] == "ftlab/tiny"
    assert {"train/loss", "validation/loss", "exam/score"} <= history
    assert any(key.startswith("exam/answers") for key in history)
    assert summary["parameters"] == run.summary["parameters"]
    assert summary["data"]["fingerprint"] == run.summary["data"]["fingerprint"]
    [table] = (file.parent / "files/media/table/exam").glob("answers*.json")
    assert len(json.loads(table.read_text())["data"]) == 24  # a row for each question


def test_its_config_reproduces_it(finished, in_workplace):
    run, _ = finished
    assert main(["fit", "--config", str(run.config_file), "--wandb.mode", "off", "--name", "again"]) == 0
    [folder] = Path("runs/again").iterdir()
    again = Run(folder)
    assert again.config | {"name": "", "wandb": {}} == run.config | {"name": "", "wandb": {}}
    assert losses(again) == losses(run)
    assert losses(again, "validation/loss") == losses(run, "validation/loss")
    assert again.sitting("after") == run.sitting("after")


def test_test_and_validate_measure_the_best(finished, in_workplace, capsys):
    run, _ = finished
    for args in (["test", str(run.folder)], ["test", "--config", str(run.config_file), "--name", "quickstart"]):
        assert main([*args, "--trainer.enable_progress_bar", "false"]) == 0
        figures = json.loads((run.folder / "test.json").read_text())
        assert figures["exam/score"] == pytest.approx(run.summary["exam"]["after"]["score"])
        assert figures["test/loss"] == pytest.approx(run.summary["best"]["validation_loss"], rel=1e-5)
    assert main(["validate", str(run.folder), "--trainer.enable_progress_bar", "false"]) == 0
    figures = json.loads((run.folder / "validate.json").read_text())
    assert figures["validation/loss"] == pytest.approx(run.summary["best"]["validation_loss"], rel=1e-5)


def test_predict_writes_answers(finished, in_workplace):
    run, _ = finished
    questions = Path("experiments/lesson/exam.jsonl").read_text().splitlines()[:5]
    Path("prompts.jsonl").write_text("\n".join(questions) + "\n")
    assert main(["predict", str(run.folder), "--prompts", "prompts.jsonl", "--output", "out/answers.jsonl"]) == 0
    rows = [json.loads(line) for line in Path("out/answers.jsonl").read_text().splitlines()]
    after = {answer.id: answer.answer for answer in run.sitting("after").answers}
    assert {row["id"]: row["answer"] for row in rows} == {row["id"]: after[row["id"]] for row in rows}
    assert [row["messages"] for row in rows] == [json.loads(line)["messages"] for line in questions]


def test_merge_gives_a_plain_model_of_equal_logits(finished, in_workplace, capsys, chat):
    run, _ = finished
    assert main(["merge", str(run.folder), "--output", "merged"]) == 0
    shown = capsys.readouterr().out
    difference = float(shown.rsplit(" ", 1)[1])
    assert 0 <= difference <= 1e-3
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model, tok = AutoModelForCausalLM.from_pretrained('merged'), AutoTokenizer.from_pretrained('merged')\n"
        "print(len(model.state_dict()), hash(tok.chat_template) is not None)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert main(["merge", str(run.folder), "--output", "merged"]) == 2
    assert "merged exists" in capsys.readouterr().err
    from ftlab import Base

    assert Base("merged").load_chat().tokenizer.chat_template == chat.tokenizer.chat_template


def test_chat_answers_and_remembers(finished, workplace):
    run, _ = finished
    question = run.sitting("after").answers[0]
    talk = ftlab(workplace, "chat", str(run.folder), input=f"{question.question}\n/new\nHello!\n/quit\n")
    assert talk.returncode == 0, talk.stderr
    assert question.answer.splitlines()[0] in talk.stdout


def test_an_exam_without_validation_data_decides(in_workplace):
    assert main([*QUICKSTART, "--data.validation=null", "--wandb.mode=off", "--name=unvalidated"]) == 0
    run = Run.newest("unvalidated", "summary.json")
    assert run.summary["best"]["by"] == "exam/score"
    assert losses(run, "exam/score").keys() == {6, 12}
    assert main(["test", str(run.folder)]) == 0
    figures = json.loads((run.folder / "test.json").read_text())
    assert figures["exam/score"] == pytest.approx(run.summary["exam"]["after"]["score"])
    assert main(["validate", str(run.folder)]) == 2


def test_two_runs_at_once_get_two_folders(tmp_path):
    runs = {Run.create("x", {}, tmp_path).folder for _ in range(5)}
    assert len(runs) == 5

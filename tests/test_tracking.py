"""W&B: online with a login, offline without one, never a fit that does not start; and what a reader sees there."""

import json
from pathlib import Path

import pytest
import wandb

from ftlab.diagnosis.wandb_file import _records, read_wandb
from ftlab.errors import SettingError
from ftlab.exam.sitting import Answer, Sitting
from ftlab.tracking import LARGEST, WandB, answer_table, logged_in, track_results


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_a_login_offline():
    assert not logged_in()
    assert WandB()._mode() == "offline"


@pytest.mark.parametrize("way", ["environment", "netrc"])
def test_with_a_login_online(nobody, monkeypatch, way):
    if way == "environment":
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    else:
        (nobody / ".netrc").write_text("machine api.wandb.ai login user password " + "x" * 40 + "\n")
    assert logged_in()
    assert WandB()._mode() == "online"


def test_a_login_elsewhere_is_none_here(nobody, monkeypatch):
    (nobody / ".netrc").write_text("machine example.org login user password secret\n")
    assert not logged_in()


def test_the_setting_and_the_environment_decide(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert WandB()._mode() == "off"
    assert WandB(mode="offline")._mode() == "offline"
    assert WandB(mode="off").start(tmp_path, "x", {}, []) is None


def test_a_server_that_cannot_be_reached_does_not_stop_a_run(nobody, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("ftlab.tracking.wandb_run.TIMEOUT", 3)
    logger = WandB().start(tmp_path, "x", {"a": {"b": 1}}, [])
    with pytest.warns(UserWarning, match="cannot be reached"):
        logger.log_metrics({"train/loss": 1.0}, 1)
    assert logger.run.settings.mode == "offline"
    logger.run.finish()
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_a_run_begins_with_its_first_metrics_and_loses_none(tmp_path):
    base = "a folder/" * 10
    logger = WandB(mode="offline").start(tmp_path, "x", {}, ["LoRA", base])
    assert not (tmp_path / "wandb").exists()
    logger.log_metrics({"train/loss": 2.0}, 1)
    logger.run.finish()
    wandb.teardown()
    [log] = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert [row["train/loss"] for row in read_wandb(log)[0] if "train/loss" in row] == [2.0]
    assert list(seen(log)[0].tags) == ["LoRA", base[-64:]], "W&B takes no longer tags"


@pytest.mark.parametrize("project", ["", "a/b", "50%", "x" * 129])
def test_what_wandb_would_refuse_is_refused_before_training(project):
    with pytest.raises(SettingError, match="is not a name of at most 128 characters"):
        WandB(project=project)


CONFIG = {"method": {"class_path": "LoRA", "init_args": {"r": 8}}, "data": {"train": "train.jsonl"}}
SUMMARY = {
    "name": "first try",
    "base": "ftlab/tiny",
    "method": "LoRA",
    "exam": {"after": {"score": 75.0, "low": 30.0, "high": 95.0}, "verdict": "better by 50 points"},
    "retention": {
        "stories": {
            "after": {"score": 90.0, "low": 60.0, "high": 98.0},
            "kept": {"share": 0.9, "low": 0.8, "high": 1.0},
        }
    },
    "diagnosis": {"state": "successful", "evidence": ["exam 25 -> 75"], "next": None},
    "best": {"step": 20, "by": "exam/score", "value": 75.0},
    "data": {"train": {"chats": 2}, "fingerprint": "0123456789abcdef"},
    "resumed_from": None,
}
BASE = {"base": "ftlab/tiny", "revision": None, "weights": "fedcba", "tokenizer": "a", "template": "b", "ftlab": "0.1"}


def sitting(points, **more):
    return Sitting([Answer(id, f"{id}?", f"{id}!", f"{id} {p:g}", p, **more) for id, p in points.items()])


EXAMS = {
    "exam": {
        "before": sitting({"b": 0.0, "a": 1.0}, scores={"BLEU": 0.5}),
        "step-20": sitting({"a": 0.0, "b": 0.0}),
        "after": sitting({"a": 1.0, "b": 0.5}, samples=["ä", "b"], scores={"BLEU": 0.25}),
    },
    "retention/stories": {"before": sitting({"s": 1.0}), "after": sitting({"s": 0.9})},
}


def seen(file):
    """Return what a reader of the project sees of a run: its heading, summary, artifacts."""
    from wandb.proto.wandb_internal_pb2 import Record

    runs, summary, artifacts = [], {}, []
    for data in _records(file):
        record = Record()
        record.ParseFromString(data)
        runs += [record.run] if record.HasField("run") else []
        artifacts += [record.artifact] if record.HasField("artifact") else []
        for item in record.summary.update:
            summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return runs[-1], summary, artifacts


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Two runs, the second of which resumes the first, with the second's answer of where it lies."""
    root = tmp_path_factory.mktemp("runs")
    old, new = root / "first try/2026-01-01", root / "first try/2026-01-02"
    (new / "best/LoRA").mkdir(parents=True)
    (new / "best/LoRA/adapter_model.safetensors").write_bytes(b"weights")
    (new / "best/ftlab.json").write_text("{}")
    settings = WandB(mode="offline")
    old.mkdir()
    logger = settings.start(old, "first try/fold-1", CONFIG, ["LoRA", "ftlab/tiny"])
    for step in (1, 2, 3):
        logger.log_metrics({"train/loss": 1 / step}, step)
    logger.run.finish()
    wandb.teardown()  # as where the process ended, interrupted: its log is whole then
    logger = settings.start(new, "first try/fold-1", CONFIG, ["LoRA", "ftlab/tiny"], old)
    logger.log_metrics({"train/loss": 0.25, "exam/score": 10.0}, 4)
    place = track_results(logger, SUMMARY, EXAMS, new / "best", BASE)
    wandb.teardown()
    [first], [second] = (list((folder / "wandb").glob("offline-run-*/*.wandb")) for folder in (old, new))
    return first, second, place


def test_a_reader_finds_the_run_among_its_like(tracked):
    run, _, _ = seen(tracked[0])
    assert (run.display_name, run.run_group, run.job_type) == ("first try/fold-1/2026-01-01", "first try", "fit")
    assert list(run.tags) == ["LoRA", "ftlab/tiny"]
    rows, config = read_wandb(tracked[0])
    assert {key: config[key] for key in CONFIG} == CONFIG
    assert [row["train/loss"] for row in rows if "train/loss" in row] == [1, 1 / 2, 1 / 3]


def test_resuming_goes_on_with_the_same_run(tracked):
    first, second, _ = tracked
    (before, _, _), (after, _, _) = seen(first), seen(second)
    assert after.run_id == before.run_id
    assert after.resume
    assert not before.resume
    (old, _), (new, _) = read_wandb(first), read_wandb(second)
    steps = [row["_step"] for row in old + new]
    assert steps == sorted(set(steps)), "what is logged later would overwrite what was logged before"
    assert [row["trainer/global_step"] for row in old + new if "train/loss" in row] == [1, 2, 3, 4]


def test_the_summary_has_the_names_of_the_runs_own(tracked):
    _, summary, _ = seen(tracked[1])
    assert {key: summary[key] for key in SUMMARY if SUMMARY[key] is not None} == {
        key: value for key, value in SUMMARY.items() if value is not None
    }
    last = [summary[f"{exam}/score"] for exam in ("exam", "retention/stories")]
    assert last == [75, 90], "not of the best weights, but of the last that were examined"
    assert tracked[2] == {"mode": "offline", "folder": str(tracked[1].parent)}


def table(file, exam):
    [found] = (file.parent / "files/media/table" / exam).glob("answers*.json")
    told = json.loads(found.read_text(encoding="utf-8"))
    return [dict(zip(told["columns"], row, strict=True)) for row in told["data"]]


def test_answers_line_up_by_question(tracked):
    rows, _ = read_wandb(tracked[1])
    logged = {key for row in rows for key in row}
    assert {"exam/answers/_type", "retention/stories/answers/_type"} <= logged
    first, second = table(tracked[1], "exam")
    assert first == {
        "id": "a",
        "question": "a?",
        "reference": "a!",
        "before": "a 1",
        "before points": 1.0,
        "before BLEU": 0.5,
        "after": "a 1",
        "after points": 1.0,
        "after BLEU": 0.25,
        "after samples": '["ä", "b"]',
        "step-20": "a 0",
        "step-20 points": 0.0,
    }
    assert (second["id"], second["before"], second["after points"]) == ("b", "b 0", 0.5)
    [kept] = table(tracked[1], "retention/stories")
    assert (kept["before points"], kept["after points"]) == (1.0, 0.9)


def test_a_question_that_one_sitting_lacks_keeps_its_row():
    columns, rows = answer_table({"before": sitting({"b": 1}), "after": sitting({"b": 1, "a": 0}, section="easy")})
    assert columns == ["id", "question", "reference", "section", "before", "before points", "after", "after points"]
    assert rows == [["a", "a?", "a!", "easy", None, None, "a 0", 0], ["b", "b?", "b!", "", "b 1", 1, "b 1", 1]]


def test_the_best_weights_descend_from_base_and_data(tracked):
    _, summary, artifacts = seen(tracked[1])
    mine = {artifact.type: artifact for artifact in artifacts if artifact.type in ("base", "data", "model")}
    assert {kind: artifact.name for kind, artifact in mine.items()} == {
        "base": "base-ftlab-tiny",
        "data": "data-0123456789abcdef",
        "model": "best-first-try",
    }
    assert {kind: artifact.use_after_commit for kind, artifact in mine.items()} == {
        "base": True,
        "data": True,
        "model": False,
    }
    assert json.loads(mine["base"].metadata) == {key: value for key, value in BASE.items() if key != "ftlab"}
    assert json.loads(mine["data"].metadata) == summary["data"]
    assert json.loads(mine["model"].metadata)["data"] == summary["data"]["fingerprint"]
    files = {entry.path: entry.local_path for entry in mine["model"].manifest.contents}
    assert set(files) == {"LoRA/adapter_model.safetensors", "ftlab.json"}
    assert Path(files["LoRA/adapter_model.safetensors"]).read_bytes() == b"weights"


def test_large_weights_are_told_by_their_place(tmp_path):
    best = tmp_path / "best"
    best.mkdir()
    with (best / "model.safetensors").open("wb") as file:
        file.truncate(LARGEST + 1)
    logger = WandB(mode="offline").start(tmp_path, "x", {}, [])
    track_results(logger, SUMMARY, {}, best, BASE)
    wandb.teardown()
    [log] = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    [model] = [artifact for artifact in seen(log)[2] if artifact.type == "model"]
    [entry] = model.manifest.contents
    assert (entry.path, entry.ref) == ("model.safetensors", (best / "model.safetensors").as_uri())
    assert not entry.local_path

"""A comparison as a W&B run: what a reader of the project would see, read back from the offline files."""

import json

import pytest
import wandb

from ftlab.comparison import compare, find_runs, read_entries
from ftlab.errors import FtlabError
from ftlab.report.compare_wandb import track_comparison
from tests.comparison.folders import make_run
from tests.test_run import wandb_records


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name, right, rate in (("good", 18, 0.01), ("bad", 2, 0.1)):
        for seed in (1, 2):
            points = [1.0] * right + [0.0] * (20 - right)
            figures = {"method": "LoRA", "base": "ftlab/tiny", "seconds.train": 10 / rate}
            make_run(root, name, points, seed=seed, steps=40, settings={"optimizer.lr": rate}, figures=figures)
    return compare(*read_entries(find_runs([str(root)])))


def test_a_reader_of_the_project_sees_the_comparison(comparison, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place = track_comparison(comparison, "trials", tmp_path)
    wandb.teardown()  # as at the end of the command: a finished run may still be on its way to the disk
    [file] = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert place == {"mode": "offline", "folder": str(file.parent)}

    run, config, summary, history = None, {}, {}, {}
    for record in wandb_records(file):
        run = record.run if record.HasField("run") else run
        for update in [*record.run.config.update, *record.config.update]:
            config["/".join([update.key, *update.nested_key]).strip("/")] = json.loads(update.value_json)
        for update in record.summary.update:
            summary["/".join([update.key, *update.nested_key]).strip("/")] = json.loads(update.value_json)
        for item in record.history.item:
            history["/".join([item.key, *item.nested_key]).strip("/")] = json.loads(item.value_json)
    assert (run.project, run.job_type, run.run_group) == ("trials", "compare", "compare")
    assert sorted(run.tags) == ["LoRA", "ftlab/tiny"]
    assert config["differing"] == ["optimizer.lr"]
    folders = [str(entry.run.folder) for group in comparison.groups for entry in group.entries]
    assert [each["folder"] for each in config["runs"]] == folders
    assert summary["best"] == summary["winner"] == "good"
    assert summary["closing"]["shown"] == "yes: it is better than the other"
    assert summary["fronts"]["seconds"] == ["bad", "good"]

    def table(name):
        found = json.loads((file.parent / "files" / history[f"{name}/path"]).read_text())
        return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]

    configurations = table("compare/configurations")
    assert [(row["configuration"], row["exam"], row["optimizer.lr"]) for row in configurations] == [
        ("good", 90, "0.01"),
        ("bad", 10, "0.1"),
    ]
    assert configurations[1]["difference"] == -80
    assert [row["run"] for row in table("compare/runs")] == folders
    answers = table("compare/answers")
    assert [row["id"] for row in answers] == [f"exam-{i:03}" for i in range(20)]
    runs = [entry.label for group in comparison.groups for entry in group.entries]
    assert [answers[10][f"{run} points"] for run in runs] == [1, 1, 0, 0]
    assert answers[10][runs[0]] == "It is 11."
    plots = {name.removeprefix("_wandb/visualize/compare/") for name in config if name.startswith("_wandb/visualize/")}
    assert plots == {"train", "validation", "exam", "exam_seconds", "exam_memory", "exam_trainable"}
    curve = table("compare/train_table")
    assert len(curve) == 4 * 40
    assert {row["lineKey"] for row in curve} == set(runs)


def test_where_wandb_is_switched_off_it_is_said_in_one_line(comparison, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(FtlabError, match=r"^--wandb: WANDB_MODE=disabled switches W&B off; unset it$"):
        track_comparison(comparison, "trials", tmp_path)
    assert not (tmp_path / "wandb").exists()

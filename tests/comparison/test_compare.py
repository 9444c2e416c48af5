"""Runs held against each other: what differs, who is joined, what is left out, what is warned of."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ftlab.comparison import Comparison, closing, compare, find_runs, read_entries
from ftlab.comparison.figures import figures
from ftlab.errors import FtlabError
from ftlab.exam.outcome import describe_retention
from ftlab.exam.statistics import join_seeds
from tests.comparison.folders import make_run, sitting

#: Files that were opened while it was on; an audit hook cannot be removed.
OPENED: list[str] = []
WATCHING = False


def watch(event, args):
    if WATCHING and event == "open" and isinstance(args[0], (str, Path)):
        OPENED.append(str(args[0]))


sys.addaudithook(watch)


def points(share, questions=40, seed=0):
    return (np.random.default_rng(seed).random(questions) < share).astype(float)


def compared(*places, sort=None) -> Comparison:
    return compare(*read_entries(find_runs(map(str, places))), sort=sort)


def warned(comparison, start):
    found = [warning for warning in comparison.warnings if warning.startswith(start)]
    assert len(found) == 1, comparison.warnings
    return found[0]


def test_runs_are_found_below_folders_and_by_patterns_each_once(tmp_path):
    runs = [make_run(tmp_path / "runs", name, points(0.5)) for name in ("a", "a", "sweep/b")]
    inside = runs[0].folder / "wandb/run-1/files"
    inside.mkdir(parents=True)
    (inside / "config.yaml").write_text("wandb_version: 1\n")
    assert find_runs([str(tmp_path / "runs")]) == [run.folder for run in runs]
    assert find_runs([str(tmp_path / "runs/*"), str(runs[2].folder)]) == [run.folder for run in runs]
    assert find_runs([f"{tmp_path}/runs/swe*/b/*"]) == [runs[2].folder]
    with pytest.raises(FtlabError, match="there is no such folder"):
        find_runs([str(tmp_path / "runs"), str(tmp_path / "nope*")])
    with pytest.raises(FtlabError, match="no run in it"):
        find_runs([str(tmp_path / "runs/a"), str(runs[0].best)])


def test_only_what_differs_is_told_and_seeds_are_joined(tmp_path):
    for seed in (1, 2, 3):
        make_run(tmp_path, "low", points(0.4, seed=seed), seed=seed, settings={"optimizer.lr": 0.001})
        make_run(
            tmp_path, f"high{seed}", points(0.8, seed=seed), seed=seed, settings={"trainer.log_every_n_steps": seed}
        )
    found = compared(tmp_path)
    assert found.keys == ["optimizer.lr"]
    assert [group.label for group in found.groups] == ["high1 and 2 more", "low"]
    assert [[entry.seed for entry in group.entries] for group in found.groups] == [[1, 2, 3]] * 2
    expected = join_seeds([100 * points(0.8, seed=seed).mean() for seed in (1, 2, 3)])
    assert found.groups[0].exam == expected
    assert found.groups[0].values == {"optimizer.lr": "0.005"}


def test_a_class_by_another_path_and_a_key_that_older_versions_lack_do_not_differ(tmp_path):
    make_run(tmp_path, "a", points(0.5), seed=1, settings={"method.class_path": "ftlab.LoRA"})
    make_run(
        tmp_path, "a", points(0.5), seed=2, settings={"method.init_args.use_dora": False, "trainer.precision": None}
    )
    assert [len(group.entries) for group in compared(tmp_path).groups] == [2]
    make_run(tmp_path, "b", points(0.5), seed=1, settings={"method": {"class_path": "Prefix", "init_args": {"n": 4}}})
    make_run(tmp_path, "c", points(0.5), seed=1, settings={"data.mixture": {"stop": "all"}})
    make_run(tmp_path, "d", points(0.5), seed=1, settings={"data.mixture": {"size": 9}})
    found = compared(tmp_path)
    assert found.keys == ["method", "data.mixture"]
    assert {g.label: list(g.values.values()) for g in found.groups}["c"] == ["LoRA", '{"stop": "all"}']
    assert len(found.groups) == 4


def test_of_two_runs_of_one_seed_the_later_counts_unless_files_have_changed(tmp_path):
    first = make_run(tmp_path, "a", points(0.2))
    make_run(tmp_path, "a", points(0.9))
    found = compared(tmp_path)
    assert [len(group.entries) for group in found.groups] == [1]
    assert found.groups[0].exam.score == pytest.approx(100 * points(0.9).mean())
    assert list(found.left_out) == [str(first.folder)]
    make_run(tmp_path, "a", points(0.5), figures={"data.fingerprint": "other"})
    found = compared(tmp_path)
    assert [group.values for group in found.groups] == [{"data": "981e8e07"}, {"data": "other"}]
    assert "data differ" in warned(found, "data")


def test_peaks_of_memory_of_different_things_are_told(tmp_path):
    make_run(tmp_path, "a", points(0.5), figures={"memory.peak_of": "training"})
    make_run(tmp_path, "b", points(0.5), settings={"optimizer.lr": 0.1})
    told = warned(compared(tmp_path), "peak memory")
    assert re.fullmatch("peak memory is not of one thing: of training in a/.*; of all in b/.*", told)


def test_configurations_that_look_alike_keep_labels_of_their_own(tmp_path):
    for i, rate in enumerate((0.01, 0.010000001, 0.02)):
        make_run(tmp_path, "a", points(0.2 + i / 4), settings={"optimizer.lr": rate})
    found = compared(tmp_path)
    assert len({group.label for group in found.groups}) == 3
    assert found.against.keys() == {group.label for group in found.groups[1:]}


def test_the_best_is_tested_and_named_only_where_it_is_shown(tmp_path):
    for seed in range(4):
        draw = np.random.default_rng(seed).random(60)
        make_run(tmp_path, "good", draw < 0.9, seed=seed, settings={"method.init_args.r": 16})
        make_run(tmp_path, "fair", draw < 0.85, seed=seed, settings={"method.init_args.r": 8})
        make_run(tmp_path, "poor", draw < 0.2, seed=seed, settings={"method.init_args.r": 2})
    found = compared(tmp_path)
    assert [group.label for group in found.groups] == ["good", "fair", "poor"]
    assert found.against["poor"].shown
    assert found.against["poor"].comparisons == 3, "of three, any pair could have been the first two"
    assert not found.against["fair"].shown
    assert found.winner is None
    assert closing(found)["shown"] == "no winner: no difference to fair is shown"
    two = compared(tmp_path / "good", tmp_path / "poor")
    assert two.winner is two.best is two.groups[0]
    assert closing(two)["shown"] == "yes: it is better than the other"


def test_one_seed_is_not_called_more_than_it_is(tmp_path):
    make_run(tmp_path, "a", [1.0] * 40)
    make_run(tmp_path, "b", [0.0] * 40, settings={"optimizer.lr": 1.0})
    found = compared(tmp_path)
    assert closing(found)["shown"].endswith("seeds were not varied, so that it may be the seed")
    assert warned(found, "one seed only").startswith("one seed only: a, b;")


def test_runs_that_cannot_be_compared_are_listed_and_cost_nothing(tmp_path):
    good = make_run(tmp_path, "good", points(0.5), steps=20)
    broken = {name: make_run(tmp_path, name, points(0.5), steps=20).folder for name in "abcdef"}
    (broken["a"] / "summary.json").unlink()
    (broken["b"] / "summary.json").write_text('{"exam": {"aft')
    (broken["c"] / "config.yaml").write_text("a: [1\n b")
    (broken["d"] / "exam/after.jsonl").write_text('{"id": "exam-000", "ques')
    (broken["e"] / "exam/after.jsonl").unlink()
    (broken["f"] / "config.yaml").write_bytes(b"\xff\xfe")
    found = compared(tmp_path)
    assert [entry.run.folder for entry in found.groups[0].entries] == [good.folder]
    reasons = {folder: found.left_out[str(folder)] for folder in broken.values()}
    assert reasons[broken["a"]].startswith("not finished, step 20, validation loss 0.")
    assert all(reasons[broken[name]].startswith("broken (") for name in "bcdf")
    assert reasons[broken["e"]] == "its exam has no answers"
    with pytest.raises(FtlabError, match=r"no run that could be compared; .*not finished.*and 1 more"):
        compared(broken["a"], broken["b"])


def test_what_differs_besides_the_settings_is_warned_of(tmp_path):
    half = points(0.5)
    fair = make_run(tmp_path, "fair", half)
    assert compared(
        fair.folder, make_run(tmp_path, "same", points(0.6), settings={"optimizer.lr": 1}).folder
    ).warnings == ["one seed only: same, fair; a single run may be its seed's luck, run it with other seeds too"]

    def against(start, exam=half, first=0, seed=7, **changed):
        settings = {"optimizer.lr": 0.1} | changed.pop("settings", {})
        other = make_run(tmp_path / "others", f"o{first}", exam, first=first, seed=seed, settings=settings, **changed)
        return warned(compared(fair.folder, other.folder), start)

    assert "240,000 in fair, 480,000 in o0" in against("tokens differ", figures={"tokens_per_second": 12_000.0})
    assert "981e8e07282e204b in fair/" in against("data differ", figures={"data.fingerprint": "f" * 16})
    assert "7 (fair); 8 (o0)" in against("seeds differ", seed=8)
    assert "40 in fair/" in against("exams differ in questions", points(0.5, 30))
    assert "only the 10 that all have" in against("exams differ in questions", first=30)
    assert "none is in all" in against("exams differ in questions", first=1000)
    marker = {"class_path": "ftlab.Contains", "init_args": {}}
    assert "Marker (begin {{ans:) in fair" in against("exams differ in the grader", settings={"exam.grader": marker})
    assert "max_new_tokens 48 in fair" in against("exams differ in how", settings={"exam.max_new_tokens": 9})
    assert "0.1.0 in fair" in against("versions of ftlab differ", figures={"ftlab": "0.2.0"})
    assert "o0/" in against("resumed", figures={"resumed_from": "x/last.ckpt"})
    assert "o0/" in against("the best checkpoint of", figures={"best.by": "exam/score"})
    assert "o0/" in against("no exam", None)


def test_other_weights_under_one_name_are_warned_of(tmp_path):
    make_run(tmp_path, "a", points(0.5), seed=1)
    other = make_run(tmp_path, "b", points(0.5), seed=2)
    (other.best / "ftlab.json").write_text(json.dumps({"weights": "other"}))
    assert "other in b/" in warned(compared(tmp_path), "weights of ftlab/tiny differ")


def test_scores_of_other_questions_or_graders_are_not_tested(tmp_path):
    make_run(tmp_path, "a", [1.0] * 40)
    make_run(tmp_path, "b", [0.0] * 40, first=100)  # the same settings: another exam under the same name
    grader = {"class_path": "ftlab.Contains", "init_args": {}}
    make_run(tmp_path, "c", [0.0] * 40, settings={"exam.grader": grader})
    make_run(tmp_path, "d", [0.0] * 40, first=20, settings={"optimizer.lr": 1.0})
    found = compared(tmp_path)
    assert found.against.keys() == {"d"}
    assert found.against["d"].questions == 20
    assert found.winner is None
    assert "b, c sat no exam that could be held against it" in closing(found)["shown"]


def test_figures_are_those_of_the_files(tmp_path):
    retention = describe_retention(sitting([1.0] * 8 + [0.0] * 2), sitting([1.0] * 6 + [0.0] * 4))
    shots = {"shots-4": sitting([1.0] * 10 + [0.0] * 30)}
    run = make_run(
        tmp_path, "a", [1.0] * 30 + [0.0] * 10, steps=40, shots=shots, figures={"retention": {"facts": retention}}
    )
    assert run.summary["exam"]["shots"].keys() == {"4"}
    [group] = compared(tmp_path).groups
    found = figures(group.entries[0])
    assert (found["exam"], found["gain"]) == (75, 75)
    assert found["shots-4"] == 25
    assert (found["retention/facts"], found["kept/facts"]) == (60, 0.75)
    assert found["trainable"] == pytest.approx(12 / 224)
    assert found["tokens"] == 240_000
    assert found["points_per_hour"] == pytest.approx(75 * 90)
    assert found["points_per_gigabyte"] == pytest.approx(75 / 0.9)
    assert group.states == {group.entries[0].state: 1} != {"": 1}


def test_sorting_and_the_pareto_front(tmp_path):
    made = {"cheap": (0.2, 10.0), "dear": (0.9, 100.0), "worse": (0.1, 50.0), "middle": (0.5, 50.0)}
    for i, (name, (share, seconds)) in enumerate(made.items()):
        right = [1.0] * int(40 * share) + [0.0] * (40 - int(40 * share))
        make_run(tmp_path, name, right, figures={"seconds.train": seconds}, settings={"method.init_args.r": 2**i})
    found = compared(tmp_path)
    assert [group.label for group in found.groups] == ["dear", "middle", "cheap", "worse"]
    assert [group.label for group in found.front("seconds")] == ["cheap", "middle", "dear"]
    assert compared(tmp_path, sort="seconds").groups[0].label == "cheap"
    by_rank = compared(tmp_path, sort="method.r")
    assert [group.label for group in by_rank.groups] == list(made)
    assert by_rank.best.label == "dear"
    with pytest.raises(FtlabError, match=r"--sort: second: .*did you mean seconds"):
        compared(tmp_path, sort="second")


def test_a_hundred_runs_are_each_read_once(tmp_path):
    global WATCHING
    for i in range(100):
        settings = {"method.init_args.r": 2 + i // 2}
        make_run(tmp_path, f"r{i // 2}", points(0.5 + i / 400, 20, i), seed=i % 2, steps=12, settings=settings)
    WATCHING = True
    try:
        found = compared(tmp_path)
        closing(found)
    finally:
        WATCHING = False
    assert len(found.groups) == 50
    opened = Counter(file for file in OPENED if str(tmp_path) in file)
    for name in ("config.yaml", "summary.json", "metrics.csv", "exam/after.jsonl"):
        times = [number for file, number in opened.items() if file.endswith(name)]
        assert times == [1] * 100, name
    assert not [file for file in opened if file.endswith("before.jsonl")], "nothing needs it"

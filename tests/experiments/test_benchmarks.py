"""The benchmark: its work is what it says, its figures are in its README, and its short form fails where it should."""

import json

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.experiments.scripts import load, run

FOLDER = ROOT / "experiments/benchmarks"
NAMES = ("bench", "bars", "measuring", "overhead", "peers", "scaling", "showing", "work")
bench, bars, measuring, overhead, peers, scaling, showing, work = (load(FOLDER / f"{name}.py") for name in NAMES)
TABLES = {"results": showing.table, "overhead": overhead.table, "scaling": scaling.table}


@pytest.fixture(scope="module")
def chats():
    return work.synthetic_chats(400, seed=1)


def test_synthetic_chats_are_as_long_as_real_ones(chats):
    lengths = [work.count(row["messages"]) for row in chats]
    assert np.mean(lengths) == pytest.approx(320, rel=0.03)
    for percentile, length in {5: 169, 50: 295, 95: 550, 99: 766, 100: 1067}.items():
        assert np.percentile(lengths, percentile) == pytest.approx(length, rel=0.07)
    answered = [len(work.tokenizer()(row["messages"][-1]["content"])["input_ids"]) for row in chats]
    assert sum(answered) / sum(lengths) == pytest.approx(0.59, abs=0.01)
    assert chats[:20] == work.synthetic_chats(400, seed=1)[:20] != work.synthetic_chats(400, seed=2)[:20]


def test_fitted_chats_are_cut_and_batches_carry_a_third_of_padding(chats):
    lengths = np.array([work.count(row["messages"]) for row in work.fitted(chats[:240])])
    assert lengths.max() == work.MAX_LENGTH
    batches = lengths.reshape(-1, 8)
    assert 0.31 <= 1 - batches.sum() / (8 * batches.max(axis=1).sum()) <= 0.36


def test_characters_of_several_tokens_are_cut_whole():
    [row] = work.fitted([work.chat(" how", "÷" * 600)])
    assert set(row["messages"][-1]["content"]) == {"÷"}
    assert work.MAX_LENGTH - 2 <= work.count(row["messages"]) <= work.MAX_LENGTH
    with pytest.raises(ValueError, match="prompt alone"):
        work.fitted([work.chat("÷" * 600, "4")])


def test_many_rows_are_as_long_as_the_few_and_no_two_alike(chats, tmp_path):
    few = tmp_path / "train.jsonl"
    rows = work.fitted(chats[:20])
    few.write_text("".join(json.dumps(row) + "\n" for row in rows))
    many = [json.loads(line) for line in scaling.write_many(few, 60).read_text().splitlines()]
    assert [work.count(row["messages"]) for row in many] == 3 * [work.count(row["messages"]) for row in rows]
    assert len({row["messages"][1]["content"] for row in many}) == 60


def report(cpu_seconds, peak=100, wall=1.0):
    return {
        "steps": 2,
        "trained": 7,
        "tokens": 100,
        "learnt": 0.5,
        "padding": 0.25,
        "cpu_seconds": cpu_seconds,
        "wall_seconds": wall,
        "peak_bytes": peak,
        "losses": [3.0, 2.0],
        "versions": {"torch": "1"},
    }


def test_ratios_are_taken_round_by_round():
    raw = [report(10.0, 100), report(20.0, 100), report(40.0, 200)]
    found = measuring.summary([report(5.0, 50), report(5.0, 30), report(5.0, 80)], raw)
    assert (found["speed"], found["memory"]) == (4.0, 0.4)
    assert found["tokens_per_cpu_second"] == 20.0
    assert (found["first_loss"], found["loss"], found["last_loss"]) == (3.0, 2.5, 2.0)


@pytest.mark.parametrize(
    ("speed", "memory", "worse"),
    [(3.0, 0.5, False), (2.71, 0.54, False), (2.69, 0.5, True), (3.0, 0.56, True), (4.0, 0.3, False)],
)
def test_a_loss_beyond_a_tenth_fails(speed, memory, worse):
    assert bench.lost({"speed": 3.0, "memory": 0.5}, {"speed": speed, "memory": memory}) is worse


def test_the_table_leaves_empty_what_was_not_measured():
    raw = measuring.summary([report(10.0)], [report(10.0)])
    text = showing.shape_table({"1": {"raw": raw}, "2": {"raw": raw, "trl": raw}})
    assert "| raw PyTorch loop | 10 | 1.00 | 0 MB | 1.00 | 25 % | 3.00 to 2.00 | 100 | 1.00 |\n" in text
    assert "| TRL SFTTrainer | | | | | | | 100 | 1.00 |\n" in text


def recorded(name):
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else None


@pytest.mark.parametrize("file", TABLES)
def test_the_readme_shows_what_was_recorded(file):
    found = recorded(file)
    text = TABLES[file](found) if found else "Not recorded yet.\n"
    assert f"<!-- {file} -->\n{text}<!-- end -->\n" in (FOLDER / "README.md").read_text()


def test_the_readme_shows_the_bars_beside_what_was_recorded():
    text = bars.bars(recorded("results"), recorded("scaling"))
    assert f"<!-- bars -->\n{text}<!-- end -->\n" in (FOLDER / "README.md").read_text()


def test_bars_are_read_from_what_was_measured_and_say_what_is_missed():
    found = {name: {"speed": 1.0, "wall_speed": 1.0, "memory": 1.0} for name in measuring.CONTENDERS}
    found["ftlab"] = {"speed": 2.8, "wall_speed": 2.6, "memory": 0.61}
    found["ms_swift"]["speed"] = 1.4
    large = found | {"ftlab": {"speed": 6.0, "wall_speed": 6.0, "memory": 0.2}}
    text = bars.bars({"small": {"1": found, "2": found}, "large": {"1": large}}, {"time": 1.04, "memory": 1.06})
    assert "| small: speed, of the raw loop's | at least 2.7 | 2.80 | 2.60, missed |\n" in text
    assert "| small: speed, of ms-swift's | at least 2.6 | 2.00, missed | 2.60 |\n" in text
    assert "| small: peak memory, of the raw loop's | at most 0.6 | 0.61, missed | 0.61, missed |\n" in text
    assert "| large: speed, of the fastest peer's | at least 4 | 4.29 | |\n" in text
    assert "| large: peak memory, of the raw loop's | at most 0.2 | 0.20 | |\n" in text
    assert "| time for a token with 100,000 rows, of that with 1,000 | 0.95 to 1.05 | 1.04 | |\n" in text
    assert "| peak memory with 100,000 rows, of that with 1,000 | 0.95 to 1.05 | 1.06, missed | |\n" in text
    assert bars.bars({}, None).count("missed") == 0


def test_a_contender_that_trains_something_else_is_refused():
    bench.require_equal(report(1.0), report(2.0))
    with pytest.raises(RuntimeError, match="it trains 8 parameters, and the raw loop 7"):
        bench.require_equal(report(1.0) | {"trained": 8}, report(2.0))


def test_missing_environments_are_told_before_anything_runs(tmp_path):
    measuring.require_environments(["raw", "trl"], tmp_path)
    with pytest.raises(SystemExit, match=r"ms_swift: no .*peers\.py"):
        measuring.require_environments(["raw", "ms_swift"], tmp_path)


def test_all_contenders_have_a_script_and_a_place_in_the_record():
    recorded = json.loads((FOLDER / "results.json").read_text())["small"]["1"]
    assert recorded.keys() == measuring.CONTENDERS.keys()
    assert peers.PACKAGES.keys() <= measuring.CONTENDERS.keys()
    for contender in measuring.CONTENDERS.values():
        assert (FOLDER / "contenders" / f"{contender.script}.py").is_file()


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path):
    options = ["--folder", tmp_path, "--results", tmp_path, "--shapes", "tiny", "--rounds", "1", "--steps", "1", "2"]
    run(FOLDER / "bench.py", *options, "--contenders", "raw", "ftlab")
    found = json.loads((tmp_path / "results.json").read_text())["tiny"]["1"]
    assert found.keys() == {"raw", "ftlab"}
    assert found["ftlab"]["first_loss"] == pytest.approx(found["raw"]["first_loss"], rel=0.01)
    assert (tmp_path / "benchmarks.svg").read_text().count("ftlab fit") >= 1

"""A survey on one screen, at its worst, and in a few lines."""

from dataclasses import replace

import pytest

from ftlab import ChatData
from ftlab.data.preparation import Prepared
from ftlab.data.quality.cleaning import StepReport
from ftlab.data.quality.description import Description, Found, Histogram, Lengths
from ftlab.data.quality.leaks import Leak, Leaks
from ftlab.report.survey import TRAITS, Survey, survey
from ftlab.report.survey_charts import histograms
from ftlab.report.survey_text import bars, screen, short

NONE = Found(0, 0.0, 0, [])


def described(found, warnings):
    return Description(
        rows=1200,
        sources={f"source {i}": 12 for i in range(100)},
        turns={2: 900, 5: 10, 8: 290},
        tokens=Lengths(60000, 50.0, 48, 90, 700, 512, 24, 0.02, Histogram([10.0, 300.0, 700.0], [1190, 10])),
        supervised_share=0.4,
        scripts={"Latin": 0.9996, "Han": 0.0004},
        classes={f"answer\x1b[31m {i}": 12 for i in range(100)},
        warnings=warnings,
        **dict.fromkeys(TRAITS, found),
    )


@pytest.fixture
def worst():
    found = Found(24, 0.02, 12, [["train.jsonl:3", "train.jsonl:7"]] * 12)
    leaks = [
        Leak("near", "train", i, f"train.jsonl:{i + 1}", "exam", i, f"exam.jsonl:{i + 1}", 0.9, False)
        for i in range(50)
    ]
    steps = [StepReport(f"Step{i}", {}, 1200, 3 * (i % 2), 0, [], {}) for i in range(9)]
    splits = ("train", "validation", "test")
    prepared = Prepared({}, skipped=[f"x.jsonl:{i}: broken" for i in range(50)], leaks=Leaks(leaks, {"exam": 100}))
    prepared.cleaning = dict.fromkeys(splits, steps)
    description = described(found, [f"warning {i}; add rows" for i in range(9)])
    return Survey(
        dict.fromkeys(splits, description),
        prepared,
        {"exam": 200},
        ["y.jsonl:1: refused"] * 50,
        ["z.jsonl:1: long"] * 7,
    )


@pytest.fixture
def best():
    return Survey({"train": described(NONE, [])}, Prepared({}))


def test_the_screen_has_at_most_forty_lines(worst):
    lines = screen(worst)
    assert 35 <= len(lines) <= 39, "one more is the heading"
    assert all(len(line) <= 120 for line in lines)
    text = "\n".join(lines)
    for said in (
        "24 (2 %)",
        "and 3 more",
        "and 47 more",
        "train.jsonl:1 and exam.jsonl:1 (exam): near",
        "shared by 100 of exam",
    ):
        assert said in text
    assert "LEAKS      50: a run stops here, see data.on_leak" in text
    assert "left out   57: 50 at fault, 7 too long or with nothing to learn" in text
    assert "\x1b" not in text


def test_the_short_form_has_about_six_lines(worst, best):
    assert len(short(worst, worst.descriptions["train"].rows)) <= 9
    assert short(worst, worst.descriptions["train"].rows)[0] == (
        "data       1,200 rows, 2 to 8 turns, tokens 48 (median), 90 (p95), 700 (max), 24 beyond max_length 512, "
        "40 % learnt"
    )
    assert len(short(best, best.descriptions["train"].rows)) == 2


def test_nothing_wrong_is_said_too(best):
    text = "\n".join(screen(best))
    assert "no duplicates, conflicts, empty, very short or cut off answers" in text
    assert "nothing is held out that could leak" in text
    assert "warning" not in text


def test_steps_with_an_effect_stand_first(worst):
    lines = screen(worst)
    first = next(i for i, line in enumerate(lines) if line.startswith("cleaning"))
    assert lines[first].split(maxsplit=1)[1] == "train      Step1: 3 of 1,200 changed, 0 left out"
    assert "Step3" in lines[first + 1]
    assert lines[first + 3].strip().startswith("no effect: Step0 (train, validation, test), Step2")


@pytest.mark.parametrize(
    ("on_leak", "said"),
    [
        ("drop", "LEAKS      50: 1 training row left out, 1 between held-out splits stay (data.on_leak: drop)"),
        ("warn", "LEAKS      50: a run learns them all the same (data.on_leak: warn)"),
    ],
)
def test_it_is_said_what_was_done_about_leaks(worst, on_leak, said):
    worst.prepared.leaked.append("train.jsonl:1: leaks")
    worst.prepared.leaks.found[0] = replace(worst.prepared.leaks.found[0], split="validation")
    done = replace(worst, on_leak=on_leak)
    assert any(line.startswith(said) for line in screen(done))
    [opening] = [line for line in short(done, 1200) if line.startswith("LEAKS")]
    assert opening.startswith(said)
    assert ("exam.jsonl:1 (exam)" in "".join(short(done, 1200))) is (on_leak == "warn"), "a run names what it drops"


@pytest.mark.parametrize("unfit", ["drop", "truncate"])
def test_what_is_cut_off_is_longer_than_allowed_too(chat, write_chats, unfit):
    train = write_chats("t.jsonl", *[(f"What is {i}?", "yes " * 10 * (1 + i % 2)) for i in range(8)])
    found = survey(ChatData(train, max_length=40, unfit=unfit), chat).descriptions["train"].tokens
    assert (found.beyond, found.beyond_share) == (4, 0.5)
    assert found.max > 40


def test_documents_have_no_turns(worst):
    documents = replace(worst.descriptions["train"], turns={})
    found = replace(worst, descriptions={"train": documents})
    row = next(line for line in screen(found) if line.startswith("train "))
    assert row.split()[1:3] == ["1,200", "-"]
    assert "turns" not in short(found, 1200)[0]
    assert [chart.title for chart in histograms(found)] == ["Tokens per row"]
    assert len(histograms(worst)) == 2


def test_bars_show_what_is_rare():
    assert bars([0, 1, 500, 1000]) == " ▁▅█"
    assert bars([]) == bars([0])[:0] == ""

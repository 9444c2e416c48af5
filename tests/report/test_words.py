"""The words of the report: verdicts, grades, units."""

from __future__ import annotations

import pytest

from ftlab.exam.sitting import Answer, Sitting, pair_answers
from ftlab.report import questions, units
from ftlab.report.results import result


def scored(score):
    return {"score": score, "low": 0.0, "high": 100.0}


def told(points, p, **kept):
    """Return the result of an exam that the summary tells so."""
    exam = {"questions": 1, "before": scored(12), "after": scored(12 + points), "p_value": p, "verdict": "better by 3"}
    exam |= {"difference": {"points": points, "low": -0.04, "high": 9.96}, "kept": kept or None}
    return result({"exam": exam}, "exam", {})


@pytest.mark.parametrize(
    ("points", "p", "said"),
    [
        (79.25, 0.0001, "+79.2 points (0 to +10), p < 0.001"),
        (-1.0, 0.31, "-1 points (0 to +10), p = 0.310"),
        (-0.04, 1.0, "0 points (0 to +10), p = 1.000"),
    ],
)
def test_difference(points, p, said):
    assert told(points, p).difference == f"Tuned minus base: {said}"


def test_the_verdict_is_the_summarys():
    assert told(3.0, 0.01).verdict == "Better by 3"
    assert result({"exam": {"before": scored(1)}}, "exam", {}).verdict == ""


def test_what_is_kept():
    assert told(1.0, 1.0, share=0.944, low=0.9, high=1.02).kept == "kept 94 % (90 to 102)"
    assert told(1.0, 1.0).kept == "nothing to keep"
    assert result({}, "retention/x", {"before": Sitting([Answer("a", "", "", "", 1.0)])}).kept == ""


def test_scale():
    assert told(1.0, 1.0).scale == "Points of 100 over 1 question, with their 95 % intervals."


def test_examples_stand_between_base_and_tuned_by_their_number():
    exam = {"before": scored(1), "after": scored(4), "shots": {"16": scored(3), "1": scored(2)}}
    names = [(one.name, one.score.score) for one in result({"exam": exam}, "exam", {}).taken]
    assert names == [("base", 1), ("base with 1 example", 2), ("base with 16 examples", 3), ("tuned", 4)]


def test_a_question_has_what_each_model_gave():
    asked = {"question": "", "reference": ""}
    before = Sitting([Answer(id="a", answer="x", points=0.0, **asked), Answer(id="b", answer="y", points=0.0, **asked)])
    few = Sitting([Answer(id="a", answer="z", points=1.0, section="s", **asked)])
    [first, second] = questions.question_rows({"before": before, "shots-4": few, "shots-1": few, "step-3": few})
    assert [(one.name, one.answer) for one in first["given"]] == [("Base", "x"), ("Tuned", None)]
    names = [(one.name, one.answer) for one in first["with_examples"]]
    assert names == [("Base with 1 example", "z"), ("Base with 4 examples", "z")]
    assert [one.answer for one in second["with_examples"]] == [None, None]
    assert (first["section"], second["section"]) == ("s", "")


def test_each_question_falls_under_its_groups():
    before = [("a", 0), ("b", 1), ("c", 0.5), ("gone", 1), ("same", 0)]
    after = [("same", 0), ("b", 0.5), ("c", 1), ("a", 1), ("new", 0.7)]
    sittings = [Sitting([Answer(key, "", "", "", points) for key, points in answers]) for answers in (before, after)]
    rows = pair_answers(*sittings)
    assert {row["id"]: questions.change(row) for row in rows} == {
        "a": "better",
        "b": "worse",
        "c": "better",
        "gone": "",
        "same": "same",
        "new": "",
    }
    counts = {"all": 6, "wrong": 1, "partly": 2, "better": 2, "worse": 1, "right": 2}
    assert questions.count_groups(rows) == counts


def test_grades():
    said = {points: questions.grade_label(points) for points in (0.0, 0.25, 0.5, 1.0)}
    assert said == {0.0: "wrong", 0.25: "0.25 points", 0.5: "half right", 1.0: "right"}


def test_units():
    seconds = {7.24: "7.2 s", 59.4: "59 s", 59.6: "1 min 0 s", 90.1: "1 min 30 s", 7500: "2 h 5 min"}
    assert {value: units.duration(value) for value in seconds} == seconds
    sizes = {12: "12 bytes", 656_800: "657 kB", 999_900: "1 MB", 1_288_490_188: "1.29 GB", 4e12: "4,000 GB"}
    assert {value: units.size(value) for value in sizes} == sizes
    scores = {91.0: "91", 99.6: "99.6", 0.04: "0", 100.0: "100"}
    assert {value: units.short(value) for value in scores} == scores

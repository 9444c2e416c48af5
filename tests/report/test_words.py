"""The words of the report: verdicts, grades, units."""

from __future__ import annotations

import pytest

from ftlab.exam.sitting import Answer, Sitting, pair_answers
from ftlab.report import facts, questions, units


@pytest.mark.parametrize(
    ("p_value", "after", "verdict"),
    [
        (0.0001, 91.25, "79.2 points better, p < 0.001"),
        (0.31, 11.0, "1 point worse, p = 0.310: chance alone may explain it"),
        (1.0, 12.0, "No difference, p = 1.000"),
        (None, 13.0, "1 point better"),
    ],
)
def test_verdict(p_value, after, verdict):
    scores = {name: {"score": score, "low": 0.0, "high": 100.0} for name, score in (("before", 12.0), ("after", after))}
    assert facts.result({"exam": {**scores, "p_value": p_value}}, None, None).verdict == verdict


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

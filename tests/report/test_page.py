"""The report of one run: what the page holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ftlab.exam.statistics import format_p
from ftlab.report.page import write_report

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """A parsed page: its ids, what it loads, its text. It must be properly nested."""

    def __init__(self, file):
        super().__init__()
        self.source = file.read_text(encoding="utf-8")
        self.ids, self.named, self.addresses = [], [], []
        self.scripts, self.text = 0, ""
        self._open = []
        self.feed(self.source)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        values = {key: value or "" for key, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.named += values.get("aria-labelledby", "").split()
        self.addresses += [values[key] for key in ("href", "src", "xlink:href", "action") if key in values]
        self.scripts += tag == "script"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(finished_run):
    """The page of a run that ended."""
    return Page(finished_run.report_file)


def test_says_what_the_summary_says(page, finished_run):
    for said in (finished_run.folder.name, "LoRA", "r 8, alpha 16.0", "ftlab/tiny", "of 250, epoch 3, exam/score 91"):
        assert said in page.text
    for said in ("162,816", "of 2,646,144, 6.15 %", "1 min 30 s", "training 1 min 11 s, exam 12 s", "3,745", "1.29 GB"):
        assert said in page.text
    exam = finished_run.summary["exam"]
    for score in (exam["before"], exam["after"]):
        assert f"{score['low']:.1f} to {score['high']:.1f}" in page.text
    assert f"points better, {format_p(exam['p_value'])}" in page.text
    assert "Points of 100 over 200 questions, paired test." in page.text
    assert re.search(r"Dropped rows\s*3 listed in dropped.txt", page.text)


def test_stands_alone(page):
    assert len(page.ids) == len(set(page.ids)), "an id is there twice"
    assert set(page.named) <= set(page.ids), "a label points nowhere"
    inside = {address[1:] for address in page.addresses if address.startswith("#")}
    assert inside <= set(page.ids), "a link points nowhere"
    assert {address for address in page.addresses if not address.startswith("#")} == {"data:,"}
    assert not re.search(r"url\(\s*['\"]?(?!#)|@import", page.source)
    assert page.scripts == 1, "an answer opened a script"


def test_shows_contents_as_they_are(page, finished_run, make):
    assert page.text.count(make.hostile) == 4
    assert finished_run.config_file.read_text(encoding="utf-8") in page.text


def test_pictures_have_names_and_descriptions_and_follow_the_colour_scheme(page):
    pictures = re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL)
    titles = []
    for source in pictures:
        svg = ElementTree.fromstring(source)
        titles.append(svg.findtext("title"))
        assert svg.findtext("desc").endswith(".")
        assert not re.search(r"(fill|stroke): #", source), "a colour that no scheme changes"
    assert titles == ["Exam score of 100", "Loss", "Exam score", "Perplexity of the validation data", "Learning rate"]
    assert "Training loss from" in pictures[1]
    assert "best: step 200" in pictures[1]


def test_is_the_same_when_made_again(page, finished_run):
    assert write_report(finished_run).read_text(encoding="utf-8") == page.source


def test_without_an_exam(make):
    page = Page(write_report(make.without_exam()))
    assert "This run had no exam." in page.text
    assert "Exam score" not in page.text
    assert "validation/loss 0.3801" in page.text


def test_without_validation(make):
    page = Page(write_report(make.without_exam(validation=False)))
    assert "Loss" in page.text
    assert "Perplexity" not in page.text
    assert "best: step" not in page.text


def test_under_way(make):
    run = make.under_way()
    page = Page(write_report(run))
    for said in ("Not finished.", "step 37", "not answered", "LoRA", "ftlab/tiny"):
        assert said in page.text
    score = run.sitting("before").score
    assert f"{score.low:.1f} to {score.high:.1f}" in page.text


def test_only_begun(make):
    page = Page(write_report(make.begun()))
    assert "No metrics were logged yet." in page.text
    assert "No answers yet." in page.text


def test_draws_what_is_finite_and_the_later_of_two_values_for_one_step(make):
    run = make.begun()
    lines = ["step,epoch,train/loss,validation/loss", "1,0,nan,inf", "2,0,1000,", "3,0,1,", "2,0,900,7"]
    (run.folder / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    page = Page(write_report(run))
    assert "Training loss from 900 at step 2 to 1 at step 3; validation loss from 7 at step 2" in page.text


def test_half_a_surrogate_pair_does_not_cost_the_page(make):
    run = make.begun()
    file = run.sitting_file("before")
    file.parent.mkdir()
    line = r'{"id": "1", "question": "\ud83e", "reference": "", "answer": " ", "points": 0.7}'
    file.write_text(line + "\n", encoding="utf-8")
    page = Page(write_report(run))
    assert r"\ud83e" in page.text
    assert "0.7 points" in page.text

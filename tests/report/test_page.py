"""The report of one run: what the page holds."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ftlab.exam.sitting import Sitting
from ftlab.exam.statistics import difference, verdict
from ftlab.report.page import write_report
from ftlab.report.units import short

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
    for score in (exam["before"], exam["shots"]["2"], exam["after"], exam["parts"]["BLEU"], exam["parts"]["hard"]):
        assert f"{short(score['low'])} to {short(score['high'])}" in page.text
    assert f"T{exam['verdict'][1:]}" in page.text
    assert "the tuned model beats the base by" in page.text
    assert f"Tuned minus base: +{short(exam['difference']['points'])} points" in page.text
    assert "Points of 100 over 200 questions, with their 95 % intervals." in page.text
    assert re.search(r"Dropped rows\s*3 listed in dropped.txt", page.text)


def test_tells_totals_as_figures_and_tables(page):
    assert re.search(r"bleu\s*31.23", page.text)
    assert re.search(r"f1\s*0.8125", page.text)
    assert re.search(r"class 3\s*0.75\s*0.3333", page.text)
    assert re.search(r"class 2\s*3\s*3\s*23\s*3", page.text)
    assert page.source.count("--share: ") == 14 * 15
    assert 'style="--share: 21%">23<' in page.source, "a cell of 23 of 65 in its row is not tinted by its share"


def test_tells_what_was_kept(page, finished_run):
    kept = finished_run.summary["retention"]["stories"]
    share, low, high = (round(100 * kept["kept"][key]) for key in ("share", "low", "high"))
    assert share < 100
    assert f"kept {share} % ({low} to {high})" in page.text
    assert f"Tuned minus base: {short(kept['difference']['points'])} points" in page.text
    assert f"retention/stories from {kept['before']['score']:.3g} at step 0 to 82.5 at step 250" in page.text


def test_tells_the_state_and_what_to_do_next(page, finished_run):
    diagnosis = finished_run.summary["diagnosis"]
    for said in ("underfitting", *diagnosis["evidence"], diagnosis["cause"], diagnosis["advice"], diagnosis["next"]):
        assert said in page.text
    folder = finished_run.folder
    assert f"ftlab fit --config {folder}/config.yaml --config {folder}/next.yaml" in page.text
    assert "1 of 40 training answers came back word for word on changed questions" in page.text
    for said in ("How much is 4 + 9?", "How much is 3 + 7?", "4 + 9 = 13"):
        assert said in page.text


def test_a_state_without_a_next_run(make):
    run = make.finished(20)
    run.write_summary(run.summary | {"diagnosis": {"state": "successful", "evidence": ["exam 10 -> 90"], "next": None}})
    page = Page(write_report(run))
    assert "exam 10 -> 90" in page.text
    assert "Settings of the next run" not in page.text


def test_stands_alone(page):
    assert len(page.ids) == len(set(page.ids)), "an id is there twice"
    assert set(page.named) <= set(page.ids), "a label points nowhere"
    inside = {address[1:] for address in page.addresses if address.startswith("#")}
    assert inside <= set(page.ids), "a link points nowhere"
    assert {address for address in page.addresses if not address.startswith("#")} == {"data:,"}
    assert not re.search(r"url\(\s*['\"]?(?!#)|@import", page.source)
    assert page.scripts == 1, "an answer opened a script"


def test_shows_contents_as_they_are(page, finished_run, make):
    assert page.text.count(make.hostile) == 6, "question, reference, base, tuned, a sample, with examples"
    assert finished_run.config_file.read_text(encoding="utf-8") in page.text


def test_pictures_have_names_and_descriptions_and_follow_the_colour_scheme(page):
    pictures = re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL)
    titles = []
    for source in pictures:
        svg = ElementTree.fromstring(source)
        titles.append(svg.findtext("title"))
        assert svg.findtext("desc").endswith(".")
        assert not re.search(r"(fill|stroke): #", source), "a colour that no scheme changes"
    charts = ["Loss", "Exam and retention, of 100", "Perplexity of the validation data", "Learning rate"]
    assert titles == ["Exam score of 100", "Score of stories of 100", *charts]
    for name in ("base", "2 examples", "tuned"):
        assert f">{name}</text>" in pictures[0]
    assert "Training loss from" in pictures[2]
    assert "best: step 200" in pictures[2]


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
    assert f"{short(score.low)} to {short(score.high)}" in page.text


def test_under_way_with_both_sittings(make):
    run = make.under_way()
    before = run.sitting("before")
    after = Sitting([replace(answer, points=1.0) for answer in before.answers])
    after.write(run.sitting_file("after"))
    said = str(verdict(difference(before.points, after.points)))
    assert f"B{said[1:]}" in Page(write_report(run)).text


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

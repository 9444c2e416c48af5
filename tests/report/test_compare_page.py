"""The page of a comparison in a real Chromium at two sizes: table, curves, answers, and no contents that run."""

import numpy as np
import pytest

from ftlab.comparison import compare, find_runs, read_entries
from ftlab.exam.sitting import Answer
from ftlab.report.compare_page import write_comparison
from tests.comparison.folders import make_run, sitting

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'> &amp; \u2028 日本 {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Three configurations of two seeds with different costs, one run with hostile answers."""
    root = tmp_path_factory.mktemp("runs")
    for name, share, rate in (("first", 0.9, 0.01), ("second<b>", 0.6, 0.001), ("third", 0.2, 0.0001)):
        for seed in (1, 2):
            points = np.random.default_rng(seed).random(40) < share
            figures = {"seconds.train": 1e5 * rate * (1 + seed / 10)}
            run = make_run(root, name, points, seed=seed, steps=80, settings={"optimizer.lr": rate}, figures=figures)
            if name == "third":
                hostile = sitting(points)
                hostile.answers[0] = Answer("exam-000", "What is 0 + 1?", "1", HOSTILE, 0.0)
                hostile.answers.append(Answer("<i>", HOSTILE, HOSTILE, "", 0.5))
                hostile.write(run.sitting_file("after"))
    return compare(*read_entries(find_runs([str(root)])))


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    return write_comparison(comparison, tmp_path_factory.mktemp("page") / "compare.html")


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def opened(request, browser, page):
    width, height = request.param
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.resolve().as_uri())
    yield browser
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.hacked") is None


def texts(browser, selector):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.textContent)",
        selector,
    )


def choose(browser, name, value):
    """Choose a run, a filter or a text to search, as a reader would."""
    browser.execute_script(
        "const field = document.getElementById('filter').elements[arguments[0]]; field.value = arguments[1];"
        "document.getElementById('filter').dispatchEvent(new Event('input'))",
        name,
        value,
    )
    return texts(browser, "article h3")


def test_it_is_as_wide_as_the_screen_and_its_table_scrolls_by_itself(opened):
    assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    too_wide = opened.execute_script(
        "return [...document.querySelectorAll('body *:not(svg *, .wide *)')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 80))"
    )
    assert too_wide == []


def test_the_table_holds_all_configurations_and_is_sorted_by_a_click(opened):
    names = [name.split()[0] for name in texts(opened, "#table tbody th")]
    assert names == ["first", "second<b>", "third"]
    headers = texts(opened, "#table thead th")
    assert headers[:4] == ["configuration", "exam of 100", "against the best", "lr"]
    assert "time" in headers

    def click(title):
        opened.execute_script(
            "document.querySelectorAll('#table thead button')[arguments[0]].click()", headers.index(title)
        )
        return [name.split()[0] for name in texts(opened, "#table tbody th")]

    assert click("lr") == ["first", "second<b>", "third"]
    assert click("lr") == ["third", "second<b>", "first"]
    assert click("exam of 100") == ["first", "second<b>", "third"]


def test_a_legend_hides_the_curves_of_a_configuration(opened):
    paths = "[...document.querySelectorAll('#curves svg path')].map(p => p.getAttribute('style') ?? '')"
    drawn = opened.execute_script(
        f"return {paths}.filter(s => s.includes('--g1-line') && s.includes('fill: none')).length"
    )
    assert drawn == 6, "two seeds in three charts"
    colour = (
        "return [...document.querySelectorAll('#curves svg path')]"
        ".filter(p => p.getAttribute('style')?.includes('--g1-line')).map(p => getComputedStyle(p).stroke)"
    )
    before = set(opened.execute_script(colour))
    assert len(before) == 1
    assert "rgba(0, 0, 0, 0)" not in before
    opened.execute_script("document.querySelectorAll('#shown input')[1].click()")
    assert set(opened.execute_script(colour)) == {"rgba(0, 0, 0, 0)"}
    opened.execute_script("document.querySelector('#shown button').click()")
    assert set(opened.execute_script(colour)) == before


def test_the_filter_finds_what_one_run_got_and_another_missed(opened, comparison):
    entries = [entry for group in comparison.groups for entry in group.entries]
    a, b = entries[0], entries[2]
    got = {True: [], False: []}
    for question, points in a.points.items():
        if points != b.points[question]:
            got[points > b.points[question]].append(question[0])
    assert got[True], "nothing to tell apart"
    assert len(choose(opened, "group", "all")) == 41
    assert choose(opened, "group", "a") == got[True]
    assert choose(opened, "group", "b") == got[False]
    choose(opened, "a", "2")
    assert choose(opened, "b", "0") == got[True], "the runs were exchanged"
    choose(opened, "group", "all")
    assert choose(opened, "search", "39 + 1") == ["exam-039"]


def test_contents_are_text_and_all_answers_can_be_seen(opened):
    choose(opened, "a", "4")
    assert choose(opened, "search", "window.hacked") == ["exam-000", "<i>"]
    assert HOSTILE in texts(opened, "article .given .text")
    assert opened.execute_script("return document.querySelectorAll('.text *').length") == 0
    opened.execute_script("document.querySelector('details.everyone').open = true")
    opened.execute_async_script("setTimeout(arguments[0], 50)")
    who = texts(opened, "article:first-of-type .everyone .who")
    assert sum(each.count("seed") for each in who) == 6
    assert any("wrong" in each and each.count("third") == 2 for each in who)

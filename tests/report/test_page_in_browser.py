"""The report of one run in a real Chromium: two sizes, the filter, the search, and nothing that runs or complains."""

from __future__ import annotations

import pytest

from ftlab.report.page import write_report

WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui", reason="needs selenium").WebDriverWait


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def opened(request, browser, finished_run):
    """The page of a run with 200 questions at two sizes, about which the browser must have nothing to say."""
    width, height = request.param
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(finished_run.report_file.resolve().as_uri())
    assert browser.execute_script("return innerWidth") == width
    yield browser
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def both(finished_run):
    """Pairs of answers, before and after."""
    return list(zip(finished_run.sitting("before").answers, finished_run.sitting("after").answers, strict=True))


def find(browser, selector):
    """Return the first element that a CSS selector finds."""
    return browser.find_element("css selector", selector)


def shown(browser):
    """Return the ids of the questions that a reader sees; the page's own count must agree."""
    ids = browser.execute_script(
        "return [...document.querySelectorAll('article')].filter(a => a.checkVisibility())"
        ".map(a => a.querySelector('h3').textContent)"
    )
    assert find(browser, "output").text == f"{len(ids)} of 200 questions"
    return ids


def test_nothing_is_wider_than_the_screen(opened):
    assert not find(opened, "#details pre").is_displayed()
    opened.execute_script("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert find(opened, "#details pre").is_displayed()
    assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    cut_off = opened.execute_script(
        "return [...document.querySelectorAll('body *:not(svg *)')]"
        ".filter(e => !e.parentElement.closest('.wide') && (e.getBoundingClientRect().right > innerWidth || "
        "e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline' && !e.matches('.wide')))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert cut_off == []


def test_the_next_settings_can_be_copied(opened, finished_run):
    button = find(opened, "button[data-copy=next-settings]")
    button.click()
    WebDriverWait(opened, 5).until(lambda _: button.text in ("Copied", "Selected"))
    selected = opened.execute_script("return getSelection().toString()")
    assert selected.split() == finished_run.summary["diagnosis"]["next"].split()


def test_contents_run_nothing(opened, make):
    assert opened.execute_script("return window.hacked") is None
    assert opened.title.startswith("quickstart")
    texts = opened.execute_script("return [...document.querySelectorAll('.text')].map(e => e.textContent)")
    after = f"after {make.hostile}"
    assert [text for text in texts if "hacked" in text] == [*[make.hostile] * 3, after, after, f"few {make.hostile}"]
    assert opened.execute_script("return document.querySelectorAll('.text *').length") == 0


def test_the_filter_shows_the_chosen_questions(opened, both):
    expected = {
        "wrong": [after.id for _, after in both if after.points == 0],
        "partly": [after.id for _, after in both if after.points == 0.5],
        "better": [after.id for before, after in both if after.points > before.points],
        "worse": [after.id for before, after in both if after.points < before.points],
        "right": [after.id for _, after in both if after.points == 1],
        "all": [after.id for _, after in both],
    }
    assert shown(opened) == expected["all"]
    for group, ids in expected.items():
        assert ids, "nothing to tell apart"
        label = find(opened, f"label.{group}")
        label.click()
        assert shown(opened) == ids
        assert label.find_element("class name", "count").text == str(len(ids))
    find(opened, "input[value=all]").send_keys("\ue014")  # the right arrow key
    assert shown(opened) == expected["wrong"], "the filter does not take the keyboard"


def test_the_search_finds_text_of_questions_and_answers(opened, both):
    search = find(opened, "input[type=search]")
    search.send_keys("12 PACKS  of")
    found = [after for _, after in both if "12 packs of" in after.question]
    assert shown(opened) == [after.id for after in found]
    find(opened, "label.better").click()
    better = [after.id for before, after in both if after in found and after.points > before.points]
    assert 0 < len(better) < len(found)
    assert shown(opened) == better
    find(opened, "label.all").click()
    expected = {"finally": ["long"], "<script>": ["hostile <b>&"], "exam-007": ["exam-007"], "half right": []}
    for words, ids in expected.items():
        search.clear()
        search.send_keys(words)
        assert shown(opened) == ids
    search.send_keys("\ue007")  # Enter, which must not leave the page
    assert shown(opened) == []


def test_grades_are_told_by_words_signs_and_colours(opened):
    script = "const e = document.querySelector(arguments[0]); return [e.innerText, getComputedStyle(e).color]"
    seen = [opened.execute_script(script, f".given.{name} .grade") for name in ("right", "partly", "wrong")]
    assert [text for text, _ in seen] == ["✓ right", "◐ half right", "✗ wrong"]
    assert len({colour for _, colour in seen}) == 3


def test_two_thousand_questions(browser, make):
    browser.get(write_report(make.finished(2000)).resolve().as_uri())
    label = find(browser, "label.worse")
    label.click()
    assert find(browser, "output").text == f"{label.find_element('class name', 'count').text} of 2000 questions"
    assert browser.execute_script("return document.querySelectorAll('article:not([hidden])').length") < 100

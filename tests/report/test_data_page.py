"""The pages about data in a real Chromium: what they tell, at two sizes, with nothing that runs or complains."""

import json
import re

import pytest

from ftlab.data.module import ChatData
from ftlab.data.rows import Row, Rows
from ftlab.report.data_page import write_check_page, write_rows_page
from ftlab.report.shown import show_rows
from ftlab.report.survey import survey
from tests.conftest import ROOT

#: What a text, an answer and a file's name may hold and a page must show as it is.
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'> {{ 7 * 7 }} $x^2$ &amp;"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows of the lesson with hostile ones, one at another weight, one too long, one twice, and a leak."""
    folder = tmp_path_factory.mktemp("data")
    rows = [json.loads(line) for line in (ROOT / "experiments/lesson/train_100.jsonl").read_text().splitlines()]
    add = [("Say it " + HOSTILE, HOSTILE), ("word " * 600, "long"), ("🦙 日本\t", " b\n"), ("🦙 日本\t", " b\n")]
    for user, answer in add:
        messages = [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
        rows.append({"messages": messages})
    rows[-2]["messages"][-1]["weight"] = 0.5
    train, validation = folder / "<img src=x onerror='window.hacked=3'>.jsonl", folder / "validation.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    validation.write_text(
        "".join(line + "\n" for line in (ROOT / "experiments/lesson/validation.jsonl").read_text().splitlines()[:50])
        + json.dumps(rows[3])
        + "\n"
    )
    data = ChatData(str(train), str(validation), max_length=512, on_leak="warn")
    question = {"messages": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "1"}]}
    data.held_out["exam"] = Rows.of([Row(question["messages"], "exam.jsonl", 1)])
    return data


@pytest.fixture(scope="module")
def rows_page(data, chat, tmp_path_factory):
    count = len(data.prepare().rows["train"])
    shown = show_rows(data, chat, "train", range(1, count + 1))
    file = tmp_path_factory.mktemp("pages") / "rows.html"
    return shown, write_rows_page(shown, {"Model": "ftlab/tiny <b>", "Rows": f"{count} of {count}"}, file)


@pytest.fixture(scope="module")
def check_page(data, chat, tmp_path_factory):
    found = survey(data, chat, "stop")
    return found, write_check_page(found, {"Model": "ftlab/tiny"}, tmp_path_factory.mktemp("pages") / "check.html")


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def size(request):
    return request.param


def open_page(browser, page, size):
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.resolve().as_uri())
    assert browser.execute_script("return innerWidth") == width
    for details in browser.find_elements("css selector", "summary"):
        details.click()
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.execute_script("return window.hacked") is None
    assert browser.get_log("browser") == []


def find(browser, selector):
    return browser.find_element("css selector", selector)


def texts(browser, selector):
    return browser.execute_script(f"return [...document.querySelectorAll('{selector}')].map(e => e.textContent)")


def test_rows_hold_every_token(browser, rows_page, size):
    shown, page = rows_page
    open_page(browser, page, size)
    assert texts(browser, ".tokens .token") == [piece.shown for row in shown for piece in row.pieces]
    assert texts(browser, ".tokens .learnt, .tokens .weighted") == [
        piece.shown for row in shown for piece in row.pieces if piece.weight
    ]
    assert texts(browser, ".tokens .weighted") == ["·b", "↵\n", "<|im_end|>"]
    assert set(texts(browser, ".tokens .special")) == {"<|im_start|>", "<|im_end|>"}
    assert browser.execute_script("return document.querySelectorAll('.token *').length") == 0
    [note] = texts(browser, ".left-out")
    assert re.fullmatch(r"not learnt from: [\d,]+ tokens, data.max_length is 512", note)


def test_colours_tell_learnt_from_read(browser, rows_page, size):
    open_page(browser, rows_page[1], size)
    script = "const s = getComputedStyle(document.querySelector(arguments[0])); return [s.backgroundColor, s.color]"
    kinds = (".tokens .learnt", ".tokens .weighted", ".tokens .token:not(.learnt, .weighted)")
    assert len({tuple(browser.execute_script(script, kind)) for kind in kinds}) == 3
    line = "return getComputedStyle(document.querySelector('.tokens .learnt')).textDecorationLine"
    assert browser.execute_script(line) == "underline", "colour alone is not enough for all readers"


def test_pointing_at_a_token_tells_its_id_position_and_weight(browser, rows_page, size):
    from selenium.webdriver.common.action_chains import ActionChains

    shown, page = rows_page
    open_page(browser, page, size)
    row = next(i for i, row in enumerate(shown) if "🦙" in "".join(piece.text for piece in row.pieces))
    at, piece = next((i, piece) for i, piece in enumerate(shown[row].pieces) if piece.text == "🦙")
    token = browser.find_elements("css selector", "article")[row].find_elements("css selector", ".tokens .token")[at]
    assert not find(browser, "#told").is_displayed()
    ActionChains(browser).scroll_to_element(token).move_to_element(token).perform()
    last = piece.start + len(piece.ids) - 1
    ids = " ".join(map(str, piece.ids))
    assert find(browser, "#told").text == f"positions {piece.start} to {last}, id {ids}, weight 0"
    ActionChains(browser).move_to_element(find(browser, "h1")).perform()
    assert not find(browser, "#told").is_displayed()


def test_the_search_finds_rows_by_text_and_place(browser, rows_page, size):
    shown, page = rows_page
    open_page(browser, page, size)
    search = find(browser, "input[type=search]")
    for words, titles in {
        "日本": ["row 103", "row 104"],
        ".jsonl:100": ["row 100"],
        "nowhere to be found": [],
        "<img src=x onerror='window.hacked=2'>": ["row 101"],
        "WORD word word": ["row 102"],
    }.items():
        search.clear()
        search.send_keys(words)
        seen = browser.execute_script(
            "return [...document.querySelectorAll('article')].filter(a => a.checkVisibility())"
            ".map(a => a.querySelector('h2').textContent)"
        )
        assert seen == titles
        assert find(browser, "form output").text == f"{len(seen)} of {len(shown)} examples"


def test_the_check_tells_what_the_survey_says(browser, check_page, size):
    found, page = check_page
    open_page(browser, page, size)
    train = found.descriptions["train"]
    cells = texts(browser, "#rows tbody tr:first-child > *")
    assert cells[:2] == ["train", f"{train.rows:,}"]
    assert cells[3:7] == [
        f"{n:,.0f}" for n in (train.tokens.total, train.tokens.p50, train.tokens.p95, train.tokens.max)
    ]
    assert texts(browser, "figure h3") == ["Tokens per row", "User and assistant turns per row"]
    assert "max_length 512" in texts(browser, "figure svg")[0]
    assert texts(browser, "#warnings .notice") == found.warnings
    assert "A run would stop." in find(browser, "main > .notice").text
    leaks = found.prepared.leaks.found
    cells = texts(browser, "#leaks tbody td")
    assert [tuple(cells[i : i + 2]) for i in range(0, len(cells), 5)] == [(one.place, one.into_place) for one in leaks]
    assert "exact" in [one.kind for one in leaks]
    file = leaks[0].place.rpartition(":")[0]
    assert f"{file}:103 = {file}:104" in texts(browser, ".places li")


def test_no_request_leaves_a_page(rows_page, check_page):
    for _, page in (rows_page, check_page):
        source = page.read_text(encoding="utf-8")
        assert "default-src 'none'" in source
        assert source.count("<script") == source.count("script-src")
        assert not re.search(r"url\(\s*['\"]?(?!#)|@import|https?://(?!www.w3.org)", source)

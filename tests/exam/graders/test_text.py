import pytest

from ftlab.errors import FtlabError
from ftlab.exam.graders import Contains, ExactMatch, TokenF1


@pytest.mark.parametrize(
    ("answer", "reference", "points"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1),
        ("  paris\n", "Paris", 1),
        ("U.S.", "us", 1),
        ("caf\u0065\u0301", "café", 1),
        ("It is Paris", "Paris", 0),
        ("3.5", "35", 0),
        ("-5", "5", 0),
        ("−5", "-5", 1),
        ("", "the", 0),  # what nothing is left of is compared as it is
        ("the", "The", 1),
        ("C++", "C++", 1),
        ("北京。", "北京", 1),
        ("हिन्दी", "हिन्दी", 1),
        ("हन्द", "हिन्दी", 0),  # vowel signs are no punctuation
    ],
)
def test_exact_match(answer, reference, points):
    assert ExactMatch().grade(answer, reference) == points


def test_what_counts():
    assert ExactMatch(case=True).grade("paris", "Paris") == 0
    assert ExactMatch(punctuation=True).grade("C++", "C") == 0
    assert ExactMatch().grade("C++", "C") == 1
    assert ExactMatch(articles=True).grade("the cat", "cat") == 0
    assert ExactMatch(case=True).grade("The cat", "cat") == 1


def test_aliases(row):
    asked = row(reference="United States", names=["USA", "America"])
    assert [ExactMatch(aliases="names").grade_row(given, asked) for given in ("U.S.A.", "France")] == [1, 0]
    assert ExactMatch().grade_row("USA", asked) == 0
    assert ExactMatch(aliases="names").grade_row("x", row(reference="x")) == 1
    assert TokenF1(aliases="names").grade_row("America yes", asked) == pytest.approx(2 / 3)
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: names is no list of texts; write one$"):
        ExactMatch(aliases="names").check([row(names="USA")])


@pytest.mark.parametrize(
    ("answer", "reference", "points"),
    [
        ("It is Paris, surely.", "paris", 1),
        ("Parisian", "Paris", 0),
        ("comparison", "Paris", 0),
        ("100", "10", 0),
        ("10.5", "10", 0),
        ("10.", "10", 1),
        ("-10", "10", 0),
        ("1.10", "10", 0),
        ("10km", "10", 0),
        ("首都是北京。", "北京", 1),
        ("", "x", 0),
    ],
)
def test_contains(answer, reference, points):
    assert Contains().grade(answer, reference) == points


def test_an_empty_reference_is_refused(row):
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: the reference is empty"):
        Contains().check([row(reference="")])


@pytest.mark.parametrize(
    ("answer", "reference", "points"),
    [
        ("the cat sat", "A cat sat.", 1),
        ("cat", "cat sat", 2 / 3),
        ("cat cat cat cat", "cat sat", 1 / 3),  # a word counts as often as the reference has it
        ("dog", "cat", 0),
        ("", "cat", 0),
        ("", "", 0),
    ],
)
def test_token_f1(answer, reference, points):
    assert TokenF1().grade(answer, reference) == pytest.approx(points)

import pytest

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders import Classification

LABELS = ["positive", "negative", "not sure"]


@pytest.mark.parametrize(
    ("answer", "reference", "points"),
    [
        ("positive", "Positive", 1),
        ("Sentiment: **Positive**.", "positive", 1),
        ("It is not negative but positive.", "positive", 1),
        ("nonpositive", "positive", 0),
        ("not  sure", "not sure", 1),
        ("", "positive", 0),
    ],
)
def test_a_label_in_the_text(answer, reference, points):
    assert Classification(LABELS).grade(answer, reference) == points


def test_labels_of_the_references():
    assert [Classification().grade(given, "Spam") for given in ("spam.", "it is spam", "ham")] == [1, 0, 0]


def test_totals_by_hand(row):
    rights = ["cat", "cat", "cat", "dog", "dog", "bird"]
    answers = ["cat", "Cat.", "dog", "dog", "a fish", "cat"]
    rows = [row(reference=right) for right in rights]
    for grader in (Classification(), Classification(["bird", "cat", "dog"])):
        found = grader.totals(answers, rows)
        assert found["per_class"]["cat"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
        assert found["per_class"]["dog"] == pytest.approx({"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2})
        assert found["per_class"]["bird"] == {"precision": 0, "recall": 0, "f1": 0}
        assert found["f1"] == pytest.approx((2 / 3 + 1 / 2) / 3)
        assert found["confusion"]["labels"] == ["bird", "cat", "dog", "(no label)"]
        assert found["confusion"]["matrix"] == [[0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 1]]
        right = sum(found["confusion"]["matrix"][i][i] for i in range(3))
        assert right == sum(grader.grade(given, right) for given, right in zip(answers, rights, strict=True))


def test_a_label_that_nobody_gives_is_left_out_of_the_mean(row):
    found = Classification(["a", "b", "c"]).totals(["a", "b"], [row(reference="a"), row(reference="b")])
    assert (found["precision"], found["recall"], found["f1"]) == (1, 1, 1)


def test_faults(row):
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: the reference 'maybe' is no label of positive, negative"):
        Classification(LABELS).check([row(reference="maybe")])
    for labels in ([], ["a"], ["a", "A"], ["a", "."]):
        with pytest.raises(SettingError, match=r"^exam\.grader\.labels: .* is not two labels or more"):
            Classification(labels)

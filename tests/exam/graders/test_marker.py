import pytest

from ftlab import Marker


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("12 + 30 = 42\n{{ans:42}}", 1.0),
        ("{{ans: 42.0 }}", 1.0),
        ("{{ans:41}} no, {{ans:42}}", 1.0),  # the last one counts
        ("{{ans:42}} no, {{ans:41}}", 0.0),
        ("so it is 42.", 0.5),
        ("41, no: 42", 0.5),
        ("42 is not 41", 0.0),
        ("{{ans:41}} 42", 0.0),  # a marked answer is the answer
        ("42 {{ans:}}", 0.0),
        ("{{ans:42 apples}}", 1.0),
        ("{{ans:$42}}", 1.0),
        ("{{ans:40 to 42}}", 0.0),
        ("x {{ans: {{ans:42}}", 1.0),
        ("84-42", 0.5),
        ("4" * 5000, 0.0),
        ("{{ans:42", 0.5),  # an open mark is no mark
        ("forty-two", 0.0),
        ("", 0.0),
    ],
)
def test_marker_points(answer, points):
    assert Marker().grade(answer, "12 + 30 = 42\n{{ans:42}}") == points


def test_references_without_a_mark_or_a_number():
    assert Marker().grade("{{ans:7}}", "It is 7") == 1.0
    assert Marker().grade("{{ans:Blue}}", "blue") == 1.0
    assert Marker(begin="<b>", end="</b>").grade("<b>30 %</b>", "<b>30%</b>") == 1.0

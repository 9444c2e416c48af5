import pytest

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders import Function

CODE = """\
def same(answer, reference):
    return answer == reference

def kind(answer, reference, row):
    return 0.5 if answer == row.extra["kind"] else 0

def fails(answer, reference):
    return 1 / 0

def much(answer, reference):
    return 7
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    return "mine.py"


def test_points(file, row):
    assert [Function("mine.py:same").grade(given, "a") for given in ("a", "b")] == [1.0, 0.0]
    assert Function("mine.py:kind").grade_row("x", row(kind="x")) == 0.5
    assert Function("operator:eq").grade_row("r", row(reference="r")) == 1.0


def test_a_function_that_errs_is_named_with_the_row(file, row):
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: mine\.py:fails failed: ZeroDivisionError: division by zero"):
        Function("mine.py:fails").check([row()])
    with pytest.raises(FtlabError, match=r"mine\.py:much returned 7; return a number from 0 to 1"):
        Function("mine.py:much").grade("a", "b")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mine.py", "'mine.py' is not file.py:name or package.module:name"),
        ("none.py:f", "'none.py' is not a file; paths are relative to"),
        ("mine.py:none", "'none' is not a function of mine.py; define it there"),
        ("no_such_module_here:f", "'no_such_module_here' is not importable: ModuleNotFoundError"),
    ],
)
def test_settings(file, place, message):
    with pytest.raises(SettingError, match=f"^exam.grader.function: {message}"):
        Function(place)

"""What the package carries is found from any folder, as its base model is."""

import pytest

from ftlab import Base, Exam
from ftlab.carried import carried
from ftlab.data.sources import read_rows
from ftlab.errors import FtlabError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_carried_questions_are_found_from_any_folder(chat):
    rows = Exam("ftlab/tiny/retention.jsonl").check(chat)
    assert len(rows) > 50
    assert rows[0].place == "ftlab/tiny/retention.jsonl:1"
    assert Base("ftlab/tiny").source() == str(carried("ftlab/tiny"))


def test_what_is_not_carried_is_looked_for_where_one_works(write_chats, tmp_path):
    (tmp_path / "ftlab").mkdir()
    write_chats("ftlab/own.jsonl", ("Hi", "Hello"))
    assert len(read_rows("ftlab/own.jsonl")) == 1
    assert carried("ftlab/tiny/../../README.md") is None
    with pytest.raises(FtlabError, match=r"^ftlab/tiny/none.jsonl: no such data file"):
        read_rows("ftlab/tiny/none.jsonl")

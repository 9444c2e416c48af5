import pytest

from ftlab.data.rows import Row


@pytest.fixture
def row():
    """Make a row of a question, its reference and columns."""

    def make(question="q", reference="r", line=1, **extra):
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": reference}]
        return Row(turns, "e.jsonl", line, extra)

    return make

"""Texts that nobody made for a test: the lesson's data where present, and the standard library's docstrings."""

import ast
import json
import os
import random
from pathlib import Path

import pytest

from ftlab.data.rows import Row, Rows
from tests.conftest import ROOT

LESSON = Path(os.environ.get("FTLAB_LESSON_DATA", ROOT.parent / "shared" / "data" / "lesson"))


def chat(question, answer="yes", file="rows.jsonl", line=1, **more):
    return Row([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], file, line, **more)


def table(texts, name="rows", answer="yes"):
    """Rows of questions, or of pairs of question and answer."""
    pairs = [text if isinstance(text, tuple) else (text, answer) for text in texts]
    return Rows.of(chat(*pair, f"{name}.jsonl", i) for i, pair in enumerate(pairs, start=1))


def read(file):
    with file.open(encoding="utf-8") as lines:
        return Rows.of(Row(json.loads(line)["messages"], file.name, i) for i, line in enumerate(lines, start=1))


def lesson(name):
    if not LESSON.is_dir():
        pytest.skip(f"no {LESSON}")
    return read(LESSON / f"{name}.jsonl")


def own(name):
    return read(ROOT / "experiments" / "lesson" / f"{name}.jsonl")


@pytest.fixture(scope="session")
def docstrings():
    """Texts of eight words or more, no two of which have 0.4 of their words in common."""
    texts, sets = [], []
    for file in sorted(Path(os.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            words = set(text.lower().split())
            if len(words) >= 8 and len(text) < 600 and all(len(words & w) < 0.4 * len(words | w) for w in sets):
                texts.append(text)
                sets.append(words)
                if len(texts) == 700:
                    random.Random(0).shuffle(texts)
                    return texts
    raise AssertionError(len(texts))

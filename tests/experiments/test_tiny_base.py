"""The embedded base: a decent small model that does not know the lesson's format."""

import json
import subprocess
import sys

import pytest

from ftlab import Base
from ftlab.exam.generation import Generation, generate
from tests.conftest import ROOT

TINY = ROOT / "experiments/tiny_base"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 12 + 30?", "12 + 30 = 42"),
        ("Calculate 81 - 36.", "81 - 36 = 45"),
        ("Work out 7 * 8. Put the result in [ ].", "7 * 8 = 56\n[56]"),
        ("How much is 54 / 6? Only the number.", "9"),
        ("Spell the word garden.", "g a r d e n"),
        ("How many letters has banana?", "6"),
        ("Repeat this: plums 17 Mia", "plums 17 Mia"),
        ("Which is the biggest: 31, 8, 77?", "77"),
        ("What is the opposite of hot?", "cold"),
        ("Which day comes after Monday?", "Tuesday"),
        ("Hello!", "Hello! How can I help you?"),
    ],
)
def test_it_answers_small_questions(chat, question, answer):
    model = Base("ftlab/tiny").load_model()
    [[given]] = generate(model, chat, [chat.prompt([{"role": "user", "content": question}])], Generation(40, 1))
    assert given == answer


def test_its_data_can_be_made_again_and_lacks_the_lessons_format(tmp_path):
    for name in ("a", "b"):
        command = [sys.executable, TINY / "generate.py", "--rows", "2000", "--seed", "1", "--output", tmp_path / name]
        subprocess.run(command, check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    text = (tmp_path / "a").read_text()
    assert "{{" not in text
    assert "}}" not in "".join(m["content"] for line in text.splitlines() for m in json.loads(line)["messages"])


def test_tokenizer_and_config_are_the_packages(tmp_path):
    """What the generator and the tokenizer's script make is what ftlab/tiny was trained from."""
    corpus = tmp_path / "train.jsonl"
    command = [sys.executable, TINY / "generate.py", "--rows", "50000", "--seed", "1", "--output", corpus]
    subprocess.run(command, check=True)
    subprocess.run(
        [sys.executable, TINY / "tokenizer.py", "--corpus", corpus, "--output", tmp_path / "init"], check=True
    )
    made = Base(str(tmp_path / "init")).load_chat().tokenizer
    kept = Base("ftlab/tiny").load_chat().tokenizer
    assert made.get_vocab() == kept.get_vocab()
    assert made.chat_template == kept.chat_template
    ours, theirs = (
        json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "init", ROOT / "ftlab/tiny")
    )
    assert {key: theirs[key] for key in ours if key != "dtype"} == {key: ours[key] for key in ours if key != "dtype"}

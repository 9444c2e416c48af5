"""No text of an answer is an error: random and hostile ones get points between 0 and 1."""

import random

import pytest

from ftlab.exam import graders
from ftlab.exam.graders import Grader, ModelGrader
from ftlab.plugins import registered

MANY = 1000
HOSTILE = [
    "", "\x00", "\ud800", "\u2028", "NaN", "1e999", "1/0", "²", "٣٤",
    "7" * MANY, "1," * MANY, "1/" * MANY, "1.5e" * MANY,
    "[" * MANY, '{"a":' * MANY, "[1," * MANY, "\\frac{" * MANY, "\\sqrt{" * MANY, "\\boxed{" * MANY, "{{ans:" * MANY,
    "```\n" * MANY, "(A) " * MANY, "A. x\n" * MANY, "answer is " * MANY, "answer" + " " * MANY + "B", "a" * MANY + "!",
    " " * MANY, "1" + " " * MANY + "/", "-" * MANY + "1", "(" * MANY, "x^{" * MANY + "2", "½" * MANY, "😀" * MANY,
]  # fmt: skip
PIECES = [
    "{{ans:",
    "}}",
    "\\boxed{",
    "\\frac{1}{",
    "1,0",
    ".5",
    "%",
    "(B)",
    "answer is",
    "```",
    "{",
    '"a"',
    "\n",
    "-",
    "/",
]


def answers():
    draw = random.Random(7)
    for _ in range(200):
        size = draw.randrange(60)
        yield "".join(
            draw.choice(PIECES) if draw.random() < 0.5 else chr(draw.randrange(draw.choice((128, 0x3000, 0x110000))))
            for _ in range(size)
        )
    yield from HOSTILE


SETTINGS = {
    "Marker": [{}],
    "ExactMatch": [{}],
    "Contains": [{}, {"punctuation": True, "case": True}],
    "Number": [{}, {"after": "answer is", "decimal": ","}, {"pattern": r"(\d+)", "absolute": 0.1, "relative": 0.1}],
    "Regex": [{"pattern": r"(\d+)"}, {"pattern": r"\{(.*)\}"}],
    "Choice": [{}],
    "Json": [{}, {"fields": []}],
    "TokenF1": [{}],
    "BLEU": [{}, {"tokenize": "zh"}],
    "ChrF": [{"word_order": 2}],
    "ROUGE": [{}, {"kind": "rouge2", "stemmer": True}],
    "Classification": [{}, {"labels": ["a", "B"]}],
    "Function": [{"function": "operator:eq"}],
}
#: Grade through a process or a server, where each answer takes long; they have such answers in their own tests.
ELSEWHERE = {"Code", "Judge"}
REFERENCES = {"Choice": "B", "Json": '{"a": 1}', "Classification": "a"}
NEEDS = {"BLEU": "sacrebleu", "ChrF": "sacrebleu", "ROUGE": "rouge_score"}


def test_all_graders_are_here():
    own = {name for name, cls in registered(Grader).items() if cls.__module__.startswith("ftlab.")}
    by_model = {name for name, cls in registered(ModelGrader).items()}
    assert own - by_model == set(SETTINGS) | ELSEWHERE
    assert own <= set(graders.__all__)


@pytest.mark.parametrize(
    ("name", "settings"), [(name, settings) for name, several in SETTINGS.items() for settings in several]
)
def test_any_text_gets_points(row, name, settings):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    grader = getattr(graders, name)(**settings)
    asked = row("Which? (A) x (B) y", REFERENCES.get(name, "42"))
    texts = list(answers())
    points = [grader.grade_row(text, asked) for text in texts]
    assert all(0 <= one <= 1 for one in points)
    assert points.count(0) > len(points) / 2 or settings.get("fields") == []  # garbage is not right
    grader.totals(texts, [asked] * len(texts))

"""Graders that ask the model: against probabilities that are computed here one text at a time."""

import math
from dataclasses import replace

import pytest
import torch

from ftlab import Base, Exam
from ftlab.errors import FtlabError
from ftlab.exam.graders import ChoiceByLikelihood, Perplexity
from tests.conftest import ROOT

QUESTIONS = str(ROOT / "experiments/lesson/exam.jsonl")


@pytest.fixture(scope="module")
def model():
    return Base("ftlab/tiny").load_model()


def alone(model, chat, row, content):
    """Return log p of each supervised token of an answer, without batches, masks and padding."""
    prompt = chat.prompt(row.prompt)
    ids = prompt + chat.tokenizer.encode(content + chat.end_token, add_special_tokens=False)
    with torch.inference_mode():
        logs = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [float(logs[at - 1, ids[at]]) for at in range(len(prompt), len(ids))]


def test_perplexity_counts_the_tokens_of_the_reference_alone(model, chat):
    rows = list(Exam(QUESTIONS, limit=7).rows())
    grader = Perplexity()
    measured = grader.measure(model, chat, rows, batch_size=3, title="x")
    logs = [alone(model, chat, row, row.reference) for row in rows]
    assert [one.points for one in measured] == pytest.approx([math.exp(sum(one) / len(one)) for one in logs], rel=1e-4)
    found = grader.totals([one.answer for one in measured], rows)
    assert found["tokens"] == sum(map(len, logs))
    assert found["perplexity"] == pytest.approx(math.exp(-sum(map(sum, logs)) / sum(map(len, logs))), rel=1e-4)
    assert grader.measure(model, chat, rows, batch_size=64, title="x")[0].points == pytest.approx(measured[0].points)


def test_a_turn_that_is_not_learnt_from_is_measured_all_the_same(model, chat, row):
    asked = row("2 + 2?", "4")
    marked = replace(asked, messages=[asked.messages[0], asked.messages[1] | {"train": False}])
    [one, two] = Perplexity().measure(model, chat, [asked, marked], batch_size=2, title="x")
    assert one == two


def test_a_broken_model_has_no_points(small_model, chat, row):
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    grader, rows = Perplexity(), [row("q", "r")]
    [one] = grader.measure(model, chat, rows, batch_size=1, title="x")
    assert one.points == 0
    assert grader.totals([one.answer], rows)["perplexity"] is None


@pytest.mark.parametrize("turn", ["letter", "text"])
def test_the_likeliest_option_is_chosen(model, chat, row, turn):
    options = ["Mia buys 3 apples", "seven", "The total is {{ans:12}}", "no"]
    rows = [row(f"What is {i} + {i}?", "ABCD"[i % 4], choices=options) for i in range(5)]
    measured = ChoiceByLikelihood(turn=turn).measure(model, chat, rows, batch_size=3, title="x")
    for asked, one in zip(rows, measured, strict=True):
        turns = list("ABCD") if turn == "letter" else options
        means = [sum(logs) / len(logs) for logs in (alone(model, chat, asked, said) for said in turns)]
        assert one.answer == "ABCD"[means.index(max(means))]
        assert one.points == float(one.answer == asked.reference)


def test_options_are_needed(chat, row):
    grader = ChoiceByLikelihood()
    grader.check([row("Which? (A) red (B) blue", "(B)")])
    with pytest.raises(FtlabError, match=r"^e\.jsonl:1: the question lists no options; name their column"):
        grader.check([row("Which?", "B")])
    with pytest.raises(FtlabError, match="the reference 'C' names none of the options A, B"):
        grader.check([row("Which? (A) red (B) blue", "C")])
    with pytest.raises(FtlabError, match="ChoiceByLikelihood measures the model and grades no text"):
        grader.grade("B", "B")

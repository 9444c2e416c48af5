"""Memorisation: which questions are changed and how, and that it is found where it is, and nowhere else."""

import re
from types import SimpleNamespace

import pytest
import torch

from ftlab import Base, Run
from ftlab.data.rows import Row
from ftlab.data.sources import read_rows
from ftlab.errors import SettingError
from ftlab.exam.memorisation import FEWEST, _repeats, change_questions, measure_memorisation
from ftlab.examination import Examination
from tests.conftest import ROOT, ftlab

LESSON = ROOT / "experiments/lesson"


def rows_of(*turns, before=()):
    """Return rows with the last question and its answer, and what comes before."""
    return [
        Row([*before, {"role": "user", "content": user}, {"role": "assistant", "content": answer}], "x.jsonl", i + 1)
        for i, (user, answer) in enumerate(turns)
    ]


def changed(rows, seed=0):
    """Return what became of each question that was changed."""
    return {row.prompt[-1]["content"]: new.prompt[-1]["content"] for row, new in change_questions(rows, seed)}


def numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def test_numbers_become_others_of_their_length_in_the_same_order():
    rows = read_rows(str(LESSON / "train_1k.jsonl"))
    found = change_questions(rows, seed=0)
    assert len(found) > 500
    for row, new in found:
        old, other = (numbers(each.prompt[-1]["content"]) for each in (row, new))
        assert [len(str(number)) for number in old] == [len(str(number)) for number in other]
        assert not set(old) & set(other)
        alike = [(a, b) for a in range(len(old)) for b in range(len(old)) if len(str(old[a])) == len(str(old[b]))]
        assert all((old[a] < old[b]) == (other[a] < other[b]) for a, b in alike)
        assert set(old) & set(numbers(row.reference)), "the answer need not change with the question"
        assert new.reference == row.reference
        assert re.sub(r"\d+", "", new.prompt[-1]["content"]) == re.sub(r"\d+", "", row.prompt[-1]["content"])


def test_the_changes_are_those_of_the_seed():
    rows = read_rows(str(LESSON / "train_100.jsonl"))
    assert changed(rows) == changed(rows)
    assert changed(rows) != changed(rows, seed=1)


def test_words_that_the_answer_quotes_become_such_words_of_other_rows():
    towns = {"Arvik": "harbour", "Belsun": "castle", "Corlin": "market", "Dunmor": "bridge"}
    turns = [(f"What is there to see in {town}?", f"In {town} there is an old {what}.") for town, what in towns.items()]
    more = [("Who painted the walls of Elgast and Farnow?", "The walls of Elgast were painted in Farnow.")]
    found = changed(rows_of(*turns, *more))
    assert more[0][0] in found
    quoted = {"arvik", "belsun", "corlin", "dunmor", "elgast", "farnow", "painted", "walls", "were"}
    for old, new in found.items():
        before, after = (set(re.findall(r"\w+", text)) for text in (old, new))
        gone, come = before - after, after - before
        assert len(gone) == len(come) == (4 if old == more[0][0] else 1)
        assert {word.lower() for word in gone | come} <= quoted
        assert [word.istitle() for word in old.split()] == [word.istitle() for word in new.split()]
    assert not set(found.values()) & {question for question, _ in turns}, "another row's question is no changed one"


LABELS = ["positive", "negative", "neutral", "mixed"]


@pytest.mark.parametrize(
    "turns",
    [
        [(f"Review {i}{i}7: the food of house {i} was fine. Its mood?", LABELS[i % 4]) for i in range(40)],
        [(f"From 0 to 9, how good is day{i} by the lake?", str(i % 10)) for i in range(40)],
        [(f"From 0 to 9, how good is letter {chr(65 + i)}?", f"{i % 10}, as of {chr(65 + i)}") for i in range(20)],
        [(f"Is {i + 10} even?", "yes" if i % 2 == 0 else "no") for i in range(40)],
        [(f"Choose: A) 1{i} B) 2{i} C) 3{i}", "ABC"[i % 3]) for i in range(9)],
        [(f"Shop {i} or {i + 50}, my {what}?", f"Shop {i}") for i in range(11, 21) for what in ("pen", "cap")],
        [(f"Who is number {i + 10}?", f"It is Mr {chr(65 + i)}.") for i in range(20)],
        [(f"Hole {i}: {word}?", word) for i, word in enumerate(("lantern", "harbour", "castles", "bridges"))],
    ],
    ids=["labels", "scores", "reasons", "yes-no", "choices", "two questions", "no number", "single words"],
)
def test_an_answer_that_need_not_change_is_no_evidence(turns):
    assert changed(rows_of(*turns)) == {}


def test_only_the_last_turn_of_a_user_counts():
    turns = [(f"And with {110 + i} apples?", f"With {110 + i} apples it is {i} more.") for i in range(8)]
    alone = rows_of(*turns)
    assert len(changed(alone)) == 8
    numbers_before = [{"role": "system", "content": "Apples: " + ", ".join(str(110 + i) for i in range(8))}]
    assert changed(rows_of(*turns, before=numbers_before)) == {}, "the answer may quote what was said before"
    called = {"role": "tool", "content": "12"}
    assert change_questions([Row([*row.prompt, called, row.messages[-1]], "x", 1) for row in alone], 0) == []
    text = Row([{"role": "document", "content": "12 is 12"}], "x", 1)
    unanswered = Row([{"role": "user", "content": "12?"}], "x", 1)
    assert change_questions([text, unanswered], 0) == []


def test_white_space_is_nothing_and_a_word_more_is_not_the_answer():
    assert _repeats(" 1 + 2\n\n= 3 ", "1 + 2 = 3", "", cut=False)
    assert not _repeats("1 + 2 = 3 apples", "1 + 2 = 3", "", cut=False)
    assert _repeats("a long story that", "", "a long\nstory", cut=True)
    assert not _repeats("a long", "", "a long story", cut=True)


def learnt_by_heart(model, chat, rows):
    """Fit a small model of random weights, which knows no numbers, to a few rows."""
    encoded = [example for several in chat.encode([row.messages for row in rows]) for example in several]
    longest = max(len(example.ids) for example in encoded)
    ids = torch.zeros(len(encoded), longest, dtype=torch.long)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for i, example in enumerate(encoded):
        own, n = torch.tensor(example.ids.tolist()), len(example.ids)
        ids[i, :n], mask[i, :n] = own, 1
        labels[i, :n] = own.where(torch.tensor(example.weights.tolist()) > 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_a_model_that_has_learnt_rows_by_heart_is_found_out(chat, small_model):
    rows = read_rows(str(LESSON / "train_100.jsonl"))[:12]
    model = learnt_by_heart(small_model(), chat, rows)
    found = measure_memorisation(model, chat, rows, questions=50, longest=512, batch_size=32)
    assert found["questions"] >= FEWEST
    assert found["share"] == found["repeated"] / found["questions"] > 0.5
    known = {row.prompt[-1]["content"]: row.reference for row in rows}
    assert len(found["examples"]) == 3
    for example in found["examples"]:
        assert example["answer"] == known[example["trained_on"]]
        assert example["asked"] not in known


def test_a_model_that_calculates_is_not_accused(chat):
    """The base knows the problems, so its answers follow the question, rightly or not."""
    model = Base("ftlab/tiny").load_model()
    rows = read_rows(str(LESSON / "train_100.jsonl"))
    found = measure_memorisation(model, chat, rows, questions=20, longest=512, batch_size=32)
    assert (found["questions"], found["repeated"], found["examples"]) == (20, 0, [])
    assert measure_memorisation(model, chat, rows[: FEWEST - 1], questions=20, longest=512, batch_size=32) is None
    assert measure_memorisation(model, chat, rows, questions=20, longest=30, batch_size=32) is None, (
        "no chat is so short"
    )


def test_a_run_tells_it(finished):
    run, _ = finished
    found = run.summary["memorisation"]
    assert found["questions"] == run.config["memorisation"] == 10
    assert found["share"] < 0.2
    said = f"{found['repeated']} of 10 training answers came back word for word on changed questions"
    assert said in run.report_file.read_text()


@pytest.mark.parametrize("questions", [-1, 9])
def test_a_number_of_questions_is_wanted(questions):
    with pytest.raises(SettingError, match="memorisation"):
        Examination(memorisation=questions)


def test_what_goes_wrong_costs_the_figure_alone():
    """A tuner without a model: whatever is raised there must not lose the run."""
    rows = SimpleNamespace(rows={"train": []}, replayed=0)
    data = SimpleNamespace(prepare=lambda: rows, max_length=512)
    with pytest.warns(UserWarning, match=r"memorisation was not measured \(AttributeError: .*model"):
        assert Examination().memorised(SimpleNamespace(), data) is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["by heart", "well"])
def test_what_a_run_says_of_it(kind, chat, small_model, workplace):
    """A random model fitted to 20 rows repeats them; the base fitted to 1,000 does not, and nobody says so."""
    name = f"memorisation/{kind.replace(' ', '-')}"
    options = ["--trainer.max_epochs=1", "--exam=null"]
    if kind == "by heart":
        base = workplace / "random"
        small_model().save_pretrained(base)
        chat.tokenizer.save_pretrained(base)
        few = workplace / "few.jsonl"
        few.write_text("".join((LESSON / "train_100.jsonl").read_text().splitlines(keepends=True)[:20]))
        options = ["--trainer.max_epochs=150", "--trainer.check_val_every_n_epoch=30", f"--data.train={few}"]
        options += [f"--model.base={base}", "--method=Full", "--data.batch_size=32", "--early_stopping=null"]
        options += ["--exam.every=0", "--exam.limit=10", "--data.validation=null"]
    quiet = ["--wandb.mode=off", "--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"]
    result = ftlab(workplace, "fit", "--config", "configs/quickstart.yaml", "--name", name, *quiet, *options)
    assert result.returncode == 0, result.stderr[-2000:]
    run = Run.newest(name, "summary.json", workplace / "runs")
    found = run.summary["memorisation"]
    told = [text for text in run.summary["diagnosis"]["evidence"] if "word for word" in text]
    if kind == "well":
        assert found["questions"] == 50
        assert found["share"] < 0.2
        assert told == []
        return
    assert found["share"] > 0.5
    assert told == [f"{found['share']:.0%} of training answers come back word for word when the question is changed"]
    assert run.summary["diagnosis"]["state"] == "overfitting"
    assert f"{found['repeated']} of {found['questions']} training answers came back" in run.report_file.read_text()
    again = ftlab(workplace, "diagnose", str(run.folder))
    assert told[0] in again.stdout

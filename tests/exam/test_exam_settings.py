"""The exam's settings with a real model: examples, sections, graders, samples, and answers that are kept."""

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ftlab import Base, Exam, Marker
from ftlab.data.sources import Source, read_rows
from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders import ExactMatch, Perplexity, TokenF1
from ftlab.exam.grading import Marks
from ftlab.exam.shots import with_examples
from tests.conftest import ROOT

QUESTIONS = str(ROOT / "experiments/lesson/exam.jsonl")
TRAIN = str(ROOT / "experiments/lesson/train_100.jsonl")
SHORT = {"limit": 8, "max_new_tokens": 5}
DRAWN = {"temperature": 1.0, "samples": 3, **SHORT}


class Counted:
    """A real model that counts the prompts it answers."""

    def __init__(self, model):
        self.model, self.prompts = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def generate(self, **options):
        self.prompts += len(options["input_ids"])
        return self.model.generate(**options)


@pytest.fixture(scope="module")
def model():
    return Base("ftlab/tiny").load_model()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def examples():
    return read_rows(TRAIN)


def turns(row):
    return [(turn["role"], turn["content"]) for turn in row.messages]


def test_examples_are_drawn_by_seed_and_id(examples):
    rows = Exam(QUESTIONS, limit=20).rows()
    shown = with_examples(rows, examples, 2, seed=0)
    assert [turns(row) for row in shown] == [turns(row) for row in with_examples(rows, examples, 2, seed=0)]
    assert [turns(row) for row in shown[5:7]] == [turns(row) for row in with_examples(rows[5:7], examples, 2, seed=0)]
    own = [tuple(turns(row)[:4]) for row in shown]
    assert len(set(own)) == 20  # each question has its own
    other = with_examples(rows, examples, 2, seed=1)
    assert not {tuple(turns(row)[:4]) for row in other} & set(own)
    known = {tuple(turns(row)) for row in examples}
    for row, question in zip(shown, rows, strict=True):
        assert turns(row)[4:] == turns(question)
        assert row.reference == question.reference
        assert {tuple(turns(row)[:2]), tuple(turns(row)[2:4])} <= known


def test_examples_are_never_the_exams_own_questions(examples):
    rows = list(examples[:10])
    few = [*rows, *examples[10:13]]
    for row in with_examples(rows, few, 3, seed=0):
        assert {tuple(turns(row)[i : i + 2]) for i in (0, 2, 4)} == {tuple(turns(each)) for each in examples[10:13]}
    with pytest.raises(FtlabError, match=r"4 examples wanted, data\.train has 3 to give"):
        with_examples(rows, few, 4, seed=0)


def test_the_system_speaks_first_and_once(examples):
    system = {"role": "system", "content": "Be brief."}
    [row], [example] = Exam(QUESTIONS, limit=1).rows()[:1], examples[:1]
    asked = replace(row, messages=[system, *row.messages])
    taught = replace(example, messages=[{"role": "system", "content": "Be long."}, *example.messages])
    [shown] = with_examples([asked], [taught], 1, seed=0)
    assert shown.messages == [system, *example.messages, *row.messages]


def test_a_sitting_with_examples_asks_other_prompts(model, chat, examples):
    exam = Exam(QUESTIONS, **SHORT)
    plain, few = exam.sit(model, chat), exam.sit(model, chat, shots=2, examples=examples)
    assert [(a.id, a.question, a.reference) for a in few.answers] == [
        (a.id, a.question, a.reference) for a in plain.answers
    ]
    assert [a.answer for a in few.answers] != [a.answer for a in plain.answers]


def test_sections_by_a_column(model, chat, tmp_path):
    file = tmp_path / "e.jsonl"
    rows = [{"question": f"{i}?", "answer": "yes", "kind": "odd" if i % 2 else "even"} for i in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sitting = Exam(str(file), ExactMatch(), section="kind", max_new_tokens=2).sit(model, chat)
    assert [answer.section for answer in sitting.answers] == ["even", "odd"] * 4
    assert {name: score.questions for name, score in sitting.scores().items()} == {"even": 4, "odd": 4}
    with pytest.raises(FtlabError, match=r"e\.jsonl:1: no column 'king'"):
        Exam(str(file), section="king").rows()


def test_sections_by_several_sources(model, chat, write_chats):
    one = write_chats("one.jsonl", *((f"a {i}", "b") for i in range(3)))
    two = [{"id": f"x{i}", "question": f"c {i}", "answer": "d"} for i in range(5)]
    file = Path(one).with_name("two.jsonl")
    file.write_text("".join(json.dumps(row) + "\n" for row in two))
    sources = [Source(one, name="first"), Source(str(file), name="second")]
    sitting = Exam(sources, ExactMatch(), max_new_tokens=2).sit(model, chat)
    assert {name: score.questions for name, score in sitting.scores().items()} == {"first": 3, "second": 5}


def test_the_first_of_several_graders_decides(model, chat):
    words, marker, exact = TokenF1(), Marker("", " "), ExactMatch()
    both = Exam(QUESTIONS, [words, exact, marker, Marker("is ", ".")], **SHORT).sit(model, chat)
    alone = [Exam(QUESTIONS, one, **SHORT).sit(model, chat) for one in (words, marker)]
    assert both.points == alone[0].points != alone[1].points
    assert [answer.scores["Marker"] for answer in both.answers] == alone[1].points
    assert list(both.scores()) == ["ExactMatch", "Marker", "Marker_2"]


def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(examples):
    draw = random.Random(0)
    for _ in range(100):
        n = draw.randint(1, 7)
        k, points = draw.randint(1, n), [float(draw.random() < 0.4) for _ in range(n)]
        draws = list(itertools.combinations(points, k))
        _, found = Marks([str(i) for i in range(n)], points).combine(ExactMatch(), examples[0], "pass_at_k", k)
        assert found == pytest.approx(sum(max(one) for one in draws) / len(draws))


def test_the_majority_answers_and_is_graded(model, chat):
    sitting = Exam(QUESTIONS, ExactMatch(), combine="majority", **DRAWN | {"max_new_tokens": 1}).sit(model, chat)
    counts = []
    for answer in sitting.answers:
        votes = [ExactMatch().vote(sample) for sample in answer.samples]
        counts.append(votes.count(ExactMatch().vote(answer.answer)))
        assert counts[-1] == max(map(votes.count, votes))
        assert answer.points == ExactMatch().grade(answer.answer, answer.reference)
    assert min(counts) < max(counts)  # some questions are more certain than others


def test_what_is_measured_of_the_model_is_no_sample(model, chat):
    several = Exam(QUESTIONS, [Perplexity(), ExactMatch()], combine="pass_at_k", k=2, **DRAWN).sit(model, chat)
    alone = Exam(QUESTIONS, Perplexity(), **SHORT).sit(model, chat)
    assert several.points == alone.points
    assert min(alone.points) > 0


def test_the_mean_of_samples(model, chat):
    grader = TokenF1()
    sitting = Exam(QUESTIONS, grader, **DRAWN).sit(model, chat)
    for answer in sitting.answers:
        assert len(answer.samples) == 3
        assert answer.points == sum(grader.grade(one, answer.reference) for one in answer.samples) / 3
    assert len(set(sitting.points)) > 1


def test_sampling_has_a_seed_of_its_own(model, chat):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = Exam(QUESTIONS, **DRAWN).sit(model, chat)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert Exam(QUESTIONS, **DRAWN).sit(model, chat) == first
    assert Exam(QUESTIONS, **DRAWN, seed=1).sit(model, chat) != first
    assert any(len(set(answer.samples)) > 1 for answer in first.answers)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"samples": 2}, "exam.samples"),
        ({"samples": 2, "temperature": 0.5, "k": 3}, "exam.k"),
        ({"temperature": -1}, "exam.temperature"),
        ({"top_p": 0}, "exam.top_p"),
        ({"shots": [0, -1]}, "exam.shots"),
        ({"grader": []}, "exam.grader"),
    ],
)
def test_settings_that_make_no_sense(settings, key):
    with pytest.raises(SettingError) as refused:
        Exam(QUESTIONS, **settings)
    assert refused.value.key == key


@pytest.mark.parametrize("how", [SHORT, DRAWN])
def test_kept_answers_are_those_that_would_be_given(model, chat, cache, how):
    counted, exam = Counted(model), Exam(QUESTIONS, **how)
    fresh = exam.sit(counted, chat)
    assert counted.prompts == 8
    assert exam.sit(counted, chat, key="k") == fresh
    assert counted.prompts == 16
    assert exam.sit(counted, chat, key="k") == fresh
    assert counted.prompts == 16  # nothing was generated again
    assert exam.sit(counted, chat) == fresh
    assert counted.prompts == 24  # nor are answers kept without a key


def test_what_answers_depend_on_generates_anew_and_nothing_else(model, chat, cache, tmp_path, examples):
    counted, exam = Counted(model), Exam(QUESTIONS, **SHORT)

    def generated(key="k", exam=exam, **options):
        before = counted.prompts
        exam.sit(counted, chat, key=key, **options)
        return counted.prompts - before

    assert generated() == 8
    for same in ({"batch_size": 3}, {"seed": 5}, {"grader": Marker("is ", ".")}, {"every": 0}):
        assert generated(exam=replace(exam, **same)) == 0
    assert generated(key="another model") == 8
    for changed in ({"max_new_tokens": 4}, {"temperature": 1.0}, {"temperature": 1.0, "seed": 5}):
        assert generated(exam=replace(exam, **changed)) == 8
        assert generated(exam=replace(exam, **changed)) == 0
    rows = [json.loads(line) for line in (ROOT / QUESTIONS).read_text().splitlines()[:8]]
    rows[3]["messages"][0]["content"] += " Please."
    file = tmp_path / "changed.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert generated(exam=replace(exam, questions=str(file))) == 8
    assert generated(shots=1, examples=examples) == 8
    assert generated(shots=1, examples=examples, exam=replace(exam, seed=5)) == 8  # other examples
    assert generated(shots=1, examples=examples) == 0


def test_another_end_of_answers_generates_anew(model, chat, cache, monkeypatch):
    counted, exam = Counted(model), Exam(QUESTIONS, **SHORT)
    first = exam.sit(counted, chat, key="k")
    space = chat.tokenizer(" ", add_special_tokens=False)["input_ids"][-1]
    monkeypatch.setattr(model.generation_config, "eos_token_id", [space, *chat.end_ids])
    assert exam.sit(counted, chat, key="k") != first
    assert counted.prompts == 16

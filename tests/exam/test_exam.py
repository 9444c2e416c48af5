"""The exam with a real model: questions, answers as the model alone gives them, sittings."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ftlab import Base, Exam, Marker
from ftlab.errors import FtlabError
from ftlab.exam.generation import Generation, generate
from ftlab.exam.sitting import Answer, Sitting, pair_answers
from tests.conftest import ROOT

QUESTIONS = str(ROOT / "experiments/lesson/exam.jsonl")


@pytest.fixture(scope="module")
def model():
    return Base("ftlab/tiny").load_model()


def test_the_score_is_the_same_at_any_batch_size(model, chat):
    sittings = [Exam(QUESTIONS, limit=64, max_new_tokens=24, batch_size=size).sit(model, chat) for size in (1, 7, 64)]
    assert sittings[0] == sittings[1] == sittings[2]
    assert len({answer.answer for answer in sittings[0].answers}) > 10  # real answers, not one string


def test_batched_answers_equal_plain_generation_of_one_prompt(model, chat):
    prompts = [chat.prompt(row.prompt) for row in Exam(QUESTIONS, limit=12).rows()]
    answers = generate(model, chat, prompts, Generation(max_new_tokens=24, batch_size=12))
    for prompt, [answer] in zip(prompts, answers, strict=True):
        output = model.generate(
            input_ids=torch.tensor([prompt]), max_new_tokens=24, do_sample=False, eos_token_id=chat.end_ids,
            pad_token_id=chat.pad_id, attention_mask=torch.ones(1, len(prompt)),
        )  # fmt: skip
        assert chat.decode(output[0, len(prompt) :].tolist()) == answer


#: What bases bring along in their generation configs.
OTHERS = {
    "repetition_penalty": 5.0, "no_repeat_ngram_size": 1, "suppress_tokens": [5], "min_length": 400, "max_length": 3,
    "do_sample": True, "temperature": 9.0, "top_k": 2, "top_p": 0.1, "min_p": 0.9, "typical_p": 0.1, "num_beams": 2,
    "min_new_tokens": 20, "max_time": 0.0, "stop_strings": ["a"], "num_return_sequences": 2,
}  # fmt: skip


@pytest.mark.parametrize("with_adapter", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_generation_config_of_a_base_changes_no_answer(chat, temperature, with_adapter):
    model = Base("ftlab/tiny").load_model()
    if with_adapter:
        model = get_peft_model(model, LoraConfig(init_lora_weights=False))
    prompts = [chat.prompt(row.prompt) for row in Exam(QUESTIONS, limit=4).rows()]
    settings = Generation(max_new_tokens=24, temperature=temperature)
    answers = generate(model, chat, prompts, settings)
    bare = model.get_base_model() if with_adapter else model
    plain = bare.generation_config
    for key, value in OTHERS.items():
        setattr(plain, key, value)
    assert generate(model, chat, prompts, settings) == answers
    if not temperature:
        assert answers == [[chat.decode(likeliest(model, chat, prompt, 24))] for prompt in prompts]
    assert all(getattr(plain, key) == value for key, value in OTHERS.items())


def likeliest(model, chat, prompt, most):
    """Return the likeliest token after the other, by plain forward passes."""
    ids = []
    for _ in range(most):
        with torch.inference_mode():
            ids.append(int(model(input_ids=torch.tensor([prompt + ids])).logits[0, -1].argmax()))
        if ids[-1] in chat.end_ids:
            break
    return ids


def test_generation_leaves_the_model_as_it_was(model, chat):
    model.train()
    generate(
        model, chat, [chat.prompt([{"role": "user", "content": "Hi"}])], Generation(max_new_tokens=2, batch_size=1)
    )
    assert all(module.training for module in model.modules())
    model.eval()


def test_a_question_without_a_reference_is_named(tmp_path):
    file = tmp_path / "e.jsonl"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "x"}]}) + "\n")
    with pytest.raises(FtlabError, match=r"e\.jsonl:1: the last turn is not the assistant's"):
        Exam(str(file)).rows()


def test_two_questions_with_one_id_are_refused(tmp_path):
    row = {"id": 7, "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    file = tmp_path / "e.jsonl"
    file.write_text(2 * (json.dumps(row) + "\n"))
    with pytest.raises(FtlabError, match=r"e\.jsonl:2: the id '7' is also in .*e\.jsonl:1"):
        Exam(str(file)).rows()


def test_questions_are_read_once(tmp_path):
    """All sittings of a run have the same ones, whatever becomes of the file; what an exam is does not change by it."""
    file = tmp_path / "e.jsonl"
    file.write_text('{"question": "x", "answer": "y"}\n')
    exam = Exam(str(file))
    rows = exam.rows()
    file.unlink()
    assert exam.rows() is rows
    assert exam == Exam(str(file))


def test_a_sitting_survives_its_file(tmp_path):
    sitting = Sitting([Answer("1", "q\u2028\u0085\n", "r", "a\r\n</script>", 0.5), Answer("2", "", "", "", 1.0)])
    sitting.write(tmp_path / "s.jsonl")
    assert Sitting.read(tmp_path / "s.jsonl") == sitting


def test_sittings_are_paired_by_id():
    before = Sitting([Answer("a", "qa", "ra", "x", 0.0), Answer("b", "qb", "rb", "y", 1.0)])
    after = Sitting([Answer("b", "qb", "rb", "z", 0.5), Answer("a", "qa", "ra", "w", 1.0)])
    rows = {row["id"]: row for row in pair_answers(before, after)}
    assert (rows["a"]["before_points"], rows["a"]["after_points"]) == (0.0, 1.0)
    assert (rows["b"]["before"], rows["b"]["after"]) == ("y", "z")


def test_grader_is_a_choice():
    assert isinstance(Exam(QUESTIONS).grader, Marker)

"""Answers in batches that finished rows leave are those of one prompt after the other by `generate` alone."""

import ast
import sys
from collections import Counter
from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ftlab import Base, Exam, Marker
from ftlab.data.chat import Chat
from ftlab.errors import FtlabError
from ftlab.exam import prefill
from ftlab.exam.generation import Generation, generate
from ftlab.exam.with_vllm import ask, save_plain
from ftlab.methods import Adapter, LoRA, Prefix, Prompt
from tests.conftest import ROOT

QUESTIONS = str(ROOT / "experiments/lesson/exam.jsonl")
NEW = 10

#: Prompts of random tokens, some longer than the sliding windows below.
PROMPTS = [
    torch.randint(5, 900, (n,), generator=torch.Generator().manual_seed(n)).tolist()
    for n in (3, 4, 6, 7, 9, 12, 13, 15)
]

#: Architectures, with what is special about them.
ARCHITECTURES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "phi3": {"pad_token_id": 0},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "mistral": {"sliding_window": 6},
    "gemma2": {"sliding_window": 6, "head_dim": 8, "dtype": torch.float32},  # its padding is NaN in fp64
    "gemma3_text": {"sliding_window": 6, "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "mixtral": {"num_local_experts": 4, "dtype": torch.float32},  # its kernel of grouped products knows no fp64
}

#: Their caches hold more than keys and values: all rows stay to the end.
STAYING = {"mamba": {"state_size": 4}, "lfm2": {"layer_types": ["conv", "full_attention"], "block_ff_dim": 64}}


@pytest.fixture(autouse=True)
def few_prompts_at_a_time(monkeypatch):
    monkeypatch.setattr(prefill, "_TOKENS_ON_CPU", 20)


def random_model(architecture, dtype=torch.float64, **more):
    """Return a model whose answers differ from prompt to prompt, in fp64, where no rounding decides between tokens."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture,
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4} | more,
        num_key_value_heads=2,
        vocab_size=1024,
        initializer_range=0.5,
        tie_word_embeddings=False,
    )
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def alone(model, prompt, **options):
    """Return the new ids of one prompt by plain `generate`."""
    ids = torch.tensor([prompt])
    more = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0} | options
    return model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **more)[0, len(prompt) :].tolist()


def shapes(model):
    """Return a list that grows by the rows and tokens of each forward pass, up to this one."""
    seen = []
    model.get_input_embeddings().register_forward_pre_hook(lambda module, args: seen.append(tuple(args[0].shape)))
    return seen


def check_equal(model, chat, stays=False, together=False):
    """Hold batches, of which some answers end early, against single prompts."""
    plain = [alone(model, prompt, eos_token_id=None) for prompt in PROMPTS]
    ends = {*chat.end_ids, plain[1][1], plain[4][3], plain[6][5]}
    expected = [until(ids, ends) for ids in plain]  # what is likeliest does not depend on what ends an answer
    assert len({len(ids) for ids in expected}) >= 3
    model.generation_config.eos_token_id = sorted(ends)
    seen = shapes(model)
    answers = generate(model, chat, PROMPTS, Generation(NEW, batch_size=5))  # 8 prompts are two batches of 4
    assert [answer for [answer] in answers] == [chat.decode(ids) for ids in expected]
    steps = [rows for rows, tokens in seen if tokens == 1]
    assert (steps.count(4) >= len(steps) - 2) is stays  # but for the two that try it
    first = {shape for shape in seen if shape[1] > 1}
    assert ({(4, 15), (4, 7)} <= first) is together
    if not together:
        assert first == {(1, 15), (1, 13), (2, 12), (2, 7), (2, 4)}  # hardly any padding


def until(ids, ends):
    """Return ids up to the first that ends an answer."""
    return ids[: next((at + 1 for at, i in enumerate(ids) if i in ends), len(ids))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batches_that_rows_leave_give_the_answers_of_single_prompts(architecture, chat):
    more = ARCHITECTURES[architecture]
    check_equal(random_model(architecture, **more), chat, together="sliding_window" in more)


@pytest.mark.parametrize("architecture", STAYING)
def test_rows_stay_where_more_than_keys_and_values_is_carried(architecture, chat):
    check_equal(random_model(architecture, **STAYING[architecture]), chat, stays=True, together=True)


@pytest.mark.parametrize("method", [LoRA(4), Prefix(3), Prompt(3)], ids=["lora", "prefix", "prompt"])
def test_methods_give_the_answers_of_single_prompts(method, chat):
    model = method.apply(random_model("qwen2")).double().eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    check_equal(model, chat, together=not isinstance(method, LoRA))


def test_rows_stay_where_an_adapter_looks_at_the_prompts(chat):
    """aLoRA works from where a prompt says so, which it keeps for each row and `generate` does not know of."""
    config = peft.LoraConfig(alora_invocation_tokens=PROMPTS[3][1:3], init_lora_weights=False, task_type="CAUSAL_LM")
    model = peft.get_peft_model(random_model("qwen2"), config).double().eval()
    check_equal(model, chat, stays=True, together=True)


def test_rows_stay_where_a_model_keeps_something_of_each_prompt_out_of_sight(chat):
    model = random_model("qwen2")
    kept = []

    def keep(module, args, embedded):
        if args[0].shape[1] > 1:
            kept[:] = [embedded[:, -1:]]
            return embedded
        return embedded + kept[0]

    model.get_input_embeddings().register_forward_hook(keep)
    check_equal(model, chat, stays=True, together=True)


def test_drawn_answers_are_the_seeds(chat):
    model = random_model("qwen2")
    model.generation_config.eos_token_id = list(range(60))  # many answers end early, and their rows leave
    settings = {"max_new_tokens": NEW, "temperature": 0.7, "top_p": 0.9, "samples": 3}
    answers, again, other = (generate(model, chat, PROMPTS, Generation(**settings, seed=seed)) for seed in (1, 1, 2))
    assert answers == again != other
    assert len({answer for own in answers for answer in own}) > len(PROMPTS)


def test_drawn_answers_are_spread_as_temperature_and_share_say(chat):
    """Also those that go on after others have left."""
    model, prompt = random_model("qwen2"), PROMPTS[0]
    likeliest = nucleus(model, prompt)
    end = max(likeliest, key=likeliest.get)
    expected = {(): 1.0}
    for _ in range(3):
        longer = {}
        for ids, share in expected.items():
            after = {} if ids[-1:] == (end,) else nucleus(model, [*prompt, *ids])
            longer |= {(*ids, token): share * more for token, more in after.items()} or {ids: share}
        expected = longer
    model.generation_config.eos_token_id = end
    seen = shapes(model)
    settings = Generation(3, batch_size=2000, temperature=0.5, top_p=0.7, samples=2000)
    [drawn] = generate(model, Ids(chat.tokenizer), [prompt], settings)
    found = Counter(tuple(until(ast.literal_eval(text), {end})) for text in drawn)
    assert len(expected) > 5
    assert set(found) <= set(expected)
    assert sum(abs(found[ids] / 2000 - share) for ids, share in expected.items()) / 2 < 0.05
    assert seen[-1][0] < 2000


class Ids(Chat):
    """Gives back ids where an answer's text is asked for."""

    def decode(self, ids):
        return str(ids)


def nucleus(model, ids, temperature=0.5, top_p=0.7):
    """Return the shares of the likeliest tokens that together have at least so much, by one plain forward pass."""
    with torch.inference_mode():
        shares = (model(torch.tensor([ids])).logits[0, -1] / temperature).softmax(-1)
    largest, tokens = shares.sort(descending=True)
    kept = largest[: int((largest.cumsum(0) < top_p).sum()) + 1]
    return dict(zip(tokens.tolist(), (kept / kept.sum()).tolist(), strict=False))


@pytest.fixture(scope="module")
def tiny():
    return Base("ftlab/tiny").load_model()


def test_an_answer_ends_behind_the_first_marked_answer_where_that_one_counts(tiny, chat):
    """What follows would not have changed the points; where the last one counts, a later one might follow."""
    marks = {"begin": " ", "end": " "}
    exams = [
        Exam(QUESTIONS, Marker(**marks, counts=counts), limit=8, max_new_tokens=24) for counts in ("last", "first")
    ]
    whole, cut = (exam.sit(tiny, chat).answers for exam in exams)
    assert exams[0].generation.stop == ()
    first = Marker(**marks, counts="first")
    for long, short in zip(whole, cut, strict=True):
        assert long.answer.startswith(short.answer)
        assert first.grade(long.answer, long.reference) == short.points
    assert sum(len(long.answer) > len(short.answer) for long, short in zip(whole, cut, strict=True)) >= 3
    both = Exam(QUESTIONS, [first, Marker()])
    assert both.generation.stop == ()  # another grader reads on


@pytest.mark.parametrize(("counts", "points"), [("last", 0.0), ("first", 1.0)])
def test_which_of_several_marked_answers_counts(counts, points):
    assert Marker(counts=counts).grade("{{ans:5}}, no, {{ans:6}}", "{{ans:5}}") == points


def test_what_ends_answers_and_what_makes_them_is_part_of_what_they_are_kept_by(tiny, chat, tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path))
    for grader in (Marker(), Marker(counts="first"), Marker("is ", ".", counts="first"), Marker("was ", ".")):
        Exam(QUESTIONS, grader, limit=2, max_new_tokens=2).sit(tiny, chat, key="k")
    assert len(list((tmp_path / "answers").iterdir())) == 3  # the last grader has no part in the answers


def test_vllm_is_refused_where_it_cannot_run(chat):
    with pytest.raises(FtlabError, match=r"^exam\.engine: vllm needs (the command vllm|a GPU)"):
        Exam(QUESTIONS, engine="vllm").check(chat)


def test_what_vllm_loads_is_the_merged_model(chat, tmp_path):
    model = LoRA(4).apply(random_model("qwen2", dtype=torch.float32)).eval()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    save_plain(model, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.tensor(PROMPTS[-1:])
    torch.testing.assert_close(plain(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", [Prompt(3), Prefix(3), Adapter(4)], ids=["prompt", "prefix", "adapter"])
def test_vllm_is_refused_for_what_it_cannot_load(method, tmp_path):
    model = random_model("qwen2", dtype=torch.float32)
    model.name_or_path = Base().source()
    with pytest.raises(FtlabError, match=r"^exam\.engine: vllm answers for plain models"):
        save_plain(method.apply(model), tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_failure_of_vllm_is_one_line(tmp_path):
    """Here as of a Python without it, and without what would take seconds to load."""
    python = Path(sys.base_prefix, "bin/python3")
    with pytest.raises(FtlabError, match=r"^exam\.engine: vllm failed: .*; take transformers$"):
        ask(python, tmp_path, "float32", PROMPTS, Generation(), [2])

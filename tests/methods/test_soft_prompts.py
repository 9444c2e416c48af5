"""Virtual tokens: they train, survive checkpointing, generate as they were trained, are saved whole, and resume."""

import copy

import numpy as np
import pytest
import torch

from ftlab import Base, FineTuner
from ftlab.data.examples import Encoded
from ftlab.data.loader import collate
from ftlab.errors import FtlabError, SettingError
from ftlab.exam.generation import Generation, generate
from ftlab.methods import Prefix, Prompt, PTuning
from ftlab.methods.base import TRAINABLE_FILE, trainable
from ftlab.methods.peft_format import ADAPTER_FILE

N = 5
METHODS = {
    "prefix": Prefix(N),
    "projection": Prefix(N, projection=True, encoder_hidden_size=16),
    "prompt": Prompt(N),
    "mlp": PTuning(N, encoder_hidden_size=16),
    "lstm": PTuning(N, encoder="lstm", encoder_hidden_size=16),
}
NETWORKS = {"projection", "mlp", "lstm"}
TEXT = "You are a helper."
ROWS = [list(range(20, 34)), list(range(50, 57)), list(range(300, 310))]


@pytest.fixture(params=METHODS)
def kind(request):
    return request.param


@pytest.fixture
def method(kind):
    return METHODS[kind]


@pytest.fixture(params=["llama", "qwen2"])
def make(request, small_model):
    """Return a function that makes a base of large weights, so that two layers do something with what they see."""

    def make(checkpointing=False, architecture=request.param):
        model = small_model(architecture)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data *= 10
        model.name_or_path = Base().source()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        return model

    return make


@pytest.fixture
def batch(chat):
    """Three rows of different lengths, padded on the right; the second half of each is supervised."""
    examples = [Encoded(np.array(ids), np.float32(np.arange(len(ids)) >= len(ids) // 2)) for ids in ROWS]
    return collate([[example] for example in examples], chat.pad_id, step_tokens=1)


def tuner_of(model, method):
    tuner = FineTuner("ftlab/tiny", method)
    tuner.model = model.train()
    return tuner


def train(model, method, batch, steps=3):
    tuner = tuner_of(model, method)
    # Without decay of weights, so that only a gradient moves a parameter.
    optimizer = torch.optim.AdamW([p for g in method.param_groups(model) for p in g["params"]], 1e-2, weight_decay=0)
    for _ in range(steps):
        tuner.way.losses(batch).total.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@torch.no_grad()
def logits(model, ids):
    return model(input_ids=ids, use_cache=False).logits[:, -ids.shape[1] :].float()


def test_every_trainable_parameter_moves_and_no_other(make, method, batch):
    model = method.apply(make())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = tuner_of(model, method).way.losses(batch).total.item()
    train(model, method, batch)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trainable(model).keys()
    assert tuner_of(model, method).way.losses(batch).total.item() < loss


def test_as_many_as_the_papers_formula_says(make, method):
    base = make()
    expected = method.count(base)
    assert sum(p.numel() for p in trainable(method.apply(base)).values()) == expected


@pytest.mark.parametrize("cls", [Prefix, Prompt])
def test_virtual_tokens_of_a_text_are_that_text(cls, make, batch, chat):
    text = chat.tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    method = cls(len(text), init_text=TEXT)
    model = method.apply(make())
    before = torch.tensor(text).expand(len(ROWS), -1)
    written = {**batch, "input_ids": torch.cat([before, batch["input_ids"]], 1)}
    written["labels"] = torch.cat([torch.full_like(before, -100), batch["labels"]], 1)
    written["weights"] = torch.cat([torch.zeros_like(before), batch["weights"]], 1)
    expected = tuner_of(make(), method).way.losses(written)
    found = tuner_of(model, method).way.losses(batch)
    torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=0)
    torch.testing.assert_close(found.total, expected.total, rtol=1e-5, atol=1e-5)
    answers = generate(model, chat, ROWS, Generation(8, 3))
    assert answers == generate(make(), chat, [text + row for row in ROWS], Generation(8, 3))


def gradients(tuner, batch):
    tuner.way.losses(batch).total.backward()
    return {name: p.grad for name, p in trainable(tuner.model).items()}


def test_gradient_checkpointing_changes_no_gradient(make, method, batch):
    torch.manual_seed(1)
    model = train(method.apply(make()), method, batch)
    again = method.apply(make(checkpointing=True))
    again.load_state_dict(model.state_dict())
    tuners = [tuner_of(each, method) for each in (model, again)]
    for tuner in tuners:
        assert tuner.way  # found out by trying, which calls the block too
    calls = []
    again.get_base_model().model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    expected, found = (gradients(tuner, batch) for tuner in tuners)
    assert len(calls) == 2, "the block was not computed again"
    for name, gradient in expected.items():
        scale = gradient.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(found[name] / scale, gradient / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["prefix", "prompt"], indirect=True)
def test_gradient_checkpointing_of_gpt2(method, batch, chat):
    from transformers import AutoConfig, AutoModelForCausalLM

    def make(checkpointing):
        torch.manual_seed(0)
        size = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.2}
        config = AutoConfig.for_model("gpt2", vocab_size=len(chat.tokenizer), **size, attn_pdrop=0, resid_pdrop=0)
        model = AutoModelForCausalLM.from_config(config)
        model.transformer.drop.p = 0
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        return method.apply(model)

    model, again = make(False), make(True)
    assert sum(p.numel() for p in trainable(model).values()) == method.count(model.get_base_model())
    again.load_state_dict(model.state_dict())
    [expected], [found] = (gradients(tuner_of(m, method), batch).values() for m in (model, again))
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_answers_depend_on_neither_batch_nor_cache(checkpointing, make, method, batch, chat):
    model = train(method.apply(make(checkpointing)), method, batch)
    together = generate(model, chat, ROWS, Generation(10, 3))
    assert len({answer for [answer] in together}) == 3
    assert together == [generate(model, chat, [row], Generation(10, 1))[0] for row in ROWS]
    for row, [answer] in zip(ROWS, together, strict=True):  # each token again from the whole, as in training, no cache
        ids = list(row)
        for _ in range(10):
            ids.append(int(logits(model.eval(), torch.tensor([ids]))[0, -1].argmax()))
            if ids[-1] in chat.end_ids:
                break
        assert chat.decode(ids[len(row) :]) == answer
        output = model.generate(
            input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row)), max_new_tokens=10,
            do_sample=False, use_cache=False, eos_token_id=chat.end_ids, pad_token_id=chat.pad_id,
        )  # fmt: skip
        assert output[0].tolist() == ids


def test_left_padding_moves_no_logit(make, method, batch, chat):
    """Answers of a random model can agree by chance; its logits cannot."""
    model = train(method.apply(make()), method, batch).eval()
    longest = max(map(len, ROWS))
    ids = torch.tensor([[chat.pad_id] * (longest - len(row)) + row for row in ROWS])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ROWS])
    output = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=3, min_new_tokens=3, do_sample=False, eos_token_id=None,
        pad_token_id=chat.pad_id, output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    for i, row in enumerate(ROWS):
        whole = torch.tensor([row + output.sequences[i, longest : longest + 2].tolist()])
        expected = logits(model, whole)[0, -3:]
        torch.testing.assert_close(torch.stack([step[i] for step in output.logits]), expected, rtol=1e-4, atol=1e-4)


def test_saved_and_loaded_are_bit_equal(make, kind, method, batch, tmp_path):
    from peft import PeftModel

    model = train(method.apply(make()), method, batch)
    method.save(model, tmp_path)
    assert (tmp_path / TRAINABLE_FILE).is_file() == (kind in NETWORKS)
    torch.manual_seed(1)
    again = method.apply(make())
    with torch.no_grad():
        for parameter in trainable(again).values():
            parameter.add_(0.1)
    ids = batch["input_ids"]
    assert not torch.equal(logits(again, ids), logits(model, ids))
    method.load(again, tmp_path)
    for mode in (True, False):
        assert torch.equal(logits(again.train(mode), ids), logits(model.train(mode), ids))
    plain = PeftModel.from_pretrained(make(), tmp_path)
    torch.testing.assert_close(logits(plain, ids), logits(model, ids), rtol=0, atol=0)
    size = (tmp_path / ADAPTER_FILE).stat().st_size
    assert kind in NETWORKS or size < 4 * sum(p.numel() for p in trainable(model).values()) + 300


@pytest.mark.parametrize("other", [Prompt(N + 1), Prefix(N + 1), "LoRA"])
def test_weights_of_another_shape_or_method_are_refused(other, small_model, tmp_path):
    from ftlab.methods import LoRA

    other = LoRA() if other == "LoRA" else other
    own = Prefix(N) if isinstance(other, Prefix) else Prompt(N)
    other.save(other.apply(small_model()), tmp_path)
    with pytest.raises(FtlabError, match="use the run's own config"):
        own.load(own.apply(small_model()), tmp_path)


def test_a_checkpoint_resumes(method, batch):
    tuner, again = (FineTuner("ftlab/tiny", method, seed=seed) for seed in (1, 2))
    tuner.configure_model()
    again.configure_model()
    train(tuner.model, method, batch)
    checkpoint = {"state_dict": tuner.state_dict()}
    tuner.on_save_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == {f"model.{name}" for name in trainable(tuner.model)}
    assert not torch.equal(logits(again.model, batch["input_ids"]), logits(tuner.model, batch["input_ids"]))
    again.on_load_checkpoint(checkpoint)
    again.load_state_dict(checkpoint["state_dict"], strict=False)
    assert torch.equal(logits(again.model, batch["input_ids"]), logits(tuner.model, batch["input_ids"]))


def test_a_copy_is_a_model_of_its_own(make, method, batch, chat):
    model = train(method.apply(make(checkpointing=True)), method, batch)
    answers, same = generate(model, chat, ROWS, Generation(8, 3)), logits(model, batch["input_ids"])
    twin = copy.deepcopy(model)
    train(twin, method, batch, steps=5)
    assert torch.equal(logits(model, batch["input_ids"]), same)
    assert not torch.equal(logits(twin, batch["input_ids"]), same)
    method.apply(make())  # another model of the same classes
    assert generate(model, chat, ROWS, Generation(8, 3)) == answers
    first = logits(twin.eval(), torch.tensor([ROWS[0]]))[0, -1].argmax()
    assert generate(twin, chat, ROWS, Generation(1, 3))[0] == [chat.decode([int(first)])]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("make", ["qwen2"], indirect=True)
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_bfloat16(weights, checkpointing, make, method, batch, chat):
    """Autocast over fp32 weights, and weights of bfloat16 with the trained ones in fp32."""
    model = method.apply(make(checkpointing).to(weights))
    assert {p.dtype for p in trainable(model).values()} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16, enabled=weights == torch.float32):
        loss = tuner_of(model, method).way.losses(batch).total
        loss.backward()
        assert len(generate(model, chat, ROWS, Generation(4, 3))) == 3
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in trainable(model).values())


def test_merging_is_refused_with_the_reason(small_model, method):
    with pytest.raises(FtlabError, match="cannot be merged: virtual tokens are inputs, not weights"):
        method.merge(method.apply(small_model()))


def test_settings_that_make_no_sense():
    for cls in (Prefix, Prompt, PTuning):
        with pytest.raises(SettingError, match=r"method\.num_virtual_tokens: 0 is not 1 or more"):
            cls(num_virtual_tokens=0)
    for cls in (Prefix, PTuning):
        with pytest.raises(SettingError, match=r"method\.encoder_hidden_size"):
            cls(encoder_hidden_size=0)
    with pytest.raises(SettingError, match="leave this or projection out"):
        Prefix(init_text=TEXT, projection=True)


def test_a_text_that_does_not_fit_or_cannot_be_read(small_model):
    model = small_model()
    model.name_or_path = "no/such-model"
    with pytest.raises(ValueError, match="needs the tokenizer of 'no/such-model'"):
        Prompt(N, init_text=TEXT).apply(model)
    model.name_or_path = Base().source()
    with pytest.raises(ValueError, match="num_virtual_tokens is 2; it needs 1 to 2"):
        Prefix(2, init_text=TEXT).apply(model)

"""Packed chats give the loss and the gradients that they give alone, or the run is refused before it starts."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from ftlab import Chain, FineTuner, Freeze, Full, LoRA, Peft, Prefix, Prompt, PTuning
from ftlab.conformance.bench import digests
from ftlab.data.examples import Encoded
from ftlab.data.loader import collate
from ftlab.errors import SettingError
from ftlab.methods.base import trainable
from ftlab.training.row_packing import require_packable
from ftlab.training.unpadded import MULTIPLE, one_row
from ftlab.training.way import EXACT, ROUNDED, Way, require_packing
from tests.conformance.faulty_numbers import LooksAcrossARow
from tests.methods.test_peft_type import HAS_SKLEARN, RECORDS, table

VOCABULARY = 300

#: Windows are shorter than the examples, so that they count.
SMALL = {
    "llama": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16, "sliding_window": 4},
    "gemma3_text": {"head_dim": 16, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "mistral": {"sliding_window": 4},
    "phi": {},
    "phi3": {"sliding_window": 4, "pad_token_id": 0},
    "mixtral": {"num_local_experts": 4},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "attn_pdrop": 0, "resid_pdrop": 0, "embd_pdrop": 0},
}
#: Gemma 2 caps its scores, for which torch has no kernel.
KINDS = [
    pytest.param(name, kind, marks=[] if name in ("llama", "qwen2", "gemma2", "gemma3_text") else pytest.mark.slow)
    for name in SMALL
    for kind in ("eager", "sdpa")
    if (name, kind) != ("gemma2", "sdpa")
]
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "initializer_range": 0.1, "bos_token_id": 1, "eos_token_id": 2}


def make(architecture, attention="eager", dtype=torch.float32):
    """Return a random model of weights so large that two layers do something with what they see."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    settings = SIZES | SMALL.get(architecture, {})
    config = AutoConfig.for_model(architecture, vocab_size=VOCABULARY, **settings)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=dtype)


def examples():
    rng = np.random.default_rng(0)
    weights = np.array([0, 0, 0.3, 1, 1, 2.5], np.float32)
    return [
        Encoded(rng.integers(3, VOCABULARY, size=n).astype(np.int32), rng.choice(weights, size=n))
        for n in (12, 7, 1, 9, 16, 5, 3, 11)
    ]


def batches():
    """Return some examples, each in a row of its own, and packed in rows of different lengths, some with padding."""
    chats = examples()
    alone = collate([[chat] for chat in chats], 0, 1)
    packed = collate([chats[:3], chats[3:5], chats[5:7], chats[7:]], 0, 1)
    assert packed["position_ids"].shape == (4, 25)
    return alone, packed


def tuner_of(model, method):
    tuner = FineTuner("ftlab/tiny", method, speed=None)
    tuner.model = method.apply(model).train()
    torch.manual_seed(1)
    for name, parameter in trainable(tuner.model).items():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return tuner


def loss_and_gradients(tuner, batch):
    tuner.model.zero_grad()
    losses = tuner.way.losses(batch)
    loss, weight = losses.total, float(losses.weights.sum())
    loss.backward()
    return (
        loss.item(),
        weight,
        {name: p.grad.clone() for name, p in trainable(tuner.model).items() if p.grad is not None},
    )


def largest_difference(found, expected):
    """Return the largest relative difference of a loss or of a tensor's gradient, by its own norm."""
    assert found[1] == expected[1] > 0
    assert found[2].keys() == expected[2].keys() != set()
    scale = max(gradient.norm() for gradient in expected[2].values())
    differences = [abs(found[0] / expected[0] - 1)]
    for name, gradient in expected[2].items():  # what is nothing but rounding is measured by the largest
        differences.append(float((found[2][name] - gradient).norm() / max(gradient.norm(), 1e-2 * scale)))
    return max(differences)


@pytest.mark.parametrize(
    "checkpointing", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "checkpointing"]
)
@pytest.mark.parametrize("method", [LoRA(r=4, target_modules="all-linear"), Full()], ids=["LoRA", "Full"])
@pytest.mark.parametrize(("architecture", "attention"), KINDS)
def test_packed_rows_have_the_loss_and_gradients_of_their_examples(architecture, attention, method, checkpointing):
    model = make(architecture, attention)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    alone, packed = batches()
    tuner = tuner_of(model, method)
    expected = loss_and_gradients(tuner, alone)
    difference = largest_difference(loss_and_gradients(tuner, packed), expected)
    assert difference <= 1e-5
    run_together = {name: tensor for name, tensor in packed.items() if name != "position_ids"}
    assert largest_difference(loss_and_gradients(tuner, run_together), expected) > 1e-2


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_rows_laid_in_one_for_flash_kernels_are_the_same(architecture):
    """The kernels themselves need a GPU; what they are given does not."""
    _, packed = batches()
    tuner = tuner_of(make(architecture), Full())
    row, inputs = one_row(tuner.model, packed)
    assert row["input_ids"].shape == row["position_ids"].shape == (1, MULTIPLE)
    assert inputs["cu_seq_lens_q"].diff().tolist() == [*(len(chat.ids) for chat in examples()), 0][:-1]
    assert largest_difference(loss_and_gradients(tuner, row), loss_and_gradients(tuner, packed)) <= 1e-5


@pytest.mark.slow
def test_flex_attention_confines_itself_too():
    """On a CPU it has no backward pass."""
    _, packed = batches()
    with torch.no_grad():
        expected, found = (
            tuner_of(make("llama", attention), Full()).way.losses(packed).total.item()
            for attention in ("eager", "flex_attention")
        )
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "gemma3_text", "mistral", "phi"])
@pytest.mark.parametrize("method", [LoRA(), Full(), Freeze(last=1)], ids=lambda method: method.title)
def test_the_trial_passes_what_can_be_packed(architecture, method):
    assert require_packing(Way(method.apply(make(architecture))), "x") <= 1e-5


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "phi"])
def test_the_trial_passes_what_rounds(architecture):
    assert EXACT < require_packing(Way(Full().apply(make(architecture, dtype=torch.bfloat16))), "x") <= ROUNDED / 4


@pytest.mark.parametrize("architecture", ["opt", "bloom", "falcon", "mamba", "rwkv"])
def test_the_trial_refuses_models_that_do_not_heed_positions(architecture):
    with pytest.raises(SettingError, match=r"data.packing: Full on x cannot be packed: .*; set data.packing to false"):
        require_packing(Way(Full().apply(make(architecture))), "Full on x")


def test_the_trial_refuses_a_method_that_looks_across_a_row_later_on():
    model = LooksAcrossARow().apply(make("llama"))
    batch, _ = batches()
    with torch.no_grad():
        logits = model.eval()(batch["input_ids"], use_cache=False).logits
        torch.testing.assert_close(logits, make("llama")(batch["input_ids"], use_cache=False).logits)
    with pytest.raises(SettingError, match="chats that share a row change each other"):
        require_packing(Way(model), "LooksAcrossARow")


@pytest.mark.parametrize("method", [LoRA(dropout=0.5), Full()], ids=["LoRA", "Full"])
def test_the_trial_leaves_no_trace(method):
    model = method.apply(make("qwen2")).train()
    next(module for name, module in model.named_modules() if name.endswith("norm")).eval()
    first = next(iter(trainable(model).values()))
    first.grad = torch.ones_like(first)

    def state():
        gradients = {name: p.grad if p.grad is None else p.grad.sum().item() for name, p in model.named_parameters()}
        modes = {name: module.training for name, module in model.named_modules()}
        chance = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
        return digests(model), gradients, modes, chance

    before = state()
    require_packing(Way(model), "x")
    assert state() == before


TEXT = "its virtual tokens stand before a row, and each chat needs its own"


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (Prefix(), f"Prefix cannot be packed: {TEXT}"),
        (Prompt(), f"Prompt cannot be packed: {TEXT}"),
        (PTuning(), f"PTuning cannot be packed: {TEXT}"),
        (Chain([Freeze(last=1), Prompt()]), rf"Freeze \+ Prompt cannot be packed: Prompt: {TEXT}"),
        (Peft("CPT", {"cpt_token_ids": [1, 2]}), f"Peft cannot be packed: {TEXT}"),
        (Peft("LILY"), "Peft cannot be packed: its router takes the mean"),
    ],
    ids=lambda value: value.title if not isinstance(value, str) else "",
)
def test_methods_that_cannot_be_packed_say_so_before_anything_is_loaded(method, reason):
    with pytest.raises(SettingError, match=f"data.packing: {reason}.*; set data.packing to false"):
        require_packable(method)


def test_methods_that_can_be_packed_say_nothing():
    for method in (LoRA(), Full(), Chain([Freeze(last=1), LoRA()]), Peft("VERA")):
        require_packable(method)


@pytest.mark.slow
@pytest.mark.parametrize("peft_type", sorted(set(table.CASES) - {"XLORA"}))
def test_each_type_of_peft_says_itself_whether_it_can_be_packed(peft_type):
    if peft_type == "ADAMSS" and not HAS_SKLEARN:
        pytest.skip("scikit-learn is not installed")
    method = Peft(peft_type, RECORDS[peft_type]["settings"])
    model = method.apply(table.base("llama"))
    try:
        assert require_packing(Way(model), peft_type) <= 1e-5
        can = True
    except SettingError:
        can = False
    assert can == (method.why_not_packed() is None)

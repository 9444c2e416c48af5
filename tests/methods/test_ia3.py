"""IA3: its default layers by architecture, and its count."""

import pytest
import torch

from ftlab.methods import IA3
from ftlab.methods.base import trainable
from tests.methods.test_lora import logits, train


@pytest.mark.parametrize(
    ("architecture", "outputs", "inputs"),
    [
        ("llama", {"k_proj", "v_proj"}, {"down_proj"}),
        ("qwen2", {"k_proj", "v_proj"}, {"down_proj"}),
        ("olmo2", {"k_proj", "v_proj"}, {"down_proj"}),  # unknown to peft
        ("opt", {"k_proj", "v_proj"}, {"fc2"}),
        ("gpt2", {"c_attn"}, {"mlp.c_proj"}),
        ("gpt_neox", {"query_key_value"}, {"dense_4h_to_h"}),
    ],
)
def test_the_contract_holds_for(architecture, outputs, inputs, small_model, tmp_path):
    method = IA3()
    attention, feedforward = method.targets(small_model(architecture))
    assert (set(attention), set(feedforward)) == (outputs, inputs)
    before = logits(small_model(architecture))
    model = method.apply(small_model(architecture))
    assert torch.equal(logits(model), before)
    assert sum(p.numel() for p in trainable(model).values()) == method.count(small_model(architecture))
    train(method, model)
    expected = logits(model)
    assert not torch.equal(expected, before)
    method.save(model, tmp_path / "best")
    again = method.apply(small_model(architecture))
    method.load(again, tmp_path / "best")
    assert torch.equal(logits(again), expected)
    torch.testing.assert_close(logits(method.merge(model)), expected, rtol=0, atol=1e-4)


def test_counts_as_its_paper_says(small_model):
    """Two blocks: 16 keys, 16 values, 64 MLP activations."""
    assert IA3().count(small_model()) == 2 * (16 + 16 + 64)
    assert IA3(attention=["q_proj"], feedforward=[]).count(small_model()) == 2 * 32


def test_scales_stand_at_outputs_and_inputs(small_model):
    model = IA3(attention=["q_proj"], feedforward=["up_proj"]).apply(small_model())
    block = model.base_model.model.model.layers[0]
    assert block.self_attn.q_proj.ia3_l["default"].shape == (32, 1)  # a factor for each output
    assert block.mlp.up_proj.ia3_l["default"].shape == (1, 32)  # and for each input


@pytest.mark.parametrize("settings", [{"attention": ["key"]}, {"feedforward": ["up_proj", "fc2"]}])
def test_names_that_are_not_there_are_refused(settings, small_model):
    with pytest.raises(ValueError, match=r"set it to names of this llama model's linear layers: down_proj, gate_proj"):
        IA3(**settings).apply(small_model("llama"))


def test_an_unknown_architecture_asks_for_names(small_model):
    model = small_model("llama")
    for block in model.model.layers:
        block.mlp.third = block.mlp.down_proj
        del block.mlp.down_proj
    model.config.model_type = "novel"
    with pytest.raises(ValueError, match="feedforward: set it to names of this novel model's"):
        IA3().targets(model)
    attention, feedforward = IA3(feedforward=["third"]).targets(model)
    assert (len(attention["k_proj"]), len(feedforward["third"])) == (2, 2)

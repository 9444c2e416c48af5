"""Anatomy: the same parts are found in decoders that name them differently."""

import pytest
import torch
from torch import nn

from ftlab.errors import SettingError
from ftlab.methods import LoRA, anatomy

IDS = torch.arange(10, 30).reshape(2, 10)

#: Architecture: list of blocks, attention, MLP, embeddings that act before the blocks, number of norms' parameters.
PARTS = {
    "bloom": ("transformer.h", "self_attention", "mlp", {"word_embeddings", "word_embeddings_layernorm"}, 12),
    "gemma2": ("model.layers", "self_attn", "mlp", {"embed_tokens"}, 9),
    "gpt2": ("transformer.h", "attn", "mlp", {"wte", "wpe"}, 10),
    "gpt_neox": ("gpt_neox.layers", "attention", "mlp", {"embed_in"}, 10),
    "mixtral": ("model.layers", "self_attn", "mlp", {"embed_tokens"}, 5),
    "opt": ("model.decoder.layers", "self_attn", "fc2", {"embed_tokens", "embed_positions"}, 10),
    "qwen2": ("model.layers", "self_attn", "mlp", {"embed_tokens"}, 5),
}


@pytest.mark.parametrize("architecture", PARTS)
def test_parts(architecture, small_model):
    blocks, attention, mlp, below, norms = PARTS[architecture]
    model = small_model(architecture)
    found = anatomy.blocks(model)
    assert list(found) == [f"{blocks}.0", f"{blocks}.1"]
    for block in found.values():
        assert anatomy.mixers(block) == [getattr(block, attention)]
        assert anatomy.mlp(block) is getattr(block, mlp)
    assert {name.split(".")[-2] for name in anatomy.below_blocks(model)} == below
    assert len(anatomy.norms(model)) == norms
    assert anatomy.width(model) == 32


def test_names_inside_peft_are_the_wrapped_models(small_model):
    model = LoRA().apply(small_model())
    assert list(anatomy.blocks(model)) == ["base_model.model.model.layers.0", "base_model.model.model.layers.1"]
    assert list(anatomy.head(model)) == ["base_model.model.lm_head.weight"]
    assert list(anatomy.embeddings(model)) == ["base_model.model.model.embed_tokens.weight"]
    found = anatomy.matching(r"^model\.layers\.1\.mlp\.up_proj\.weight$", dict(model.named_parameters()))
    assert list(found) == ["base_model.model.model.layers.1.mlp.up_proj.base_layer.weight"]


def test_the_longer_list_of_smaller_things_is_not_the_blocks(small_model):
    model = small_model()
    model.model.scales = nn.ModuleList(nn.Linear(2, 2) for _ in range(5))
    assert list(anatomy.blocks(model)) == ["model.layers.0", "model.layers.1"]


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2"])
def test_an_untied_head_stays_untied(architecture, small_model, tmp_path):
    from transformers import AutoModelForCausalLM

    model = small_model(architecture).eval()
    embeddings = model.get_input_embeddings().weight
    assert list(anatomy.head(model)) == list(anatomy.embeddings(model))
    before = model(IDS).logits
    anatomy.untie_head(model)
    model.tie_weights()
    assert torch.equal(model(IDS).logits, before)
    assert list(anatomy.head(model)) == ["lm_head.weight"]
    assert model.get_input_embeddings().weight is embeddings
    with torch.no_grad():
        model.get_output_embeddings().weight.add_(0.1)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    assert torch.equal(again.get_input_embeddings().weight, embeddings)


def test_a_head_of_its_own_is_left_alone(small_model):
    model = small_model()
    head = model.lm_head.weight
    anatomy.untie_head(model)
    assert model.lm_head.weight is head


@pytest.mark.parametrize(
    ("pattern", "near"), [("q_prj", "q_proj"), (r"layers\.7\.mlp", r"layers\.1\.mlp|layers\.0\.mlp")]
)
def test_a_pattern_without_a_match_tells_the_nearest_names(pattern, near, small_model):
    with pytest.raises(ValueError, match=f"the nearest are.*({near})"):
        anatomy.matching(pattern, dict(small_model().named_parameters()))


def test_what_is_no_regular_expression_is_refused():
    with pytest.raises(SettingError, match=r"method\.freeze: '\*\.mlp' is not a regular expression: nothing to repeat"):
        anatomy.require_patterns("method.freeze", ["*.mlp"])

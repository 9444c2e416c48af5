"""Freeze: what is named is trained and nothing else, the fixed feature extractor above all."""

import copy

import pytest
import torch

from ftlab.errors import FtlabError, SettingError
from ftlab.methods import Full, LoRA
from ftlab.methods.adapter import Adapter
from ftlab.methods.base import is_peft, trainable
from ftlab.methods.chain import Chain
from ftlab.methods.freeze import Freeze

IDS = torch.arange(10, 30).reshape(2, 10)

#: Parameters of one block of the small qwen2, width 32: q, k, v, o with biases of the first three, the MLP, two norms.
BLOCK = (32 * 32 + 32) + 2 * (16 * 32 + 16) + 32 * 32 + 3 * 32 * 64 + 2 * 32


def train(model, steps=3):
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2)
    for _ in range(steps):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def tops(model):
    """Return the names of what is trained without their last piece, up to the block."""
    return {".".join(name.split(".")[:3]).removesuffix(".weight") for name in trainable(model)}


@pytest.mark.parametrize(
    ("settings", "tops_wanted"),
    [
        ({}, {"model.layers.1"}),
        ({"last": 1}, {"model.layers.1"}),
        ({"last": 2}, {"model.layers.0", "model.layers.1"}),
        ({"first": 1}, {"model.layers.0"}),
        ({"last": 0, "head": True}, {"lm_head"}),
        ({"head": True, "embeddings": True}, {"lm_head", "model.embed_tokens"}),
        ({"first": 1, "norms": True}, {"model.layers.0", "model.layers.1", "model.norm"}),
        ({"modules": [r"layers\.1\.mlp", "^lm_head"]}, {"model.layers.1", "lm_head"}),
    ],
)
def test_what_is_trained(settings, tops_wanted, small_model):
    method = Freeze(**settings)
    base = small_model()
    counted = method.count(base)
    before = base(IDS).logits
    model = method.apply(base)
    assert torch.equal(model(IDS).logits, before)
    assert tops(model) == tops_wanted
    assert counted == sum(p.numel() for p in trainable(model).values())


def test_counts_by_hand(small_model):
    model = small_model()
    vocabulary = model.config.vocab_size
    assert Freeze(last=1).count(model) == BLOCK == 9344
    assert Freeze(norms=True).count(model) == 5 * 32
    assert Freeze(modules=["down_proj"]).count(model) == 2 * 32 * 64
    assert Freeze(modules=["down_proj", "mlp"]).count(model) == 2 * 3 * 32 * 64
    assert Freeze(last=0, head=True).count(model) == 32 * vocabulary == Freeze(head=True).count(small_model("gemma2"))
    assert Full().count(small_model("gemma2")) == sum(p.numel() for p in small_model("gemma2").parameters())


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2", "gpt_neox", "mixtral", "phi", "qwen2"])
def test_in_every_architecture(architecture, small_model):
    method = Freeze(last=1, head=True)
    base = small_model(architecture)
    counted = method.count(base)
    model = method.apply(base)
    names = trainable(model)
    assert {".1." in name for name in names} == {True, False}
    assert not [name for name in names if ".0." in name or "embed_tokens" in name or "wte" in name]
    assert counted == sum(p.numel() for p in names.values())


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2", "qwen2"])
def test_the_fixed_feature_extractor(architecture, small_model, tmp_path):
    """Tied or not, features stay; the model is the same when saved whole and when saved as trained tensors."""
    from transformers import AutoModelForCausalLM

    method = Freeze(last=0, head=True)
    features = small_model(architecture).eval().get_decoder()(IDS).last_hidden_state
    model = train(method.apply(small_model(architecture)))
    logits = model(IDS).logits
    assert not torch.allclose(logits, small_model(architecture).eval()(IDS).logits, atol=1e-3)
    assert torch.equal(model.get_decoder()(IDS).last_hidden_state, features)

    method.merge(copy.deepcopy(model)).save_pretrained(tmp_path / "whole")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert torch.equal(again(IDS).logits, logits)

    method.save(model, tmp_path / "trained")
    again = method.apply(small_model(architecture)).eval()
    method.load(again, tmp_path / "trained")
    assert torch.equal(again(IDS).logits, logits)
    assert torch.equal(again.get_decoder()(IDS).last_hidden_state, features)


def test_embeddings_and_tied_head_stay_one_matrix(small_model, tmp_path):
    method = Freeze(head=True, embeddings=True)
    model = train(method.apply(small_model("gemma2")))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    method.save(model, tmp_path)
    again = method.apply(small_model("gemma2")).eval()
    method.load(again, tmp_path)
    assert torch.equal(again(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("architecture", ["gemma2", "qwen2"])
@pytest.mark.parametrize("head", [False, True])
def test_before_a_lora(architecture, head, small_model, tmp_path):
    from transformers import AutoModelForCausalLM

    chain = Chain([Freeze(last=1, head=head), LoRA(r=2)])
    base = small_model(architecture)
    frozen = {name: p.detach().clone() for name, p in base.named_parameters() if ".1." not in name}
    model = chain.apply(base)
    names = trainable(model)
    lora = {name for name in names if "lora_" in name}
    own = names.keys() - lora
    assert {".layers.1." in name or (head and name.endswith("lm_head.weight")) for name in own} == {True}
    assert {".layers.0." in name for name in lora} == {True, False}
    alone = trainable(LoRA(r=2).apply(small_model(architecture)))
    assert len(lora) == len(alone)
    assert sum(names[name].numel() for name in own) == Freeze(last=1, head=head).count(small_model(architecture))
    assert [group["name"] for group in chain.param_groups(model)] == ["Freeze", "LoRA"]

    start = {name: p.detach().clone() for name, p in names.items()}
    train(model)
    assert all(not torch.equal(p, start[name]) for name, p in names.items())
    ends = {name.replace("base_model.model.", "").replace(".base_layer", ""): p for name, p in model.named_parameters()}
    kept = frozen.keys() - {"lm_head.weight"}
    assert all(torch.equal(ends[name], frozen[name]) for name in kept)

    logits = model(IDS).logits
    chain.save(model, tmp_path / "w")
    again = chain.apply(small_model(architecture)).eval()
    chain.load(again, tmp_path / "w")
    assert torch.equal(again(IDS).logits, logits)
    merged = chain.merge(model)
    assert not is_peft(merged)
    merged.save_pretrained(tmp_path / "whole")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(whole(IDS).logits, logits, rtol=0, atol=1e-5)


def test_norms_beside_adapters_as_houlsby_trains_them(small_model):
    chain = Chain([Adapter(bottleneck=4, placement="houlsby"), Freeze(norms=True)])
    assert chain.count(small_model()) == 1168 + 5 * 32
    assert sum(p.numel() for p in trainable(chain.apply(small_model())).values()) == 1168 + 5 * 32


def test_after_a_method_whose_weights_lie_in_the_block_it_is_refused(small_model):
    with pytest.raises(FtlabError, match=r"LoRA and Freeze both train .*layers\.1.*lora_A"):
        Chain([LoRA(), Freeze(last=1)]).apply(small_model())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"last": 3}, "3 blocks are to be trained and it has 2"),
        ({"first": 9}, "9 blocks are to be trained and it has 2"),
        ({"modules": ["mlp", "q_prj"]}, "'q_prj' is in the name of no parameter to train; the nearest are.* q_proj"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message, small_model):
    with pytest.raises(ValueError, match=message):
        Freeze(**settings).apply(small_model())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"last": 1, "first": 1}, r"method\.first: stands beside method\.last"),
        ({"first": 0, "modules": ["mlp"]}, r"method\.modules: stands beside method\.first"),
        ({"last": 0}, r"method\.last: 0 is not enough to train; name a part"),
        ({"modules": []}, r"method\.modules: \[\] is not enough to train"),
        ({"first": -1}, r"method\.first: -1 is not 0 or more"),
        ({"modules": ["*.mlp"]}, r"method\.modules: '\*\.mlp' is not a regular expression"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(SettingError, match=message):
        Freeze(**settings)


def test_packed_weights_cannot_be_trained(small_model):
    model = small_model()
    weight = model.model.layers[1].mlp.up_proj
    weight.weight = torch.nn.Parameter(torch.zeros(64, 32, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ValueError, match=r"model\.layers\.1\.mlp\.up_proj\.weight is quantized and cannot be trained"):
        Freeze(last=1).apply(model)
    assert Freeze(first=1).apply(model) is model

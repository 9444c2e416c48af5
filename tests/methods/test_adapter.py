"""Adapter: bottlenecks in every block of whatever architecture, equal to the base at the start."""

import copy

import pytest
import torch
from safetensors.torch import load_file

from ftlab import Base
from ftlab.errors import FtlabError, SettingError
from ftlab.methods import LoRA
from ftlab.methods.adapter import Adapter
from ftlab.methods.base import trainable
from ftlab.methods.chain import Chain
from ftlab.methods.freeze import Freeze

IDS = torch.arange(10, 30).reshape(2, 10)
ARCHITECTURES = (
    "gemma2 gemma3_text gpt2 gpt_neox llama llama4_text mistral mixtral opt phi qwen2 qwen2_moe qwen3".split()
)


def randomize(model, seed=1):
    torch.manual_seed(seed)
    for parameter in trainable(model).values():
        torch.nn.init.normal_(parameter, std=0.1)


def gradients(model):
    model.zero_grad()
    model(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
    return {name: p.grad.clone() for name, p in trainable(model).items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("placement", ["houlsby", "pfeiffer", "parallel"])
def test_every_block_has_its_own(architecture, placement, small_model):
    if (architecture, placement) == ("opt", "parallel"):
        pytest.skip("its MLP is two bare layers")
    method = Adapter(bottleneck=4, placement=placement, activation="gelu")
    model = small_model(architecture).eval()
    before, counted = model(IDS).logits, method.count(model)
    model = method.apply(model).eval()
    assert torch.equal(model(IDS).logits, before)

    names = trainable(model)
    assert all(".adapter." in name for name in names)
    per_block = 2 if placement == "houlsby" else 1
    for block in (".0.", ".1."):
        assert len([name for name in names if block in name and name.endswith("adapter.down")]) == per_block
    width = model.config.hidden_size
    assert counted == 2 * per_block * (2 * 4 * width + width + 4) == sum(p.numel() for p in names.values())

    randomize(model)
    assert not torch.allclose(model(IDS).logits, before)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(model).values())


def test_the_count_by_hand(small_model):
    """Width 32, two blocks, bottleneck 4: 2 * (2 * 4 * 32 + 32 + 4) = 584."""
    assert Adapter(bottleneck=4).count(small_model()) == 584
    assert Adapter(bottleneck=4, placement="houlsby").count(small_model()) == 1168


def expected(adapter, hidden, scaling):
    down, down_bias, up, up_bias = (adapter[name] for name in ("down", "down_bias", "up", "up_bias"))
    return scaling * (torch.relu(hidden @ down.T + down_bias) @ up.T + up_bias)


@pytest.mark.parametrize("placement", ["pfeiffer", "parallel"])
def test_the_formula(placement, small_model):
    plain = small_model().model.layers[1].mlp
    model = Adapter(bottleneck=4, placement=placement, scaling=3.0).apply(small_model())
    randomize(model)
    mlp, x = model.model.layers[1].mlp, torch.randn(2, 5, 32)
    read = x if placement == "parallel" else plain(x)
    torch.testing.assert_close(mlp(x), plain(x) + expected(mlp.adapter, read, 3.0), rtol=0, atol=1e-6)


def test_attention_is_changed_before_the_residual(small_model):
    plain = small_model().eval()
    model = Adapter(bottleneck=4, placement="houlsby").apply(small_model()).eval()
    randomize(model)
    seen = {}
    for name, m in (("plain", plain), ("changed", model)):
        m.model.layers[0].self_attn.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out[0]}))
        m(IDS)
    adapter = model.model.layers[0].self_attn.adapter
    wanted = seen["plain"] + expected(adapter, seen["plain"], 1.0)
    torch.testing.assert_close(seen["changed"], wanted, rtol=0, atol=1e-6)


def test_dropout_acts_in_training_only(small_model):
    model = Adapter(dropout=0.5).apply(small_model())
    randomize(model)
    model.train()
    assert not torch.equal(model(IDS).logits, model(IDS).logits)
    model.eval()
    assert torch.equal(model(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("placement", ["houlsby", "parallel"])
def test_a_copy_is_independent(placement, small_model):
    model = Adapter(placement=placement).apply(small_model()).eval()
    randomize(model)
    before = model(IDS).logits
    twin = copy.deepcopy(model)
    assert torch.equal(twin(IDS).logits, before)
    randomize(twin, seed=2)
    assert not torch.allclose(twin(IDS).logits, before)
    assert torch.equal(model(IDS).logits, before)


@pytest.mark.parametrize("placement", ["houlsby", "parallel"])
def test_gradient_checkpointing_changes_nothing(placement, small_model):
    model = Adapter(placement=placement).apply(small_model()).train()
    randomize(model)
    kept = gradients(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert all(torch.equal(gradient, kept[name]) for name, gradient in gradients(model).items())


def test_a_base_in_bf16_keeps_adapters_in_fp32(small_model):
    model = Adapter().apply(small_model().to(torch.bfloat16))
    assert {p.dtype for p in trainable(model).values()} == {torch.float32}
    assert model(IDS).logits.dtype == torch.bfloat16
    assert {gradient.dtype for gradient in gradients(model).values()} == {torch.float32}


def test_only_the_bottlenecks_are_saved(small_model, tmp_path):
    method = Adapter(bottleneck=4)
    model = method.apply(small_model())
    randomize(model)
    method.save(model, tmp_path)
    [file] = tmp_path.iterdir()
    assert sum(tensor.numel() for tensor in load_file(file).values()) == 584
    again = method.apply(small_model())
    method.load(again, tmp_path)
    assert torch.equal(again.eval()(IDS).logits, model.eval()(IDS).logits)


def test_merging_is_refused_with_the_reason(small_model):
    with pytest.raises(FtlabError, match="Adapter cannot be merged, for no weight matrix computes"):
        Adapter().merge(Adapter().apply(small_model()))
    chain = Chain([LoRA(), Adapter()])
    with pytest.raises(FtlabError, match="Adapter cannot be merged"):
        chain.merge(chain.apply(small_model()))


@pytest.mark.parametrize("adapter_first", [False, True])
def test_beside_a_lora(adapter_first, small_model, tmp_path):
    methods = [LoRA(r=2), Adapter(bottleneck=4)]
    chain = Chain(methods[::-1] if adapter_first else methods)
    model = chain.apply(small_model())
    names = trainable(model)
    assert {"lora_" in name for name in names if ".adapter." not in name} == {True}
    assert not [name for name in names if ".adapter." in name and "lora_" in name]
    assert sum(p.numel() for name, p in names.items() if ".adapter." in name) == 584
    alone = trainable(LoRA(r=2).apply(small_model()))
    assert sum(p.numel() for p in names.values()) == 584 + sum(p.numel() for p in alone.values())
    randomize(model)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(model).values())
    chain.save(model, tmp_path)
    again = chain.apply(small_model())
    chain.load(again, tmp_path)
    assert torch.equal(again.eval()(IDS).logits, model.eval()(IDS).logits)


@pytest.mark.parametrize(
    ("architecture", "placement", "message"),
    [
        ("bloom", "pfeiffer", "BloomMLP adds the residual .*; take placement: parallel"),
        ("opt", "parallel", "not a module of its own.*; take placement: pfeiffer"),
        ("mamba", "pfeiffer", "no MLP for an adapter; take placement: houlsby"),
    ],
)
def test_what_does_not_fit_is_refused(architecture, placement, message, small_model):
    with pytest.raises(ValueError, match=message):
        Adapter(placement=placement).apply(small_model(architecture))


def test_two_in_one_place_are_refused(small_model):
    with pytest.raises(ValueError, match="Qwen2MLP has an adapter already"):
        Chain([Adapter(), Adapter()]).apply(small_model())


@pytest.mark.parametrize("setting", [{"bottleneck": 0}, {"dropout": 1.0}, {"scaling": 0.0}])
def test_settings_are_checked(setting):
    with pytest.raises(SettingError, match=f"method.{next(iter(setting))}"):
        Adapter(**setting)


def test_on_a_base_in_4_bits():
    """In training mode, for in evaluation bitsandbytes repacks weights on some CPUs and passes no gradient then."""
    from transformers import BitsAndBytesConfig

    packed = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    model = Base("ftlab/tiny").load_model(quantization_config=packed).train()
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    with pytest.raises(ValueError, match=r"model\.layers\.3\..* is quantized and cannot be trained"):
        Freeze(last=1).apply(model)
    before = model(IDS).logits
    method = Adapter(bottleneck=4, placement="houlsby")
    assert method.count(model) == 8 * (2 * 4 * 192 + 192 + 4)
    model = method.apply(model)
    assert torch.equal(model(IDS).logits, before)
    randomize(model)
    assert len(found := gradients(model)) == 8 * 4
    assert all(gradient.abs().sum() > 0 for gradient in found.values())

"""QLoRA on real bitsandbytes on the CPU: NF4, FP4 and 8 bits."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ftlab import Base, FineTuner
from ftlab.errors import SettingError
from ftlab.methods import Chain, DifferentialLR, Full, QLoRA
from ftlab.methods.base import trainable
from tests.methods.test_lora import IDS, batches, logits, started, train

SETTINGS = [
    {},
    {"quant_type": "fp4"},
    {"double_quant": False},
    {"bits": 8},
    {"dora": True},
    {"init": "eva"},
    {"init": "loftq"},
    {"bits": 8, "init": "eva"},
    {"bias": "all", "modules_to_save": ["lm_head"]},
    {"bits": 8, "bias": "lora_only"},
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A random model whose weights come in whole blocks of 64, and large enough for rounding to show."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen2",
        vocab_size=128,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("base")
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def load(folder):
    """Load the base as a method wants it."""
    return lambda method=None, dtype="float32": Base(str(folder), dtype=dtype).load_model(
        **(method.load_kwargs() if method else {})
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_contract_holds_with(settings, load, tmp_path):
    """Everything in float32, where the quantized and the unpacked model are one."""
    from peft import PeftModel

    method = QLoRA(r=4, **settings).exact()
    before = load(method).train()(IDS).logits.detach()
    model = started(method, load(method))
    kinds = {type(m).__name__ for m in model.modules() if "bit" in type(m).__name__}
    assert kinds == ({"Linear8bitLt"} if method.bits == 8 else {"Linear4bit"})
    at_start = logits(model)
    assert torch.allclose(at_start, before, rtol=0, atol=1e-5) is method.starts_as_base
    free = {name: p.detach().clone() for name, p in trainable(model).items()}
    packed = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    assert sum(p.numel() for p in free.values()) == method.count(load()) == method.count(load(method))

    train(method, model)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in packed.items())
    assert not any(torch.equal(now[name], value) for name, value in free.items())
    expected = logits(model)
    assert (expected - at_start).abs().max() > 0.1

    method.save(model, tmp_path / "best")
    again = method.apply(load(method))
    method.load(again, tmp_path / "best")
    assert torch.equal(logits(again), expected)
    # In evaluation mode bitsandbytes alone computes on a CPU what it has no gradient for, and less exactly.
    plain = PeftModel.from_pretrained(load(method), tmp_path / "best").train()
    torch.testing.assert_close(plain(IDS).logits, expected, rtol=0, atol=1e-5)

    merged = method.merge(model)
    assert not hasattr(merged.config, "quantization_config")
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(merged), expected, rtol=0, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert "quantization_config" not in (tmp_path / "merged/config.json").read_text()
    torch.testing.assert_close(logits(opened), expected, rtol=0, atol=1e-4)


def test_pefts_own_merge_rounds_and_ours_does_not(load):
    """The reason for a merge of our own."""
    method = QLoRA(r=4).exact()
    model = method.apply(load(method))
    train(method, model)
    expected = logits(model)
    rounded = method.apply(load(method))
    rounded.load_state_dict(trainable(model), strict=False)
    theirs = rounded.merge_and_unload()
    assert (theirs.train()(IDS).logits - expected).abs().max() > 1e-2
    assert (logits(method.merge(model)) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_computation_stays_near_the_merged(bits, load):
    """What a run computes by default differs from the merged model by the rounding of the products alone."""
    method = QLoRA(r=4, bits=bits, compute_dtype="bfloat16")
    model = method.apply(load(method, "bfloat16"))
    assert {p.dtype for p in trainable(model).values()} == {torch.float32}
    train(method, model)
    expected = logits(model)
    difference = (logits(method.merge(model)) - expected).norm() / expected.norm()
    assert 0 < difference < 0.05


def test_an_exam_does_not_cut_the_gradient(load):
    """On CPUs with AVX-512 bf16, bitsandbytes repacks weights in evaluation mode and then has no gradient for them."""
    method = QLoRA(r=4).exact()

    def gradient(exam):
        torch.manual_seed(0)
        model = method.apply(load(method))
        if exam:
            for module in model.modules():  # as if this were such a CPU, were it not switched off
                assert getattr(module, "support_avx512bf16_for_cpu", False) is False
            logits(model)
        model.train()(input_ids=IDS, labels=IDS).loss.backward()
        return {name: p.grad for name, p in trainable(model).items()}

    with_exam, without = gradient(True), gradient(False)
    assert all(torch.equal(with_exam[name], value) for name, value in without.items())


@pytest.mark.parametrize("alpha", [4, 16])
def test_loftq_makes_up_for_the_largest_part_of_the_rounding(alpha, load):
    """B A is the best approximation of rank r to what quantization took, whatever scales it."""
    original = load()
    method = QLoRA(r=4, alpha=alpha, init="loftq").exact()
    model = started(method, load(method))
    layer = model.base_model.model.model.layers[1].mlp.down_proj
    lost = original.model.layers[1].mlp.down_proj.weight.detach() - layer.base_layer(torch.eye(128)).detach().T
    u, s, v = torch.linalg.svd(lost)
    best = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
    torch.testing.assert_close(layer.get_delta_weight("default"), best, rtol=0, atol=1e-5)
    rounded = load(method).train()(IDS).logits
    exact = logits(original)
    assert (logits(model) - exact).norm() < (rounded - exact).norm()


def test_gradient_checkpointing_gives_the_same_gradients(folder):
    def gradients(checkpointing):
        base = Base(str(folder), gradient_checkpointing=checkpointing)
        torch.manual_seed(0)
        method = QLoRA(r=4).exact()
        model = method.apply(base.load_model(**method.load_kwargs())).train()
        model(input_ids=IDS, labels=IDS).loss.backward()
        return {name: p.grad for name, p in trainable(model).items()}

    plain, checkpointed = gradients(False), gradients(True)
    for name, value in plain.items():
        torch.testing.assert_close(checkpointed[name], value)


def test_the_base_is_packed(load):
    """4 bits take an eighth of float32 where they apply, 8 bits a quarter."""

    def size(**settings):
        model = load(QLoRA(**settings) if settings else None)
        return sum(p.numel() * p.element_size() for n, p in model.named_parameters() if "proj.weight" in n)

    assert size(bits=4) == size() / 8
    assert size(bits=8) == size() / 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init": "pissa"}, r"method\.init: pissa reads the base's weights, which are packed here"),
        ({"init": "olora"}, r"method\.init: olora reads"),
        ({"init": "loftq", "dora": True}, "no rule for DoRA"),
        ({"bits": 8, "dora": True}, r"method\.bits: peft loses the scales"),
        ({"r": 0}, r"method\.r"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        QLoRA(**settings)


def test_bases_that_do_not_fit_are_refused(load, folder):
    with pytest.raises(ValueError, match="the base is not quantized"):
        QLoRA().apply(load())
    tuner = FineTuner(Base(str(folder)), QLoRA(bias="all", compute_dtype="bfloat16"))
    with pytest.raises(ValueError, match="set that to float32 to train them"):
        tuner.method.apply(load(tuner.method))


def test_batches_of_eva_reach_packed_layers(load):
    method = QLoRA(r=2, init="eva")
    model = method.apply(load(method))
    before = {name: p.detach().clone() for name, p in trainable(model).items()}
    method.initialize(model, batches(128))
    assert all(torch.equal(p, before[name]) is ("lora_B" in name) for name, p in trainable(model).items())


def test_loftq_reads_the_base_again_for_a_fresh_start_only(load, monkeypatch, tmp_path):
    """Opening a run is `apply` and `load`."""
    method = QLoRA(r=4, init="loftq").exact()
    model = started(method, load(method))
    method.save(model, tmp_path)
    base = load(method)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    again = method.apply(base)
    method.load(again, tmp_path)
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("method", [Full(), DifferentialLR(), Chain([Full(), DifferentialLR()])], ids=lambda m: m.title)
def test_what_trains_the_whole_base_refuses_a_packed_one(method, bits, load):
    with pytest.raises(ValueError, match="its weights are packed and cannot be trained; take QLoRA"):
        method.apply(load(QLoRA(bits=bits)))


def test_a_list_with_it_may_group(load):
    chain = Chain([QLoRA(r=2), DifferentialLR(layer_decay=0.5)])
    groups = chain.param_groups(chain.apply(load(chain)))
    assert {group["name"]: group["lr_scale"] for group in groups} == {"QLoRA/block.0": 0.5, "QLoRA/block.1": 1.0}

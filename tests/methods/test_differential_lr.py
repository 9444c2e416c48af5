"""DifferentialLR: every parameter at its own multiple of the rate, alone and over what others train."""

import pytest
import torch

from ftlab.errors import SettingError
from ftlab.methods import Full, LoRA
from ftlab.methods.adapter import Adapter
from ftlab.methods.base import trainable
from ftlab.methods.chain import Chain
from ftlab.methods.differential_lr import DifferentialLR
from ftlab.training.optimizer import Optimizer

IDS = torch.arange(10, 30).reshape(2, 10)


def scales(method, model):
    """Return the scale of every trainable parameter by name, which shows that each is in one group."""
    names = {id(p): name for name, p in trainable(model).items()}
    found = [(names[id(p)], group["lr_scale"]) for group in method.param_groups(model) for p in group["params"]]
    assert sorted(name for name, _ in found) == sorted(names.values())
    return dict(found)


def named(method, model):
    return {group["name"]: group["lr_scale"] for group in method.param_groups(model)}


def test_decay_by_hand(small_model):
    method = DifferentialLR(layer_decay=0.5)
    model = method.apply(small_model())
    assert named(method, model) == {"block.0": 0.5, "block.1": 1.0, "embeddings": 0.25, "head": 1.0}
    found = scales(method, model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert {scale for name, scale in found.items() if ".layers.0." in name} == {0.5}
    assert {scale for name, scale in found.items() if ".layers.1." in name} == {1.0}
    rest = {"model.embed_tokens.weight": 0.25, "model.norm.weight": 1.0, "lm_head.weight": 1.0}
    assert {name: scale for name, scale in found.items() if ".layers." not in name} == rest


@pytest.mark.parametrize(
    ("architecture", "lowest", "highest"),
    [
        ("bloom", {"word_embeddings", "word_embeddings_layernorm"}, {"ln_f"}),
        ("gemma2", {"embed_tokens"}, {"norm"}),
        ("gpt2", {"wte", "wpe"}, {"ln_f"}),
        ("gpt_neox", {"embed_in"}, {"final_layer_norm", "lm_head"}),
        ("opt", {"embed_tokens", "embed_positions"}, {"final_layer_norm"}),
        ("phi", {"embed_tokens"}, {"final_layernorm", "lm_head"}),
    ],
)
def test_decay_in_every_architecture(architecture, lowest, highest, small_model):
    """A tied head is the embeddings' matrix, and has its rate."""
    method = DifferentialLR(layer_decay=0.5)
    found = scales(method, method.apply(small_model(architecture)))
    outside = {name: scale for name, scale in found.items() if ".0." not in name and ".1." not in name}
    assert {name.split(".")[-2] for name, scale in outside.items() if scale == 0.25} == lowest
    assert {name.split(".")[-2] for name, scale in outside.items() if scale == 1.0} == highest
    assert {scale for name, scale in found.items() if ".0." in name} == {0.5}
    assert {scale for name, scale in found.items() if ".1." in name} == {1.0}


def test_the_first_pattern_that_is_found_decides(small_model):
    method = DifferentialLR(groups={r"layers\.1\.mlp": 3.0, "mlp": 0.1, "embed": 0.5})
    model = method.apply(small_model())
    assert named(method, model) == {r"layers\.1\.mlp": 3.0, "mlp": 0.1, "embed": 0.5, "rest": 1.0}
    found = scales(method, model)
    assert found["model.layers.1.mlp.up_proj.weight"] == 3.0
    assert found["model.layers.0.mlp.up_proj.weight"] == 0.1
    assert found["model.embed_tokens.weight"] == 0.5
    assert found["lm_head.weight"] == found["model.layers.0.self_attn.q_proj.bias"] == 1.0


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
def test_backbone_and_head(architecture, small_model):
    method = DifferentialLR(backbone_scale=0.1, head_scale=2.0)
    model = method.apply(small_model(architecture))
    found = scales(method, model)
    head = "lm_head.weight" if architecture == "qwen2" else "model.embed_tokens.weight"
    assert {name for name, scale in found.items() if scale == 2.0} == {head}
    assert {scale for name, scale in found.items() if name != head} == {0.1}
    assert named(DifferentialLR(head_scale=2.0), model) == {"head": 2.0, "backbone": 1.0}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_schedule_keeps_the_ratio(name, small_model):
    method = DifferentialLR(layer_decay=0.5)
    model = method.apply(small_model())
    settings = Optimizer(name=name, lr=1e-2, schedule="linear", warmup=2)
    embeddings = {id(model.model.embed_tokens.weight), id(model.lm_head.weight)}
    optimizer, schedule = settings.build(method.param_groups(model), 10, embeddings)
    wanted = {"block.0": 0.5, "block.1": 1.0, "embeddings": 0.25, "head": 1.0}
    peaks = []
    for step in range(10):
        rate = settings.rate_at(step, 10)
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(1e-2 * rate * wanted[group["name"]])
        peaks.append(rate)
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        schedule.step()
    assert peaks[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    Optimizer(name=name, lr=4e-2).override(optimizer, schedule)
    assert {group["name"]: group["initial_lr"] for group in optimizer.param_groups} == pytest.approx(
        {key: 4e-2 * scale for key, scale in wanted.items()}
    )


def test_frozen_patterns_are_left_out(small_model):
    method = DifferentialLR(layer_decay=0.5, freeze=["embed_tokens", "norm"])
    counted = method.count(small_model())
    model = method.apply(small_model())
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert len(frozen) == 1 + 5
    assert named(method, model) == {"block.0": 0.5, "block.1": 1.0, "head": 1.0}
    total = sum(p.numel() for p in model.parameters())
    assert counted == sum(p.numel() for p in trainable(model).values()) == total - 32 * model.config.vocab_size - 5 * 32


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
def test_alone_it_trains_saves_and_loads_everything(architecture, small_model, tmp_path):
    from transformers import AutoModelForCausalLM

    method = DifferentialLR()
    assert method.layer_decay == 0.8
    model = method.apply(small_model(architecture))
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, _ = Optimizer(lr=1e-2).build(method.param_groups(model), 4, set())
    for _ in range(2):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
    assert all(not torch.equal(p, start[name]) for name, p in model.named_parameters())
    logits = model.eval()(IDS).logits
    method.save(model, tmp_path / "w")
    again = method.apply(small_model(architecture)).eval()
    method.load(again, tmp_path / "w")
    assert torch.equal(again(IDS).logits, logits)
    method.merge(model).save_pretrained(tmp_path / "whole")
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path / "whole")(IDS).logits, logits)


@pytest.mark.parametrize("trained", [LoRA(r=2), Adapter(bottleneck=4)])
def test_over_what_another_trains(trained, small_model):
    chain = Chain([trained, DifferentialLR(layer_decay=0.5)])
    model = chain.apply(small_model())
    assert trainable(model).keys() == trainable(trained.apply(small_model())).keys()
    kind = type(trained).__name__
    assert named(chain, model) == {f"{kind}/block.0": 0.5, f"{kind}/block.1": 1.0}
    found = scales(chain, model)
    assert all(scale == (0.5 if ".layers.0." in name else 1.0) for name, scale in found.items())


def test_scales_multiply_and_patterns_see_added_parameters(small_model):
    """LoRA+ by hand: the second factor learns faster, and all of it less in the lower block."""
    chain = Chain([LoRA(r=2), DifferentialLR(groups={"lora_B": 16.0}), DifferentialLR(layer_decay=0.5)])
    found = scales(chain, model := chain.apply(small_model()))
    assert found[next(name for name in found if ".0." in name and "lora_B" in name)] == 8.0
    assert found[next(name for name in found if ".1." in name and "lora_A" in name)] == 1.0
    assert named(chain, model).keys() >= {"LoRA/lora_B/block.0", "LoRA/rest/block.1"}


def test_over_full_it_is_as_alone(small_model):
    alone, chain = DifferentialLR(layer_decay=0.5), Chain([Full(), DifferentialLR(layer_decay=0.5)])
    assert scales(chain, chain.apply(small_model())) == scales(alone, alone.apply(small_model()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": {"q_prj": 2.0}}, "'q_prj' is in the name of no parameter to train; the nearest are.* q_proj"),
        ({"freeze": ["embd_tokens"]}, "'embd_tokens' is in the name of no .* the nearest are.* embed_tokens"),
        ({"groups": {"mlp": 2.0, "up_proj": 3.0}}, "earlier patterns of groups take all that 'up_proj' is found in"),
        ({"head_scale": 2.0, "freeze": ["lm_head"]}, "head_scale is set, but nothing of the head is trained"),
        ({"freeze": ["."]}, "freeze leaves nothing to train"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message, small_model):
    with pytest.raises(ValueError, match=message):
        DifferentialLR(**settings).apply(small_model())


def test_a_scale_for_what_the_list_does_not_train_is_refused(small_model):
    with pytest.raises(ValueError, match="head_scale is set, but nothing of the head is trained"):
        Chain([LoRA(), DifferentialLR(head_scale=10.0)]).apply(small_model())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer_decay": 0.9, "head_scale": 2.0}, r"method\.head_scale: stands beside method\.layer_decay"),
        ({"layer_decay": 0.9, "groups": {"mlp": 2.0}}, r"method\.layer_decay: stands beside method\.groups"),
        ({"layer_decay": 0.0}, r"method\.layer_decay: 0\.0 is not above 0"),
        ({"layer_decay": 1.5}, r"method\.layer_decay: 1\.5 is not above 0 and at most 1"),
        ({"groups": {"mlp": 0.0}}, r"method\.groups\.mlp: 0\.0 is not above 0; name .* under freeze"),
        ({"backbone_scale": 0.0}, r"method\.backbone_scale: 0\.0 is not above 0; name .* under freeze"),
        ({"groups": {"(": 2.0}}, r"method\.groups: '\(' is not a regular expression"),
        ({"freeze": ["["]}, r"method\.freeze: '\[' is not a regular expression"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(SettingError, match=message):
        DifferentialLR(**settings)

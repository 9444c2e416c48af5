"""LoRA: each of its settings keeps the method contract, and does what its paper says."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from ftlab.errors import FtlabError, SettingError
from ftlab.methods import LoRA
from ftlab.methods.base import trainable
from ftlab.training.optimizer import Optimizer

IDS = torch.arange(10, 30).reshape(2, 10)
PISSA, DORA, BOTH = {"init": "pissa"}, {"dora": True}, ["lm_head", "embed_tokens"]

#: Settings that change what may be tied.
ON_THE_ENDS = [{"target_modules": BOTH}, {"modules_to_save": BOTH} | DORA | {"bias": "all"}]

#: Settings that change the start, the trained tensors or the file, alone and where they meet.
SETTINGS = [
    *({"init": init} for init in ("gaussian", "orthogonal", "pissa", "olora", "eva")),
    DORA,
    DORA | PISSA,
    DORA | {"init": "eva"},
    PISSA | {"rslora": True, "rank_pattern": {"v_proj": 2}},
    {"layers": [1]},
    {"layers": [0], "target_modules": r".*\.(q|v)_proj"},
    {"rank_pattern": {"v_proj": 2, r"layers\.1\.mlp\.down_proj": 6}, "alpha_pattern": {"v_proj": 3.0}},
    {"bias": "all"},
    {"bias": "lora_only", "target_modules": ["q_proj"]},
    {"modules_to_save": ["lm_head"]},
    *ON_THE_ENDS,
]


def batches(vocabulary, count=4):
    torch.manual_seed(3)
    shape = (4, 12)
    return [
        {"input_ids": torch.randint(0, vocabulary, shape), "attention_mask": torch.ones(shape, dtype=torch.int64)}
        for _ in range(count)
    ]


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def train(method, model, steps=3):
    """Step as a run does, with an exam in between."""
    optimizer, _ = Optimizer(lr=1e-2).build(method.param_groups(model), steps, set())
    for _ in range(steps):
        logits(model)
        model.train()(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def started(method, base):
    model = method.apply(base)
    method.initialize(model, batches(base.config.vocab_size))
    return model


@pytest.mark.parametrize(
    ("settings", "tied"), [*((s, False) for s in SETTINGS), *((s, True) for s in ON_THE_ENDS)], ids=str
)
def test_the_contract_holds_with(settings, tied, small_model, tmp_path):
    """Starts as the base, counts right, comes back bit-equal, opens in plain peft, merges, and the merge loads."""
    from peft import PeftModel

    method = LoRA(r=4, **settings)

    def base():
        model = small_model()
        if tied:
            model.config.tie_word_embeddings = True
            model.tie_weights()
        return model

    before = logits(base())
    model = started(method, base())
    torch.testing.assert_close(logits(model), before, rtol=0, atol=1e-5)
    free = {name: p.detach().clone() for name, p in trainable(model).items()}
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    assert sum(p.numel() for p in free.values()) == method.count(base())

    train(method, model)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    assert not any(torch.equal(now[name], value) for name, value in free.items())
    expected = logits(model)
    assert (expected - before).abs().max() > 1e-2

    method.save(model, tmp_path / "best")
    again = method.apply(base())
    method.load(again, tmp_path / "best")
    assert torch.equal(logits(again), expected)
    assert torch.equal(logits(PeftModel.from_pretrained(base(), tmp_path / "best")), expected)

    merged = method.merge(model)
    torch.testing.assert_close(logits(merged), expected, rtol=0, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(plain), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("settings", [{}, PISSA, DORA, {"init": "eva"}], ids=str)
def test_conv1d_of_gpt2(settings, small_model):
    """Its weights lie the other way round."""
    method = LoRA(r=4, **settings)
    before = logits(small_model("gpt2"))
    model = started(method, small_model("gpt2"))
    torch.testing.assert_close(logits(model), before, rtol=0, atol=1e-5)
    assert sum(p.numel() for p in trainable(model).values()) == method.count(small_model("gpt2"))
    train(method, model)
    expected = logits(model)
    torch.testing.assert_close(logits(method.merge(model)), expected, rtol=0, atol=1e-4)


def test_counts_as_its_paper_says(small_model):
    """4096 x 4096 at rank 8: 65,536; DoRA adds a magnitude for each output."""
    base = small_model()
    base.model.layers[0].self_attn.o_proj = torch.nn.Linear(4096, 4096, bias=False)
    wanted = {"target_modules": ["o_proj"], "layers": [0]}
    assert LoRA(r=8, **wanted).count(base) == 65_536
    assert LoRA(r=8, dora=True, **wanted).count(base) == 65_536 + 4096
    assert sum(p.numel() for p in trainable(LoRA(r=8, **wanted).apply(base)).values()) == 65_536


def test_layers_get_updates_alone(small_model):
    names = trainable(LoRA(layers=[1]).apply(small_model())).keys()
    assert len(names) == 14
    assert all(".layers.1." in name for name in names)


def test_scales(small_model):
    """alpha / r, with rsLoRA alpha / sqrt(r), by pattern."""

    def scale(**settings):
        model = LoRA(r=4, alpha=8, **settings).apply(small_model())
        return model.get_submodule("base_model.model.model.layers.0.self_attn.v_proj").scaling["default"]

    assert scale() == 2
    assert scale(rslora=True) == 4
    assert scale(rank_pattern={"v_proj": 16}) == 0.5
    assert scale(alpha_pattern={"v_proj": 4.0}) == 1


def test_lora_plus_trains_b_faster(small_model):
    method = LoRA(r=4, lora_plus_ratio=16, bias="all", dora=True)
    model = method.apply(small_model())
    names = {id(p): name for name, p in trainable(model).items()}
    optimizer, _ = Optimizer(lr=1e-3).build(method.param_groups(model), 10, set())
    a, b = optimizer.param_groups
    assert b["initial_lr"] == pytest.approx(16 * a["initial_lr"])
    assert [g["name"] for g in (a, b)] == ["A", "B"]
    assert len(a["params"]) + len(b["params"]) == len(names)
    assert all(".lora_B." in names[id(p)] for p in b["params"])
    assert not any(".lora_B." in names[id(p)] for p in a["params"])
    for ratio in (None, 1.0):
        [one] = LoRA(lora_plus_ratio=ratio).param_groups(model)
        assert "lr_scale" not in one


def test_pissa_takes_the_largest_part(small_model):
    """B A is the best approximation of rank r, and the base keeps the rest."""
    weight = small_model().model.layers[0].self_attn.q_proj.weight.detach()
    layer = LoRA(r=4, init="pissa").apply(small_model()).base_model.model.model.layers[0].self_attn.q_proj
    u, s, v = torch.linalg.svd(weight)
    best = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
    torch.testing.assert_close(layer.get_delta_weight("default"), best, rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.base_layer.weight, weight - best, rtol=0, atol=1e-5)


def test_eva_takes_the_main_components_of_the_inputs_in_place(small_model):
    """The normed embeddings of three tokens lie in a plane; rank 2 finds it."""
    base = small_model()
    block = base.model.layers[0]
    x = block.input_layernorm(base.model.embed_tokens(torch.arange(3))).detach()
    plane = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:2]
    method = LoRA(r=2, init="eva")
    model = method.apply(base)
    names = {id(p): name for name, p in trainable(model).items()}
    method.initialize(model, iter(batches(3)))
    assert {id(p): name for name, p in trainable(model).items()} == names  # an optimizer may hold them
    a = block.self_attn.q_proj.lora_A["default"].weight.detach()
    assert torch.linalg.svdvals(plane @ a.T).allclose(torch.ones(2), atol=1e-2)
    assert not block.self_attn.q_proj.lora_B["default"].weight.any()


def test_eva_leaves_padding_out(small_model):
    method = LoRA(r=2, init="eva")
    found = []
    for filler in (5, 6):
        model = method.apply(small_model())
        data = batches(model.config.vocab_size)
        for batch in data:
            batch["input_ids"][:, 8:] = filler
            batch["attention_mask"][:, 8:] = 0
        method.initialize(model, data)
        found.append(model.base_model.model.model.layers[0].self_attn.q_proj.lora_A["default"].weight)
    assert torch.equal(*found)


def test_eva_refuses_what_peft_would_wait_for(small_model, monkeypatch):
    method = LoRA(r=16, init="eva")
    short = [{key: value[:1, :8] for key, value in batch.items()} for batch in batches(50)]
    with pytest.raises(FtlabError, match="eva needs batches of 16 tokens or more"):
        method.initialize(method.apply(small_model()), short)
    monkeypatch.setattr("ftlab.methods.lora.EVA_PASSES", 2)
    with pytest.raises(FtlabError, match=r"eva has not settled in 2 batches; lower method\.r"):
        method.initialize(method.apply(small_model()), batches(50))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 0}, r"method\.r: 0 is not 1 or more"),
        ({"alpha": 0}, r"method\.alpha"),
        ({"dropout": 1}, r"method\.dropout"),
        ({"lora_plus_ratio": 0}, r"method\.lora_plus_ratio"),
        ({"rank_pattern": {"q_proj": 0}}, r"method\.rank_pattern"),
        ({"init": "eva", "rank_pattern": {"q_proj": 2}}, "EVA needs one rank"),
        ({"init": "loftq"}, "use QLoRA"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        LoRA(**settings)


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        ("qwen2", {"target_modules": ["c_attn"]}, "c_attn.*not found"),
        ("qwen2", {"layers": [0, 2]}, "layers: 2 is no block of this model, whose 2 are counted from 0"),
        ("qwen2", {"modules_to_save": ["head"]}, "modules_to_save: the model has no module called head"),
        ("qwen2", {"init": "orthogonal", "r": 3}, "rank to be even"),
        ("qwen2", {"init": "pissa", "r": 17}, "k_proj has rank 16 at most, not 17"),
        ("gpt2", {"init": "olora"}, "not for the Conv1D"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(architecture, settings, message, small_model):
    with pytest.raises(ValueError, match=message):
        LoRA(**settings).apply(small_model(architecture))

"""Each penalty is what its paper says: value and gradient by definition, on small random models in fp64."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from ftlab import (
    EWC,
    IA3,
    Adapter,
    Base,
    Chain,
    DifferentialLR,
    Freeze,
    Full,
    KLToBase,
    L2ToBase,
    LoRA,
    Peft,
    Prefix,
    Prompt,
    PTuning,
    QLoRA,
)
from ftlab.data.examples import Encoded
from ftlab.data.loader import collate
from ftlab.errors import SettingError
from ftlab.methods.base import trainable
from ftlab.training.loss import next_token_logits
from ftlab.training.regularizers.fisher import fisher
from ftlab.training.regularizers.start import Start, shapes

ATTENTION = ["q_proj", "v_proj"]


def batch_of(*lengths, vocabulary=100, weight=1.0, packed=False):
    """Return a batch of random chats, the later half of each supervised."""
    random = np.random.default_rng(0)
    rows = [
        Encoded(random.integers(vocabulary, size=n), np.where(np.arange(n) < n // 2, 0, weight).astype(np.float32))
        for n in lengths
    ]
    return collate([rows] if packed else [[row] for row in rows], 0, sum(row.supervised for row in rows))


def applied(base, method, regularizer=None, batches=()):
    """Return the model and its start, the regularizer prepared and all trained weights moved since."""
    known = shapes(base)
    torch.manual_seed(1)
    model = method.apply(base).double().train()
    start = Start.of(model, known)
    move(model)  # as a checkpoint does before the regularizer is prepared
    if regularizer is not None:
        regularizer.prepare(model, method, start, list(batches))
    return model, start


def move(model):
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(torch.randn_like(parameter) / 20)


def penalty(regularizer, model, batch):
    logits, batch = next_token_logits(model, batch)
    return regularizer.penalty(model, batch, logits)


def test_l2_is_half_the_squared_distance_and_its_gradient_the_distance(small_model):
    l2 = L2ToBase(strength=0.3)
    model, start = applied(small_model(), Full(), l2)
    batch = batch_of(8, 5)
    found = penalty(l2, model, batch)
    moved = {name: p - start.values[name] for name, p in model.named_parameters()}
    assert found.item() == pytest.approx(0.15 * sum(d.square().sum().item() for d in moved.values()), rel=1e-12)
    names, parameters = zip(*model.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(found, parameters), strict=True):
        torch.testing.assert_close(gradient, 0.3 * moved[name])


UPDATES = [
    LoRA(r=4, target_modules=ATTENTION),
    LoRA(r=4, rslora=True, init="gaussian", rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 5}),
    LoRA(r=4, init="orthogonal"),
    LoRA(r=4, init="pissa"),
    LoRA(r=4, init="olora"),
    LoRA(r=4, bias="all"),
    LoRA(r=4, modules_to_save=["lm_head"]),
    LoRA(r=4, target_modules=["embed_tokens", "up_proj"]),
    Chain([Freeze(norms=True), LoRA(r=2)]),
    Freeze(last=1, head=True),
    Peft("LORA", {"target_modules": ATTENTION, "r": 4, "lora_bias": True}),
    *(Peft(kind, {"target_modules": ATTENTION, "r": 4}) for kind in ("LOHA", "LOKR", "VERA", "LORA")),
    Peft("ADALORA", {"target_modules": ATTENTION, "init_r": 4, "total_step": 100}),
]


@pytest.mark.parametrize("method", UPDATES, ids=lambda m: f"{m.title}-{getattr(m, 'init', '')}")
def test_l2_is_the_distance_of_the_merged_weights(small_model, method):
    base = {name: p.detach().double() for name, p in small_model().named_parameters(remove_duplicate=False)}
    l2 = L2ToBase()
    model, _ = applied(small_model(), method, l2)
    found = l2.distance(model)
    gradients = torch.autograd.grad(found, list(trainable(model).values()), allow_unused=True)
    assert all(gradient is not None and gradient.any() for gradient in gradients)
    merged = dict(method.merge(copy.deepcopy(model)).named_parameters(remove_duplicate=False))
    distance = sum((p - base[name]).square().sum().item() for name, p in merged.items())
    assert found.item() == pytest.approx(distance, rel=1e-6 if method.title.startswith("LoRA") else 1e-9)


def test_l2_is_as_exact_in_mixed_precision(small_model):
    """Of the product of PiSSA's matrices most cancels out."""
    l2 = L2ToBase()
    model, _ = applied(small_model(), LoRA(r=4, init="pissa"), l2)
    model.float()
    for value in l2._start.values.values():
        value.data = value.data.float()
    exact = l2.distance(model).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert l2.distance(model).item() == exact


@pytest.mark.parametrize(
    ("regularizer", "method"),
    [(L2ToBase(), m) for m in (IA3(), Adapter(), Prompt(), LoRA(dora=True), Peft("OFT"))]
    + [(EWC(), m) for m in (IA3(), Adapter(), Prefix(num_virtual_tokens=3), LoRA(dora=True))],
    ids=lambda x: type(x).__name__,
)
def test_what_has_no_meaning_is_refused_in_one_line(small_model, regularizer, method):
    with pytest.raises(SettingError, match=rf"^regularizer: {type(regularizer).__name__} .*; take .*KLToBase") as told:
        applied(small_model(), method, regularizer)
    assert "\n" not in str(told.value)


def tiny(vocabulary):
    """Return a model small enough to sum over its whole vocabulary."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=vocabulary, num_key_value_heads=1, initializer_range=0.7, **sizes))


def test_the_empirical_fisher_is_the_mean_square_of_each_examples_gradient(small_model):
    batches = [batch_of(n) for n in (4, 9, 6)]
    model, start = applied(small_model(), Freeze(last=1))
    found = fisher(model, start, batches, drawn=False)
    base = small_model().double().eval()  # the weights have moved since the start; the Fisher is the base's
    expected, tokens = dict.fromkeys(found, 0.0), 0
    for batch in batches:
        base.zero_grad()
        count = int((batch["labels"][:, 1:] != -100).sum())
        (base(input_ids=batch["input_ids"], labels=batch["labels"]).loss * count).backward()
        expected = {name: total + base.get_parameter(name).grad ** 2 for name, total in expected.items()}
        tokens += count
    assert found.keys() == trainable(model).keys()
    for name, total in expected.items():
        torch.testing.assert_close(found[name], total / tokens, rtol=1e-5, atol=1e-12)
        assert found[name].any()


def test_the_fisher_is_the_expected_square_over_the_models_own_answers():
    """Against the sum over every token that could be drawn, each with its chance."""
    batch = batch_of(9, vocabulary=6)
    model, start = applied(tiny(6), Freeze(modules=["mlp", "norm"]))
    found = fisher(model, start, [batch] * 250, drawn=True)
    few, again = (fisher(model, start, [batch] * 2, drawn=True) for _ in range(2))
    assert all(torch.equal(few[name], again[name]) for name in few)
    with start.restored(model):
        free = [p.requires_grad_(True) for p in start.values.values()]
        logits, _ = next_token_logits(model.eval(), batch)
        rows = logits[batch["labels"][:, 1:] != -100].log_softmax(-1)
        expected = [0.0] * len(free)
        for row in rows:
            for log_chance in row:
                gradients = torch.autograd.grad(log_chance, free, retain_graph=True)
                chance = log_chance.exp().item()
                expected = [e + chance * g**2 / len(rows) for e, g in zip(expected, gradients, strict=True)]
    exact = torch.cat([e.flatten() for e in expected])
    drawn = torch.cat([found[name].flatten() for name in start.values])
    labels = fisher(model, start, [batch], drawn=False)
    data = torch.cat([labels[name].flatten() for name in start.values])
    assert (drawn - exact).norm() < 0.2 * exact.norm()
    assert (data - exact).norm() > 0.5 * exact.norm()  # the sample's own answers are another thing


def test_ewc_is_the_distance_weighted_by_the_fisher(small_model):
    ewc = EWC(strength=7.0, examples=3)
    model, start = applied(small_model(), Full(), ewc, [batch_of(n) for n in (4, 9, 6)])
    found = penalty(ewc, model, batch_of(8, 5))
    information = fisher(model, start, [batch_of(n) for n in (4, 9, 6)], drawn=True)
    names, parameters = zip(*model.named_parameters(), strict=True)
    moved = {name: p - start.values[name] for name, p in model.named_parameters()}
    expected = 3.5 * sum((information[name] * moved[name] ** 2).sum().item() for name in names)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    for name, gradient in zip(names, torch.autograd.grad(found, parameters), strict=True):
        torch.testing.assert_close(gradient, 7.0 * information[name] * moved[name])


def paid(small_model, architecture, method):
    """Return what EWC at strength 2 makes a model pay, by the merged weights and the Fisher of the whole base."""
    batches = [batch_of(n) for n in (4, 9, 6)]
    base, start = applied(small_model(architecture), Full())
    information = fisher(base, start, batches, drawn=True)
    ewc = EWC(strength=2.0)
    model, _ = applied(small_model(architecture), method, ewc, batches)
    merged = dict(method.merge(copy.deepcopy(model)).named_parameters())
    distance = ((information[name] * (merged[name] - w) ** 2).sum().item() for name, w in start.values.items())
    return ewc, model, sum(distance)


@pytest.mark.parametrize("method", UPDATES, ids=lambda m: f"{m.title}-{getattr(m, 'init', '')}")
def test_ewc_of_what_is_added_is_that_of_the_merged_weights(small_model, method):
    ewc, model, expected = paid(small_model, "qwen2", method)
    found = penalty(ewc, model, batch_of(8, 5))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert found > 0
    gradients = torch.autograd.grad(found, list(trainable(model).values()), allow_unused=True)
    assert all(gradient is not None and gradient.any() for gradient in gradients)


def test_ewc_knows_which_way_round_a_weight_is_held(small_model):
    ewc, model, expected = paid(small_model, "gpt2", LoRA(r=4, target_modules=["c_proj", "c_attn"]))
    assert penalty(ewc, model, batch_of(8, 5)).item() == pytest.approx(expected, rel=1e-9)


def test_ewc_of_a_weight_that_is_trained_and_added_to_is_that_of_their_sum(small_model):
    method = LoRA(r=4, target_modules=["q_proj"])
    batches = [batch_of(n) for n in (4, 9, 6)]
    base, start = applied(small_model(), Full())
    information = fisher(base, start, batches, drawn=True)
    known, model = shapes(base), method.apply(small_model()).double()
    own = {name: p for name, p in model.named_parameters() if name.endswith("q_proj.base_layer.weight")}
    for weight in own.values():
        weight.requires_grad_(True)
    ewc, before = EWC(strength=2.0), Start.of(model, known)
    move(model)
    ewc.prepare(model, method, before, batches)
    merged = dict(method.merge(copy.deepcopy(model)).named_parameters())
    expected = ((information[name] * (merged[name] - w) ** 2).sum().item() for name, w in start.values.items())
    assert len(own) == 2
    assert penalty(ewc, model, batch_of(8, 5)).item() == pytest.approx(sum(expected), rel=1e-9)


@pytest.mark.parametrize("method", [LoRA(r=4, dropout=0.5), LoRA(r=4, init="pissa"), Freeze(last=1)])
def test_a_look_at_the_fisher_leaves_nothing_changed_and_is_the_same_when_resumed(small_model, method):
    fresh, resumed, batches = EWC(), EWC(), [batch_of(9)]
    model, start = applied(small_model(), method)
    for p in trainable(model).values():
        p.grad = torch.ones_like(p)
    before, moved = state(model), {name: p.detach().clone() for name, p in trainable(model).items()}
    resumed.prepare(model, method, start, batches)  # the model holds what a checkpoint did
    after = state(model)
    assert before[:3] == after[:3]
    assert all(torch.equal(before[3][name], value) for name, value in after[3].items())
    assert all((p.grad == 1).all() if p.requires_grad else p.grad is None for p in model.parameters())
    assert not any(value.requires_grad for value in start.values.values())
    with torch.no_grad():
        for name, value in start.values.items():
            model.get_parameter(name).copy_(value)
    fresh.prepare(model, method, start, batches)
    assert not all(torch.equal(moved[name], p) for name, p in trainable(model).items())
    assert fresh._fisher.keys() == resumed._fisher.keys()
    assert all(torch.equal(fresh._fisher[name], value) and value.any() for name, value in resumed._fisher.items())


def test_ewc_refuses_weights_without_a_gradient_in_one_line():
    method = QLoRA(r=4)
    model = Base("ftlab/tiny").load_model(**method.load_kwargs())
    known = shapes(model)
    model = method.apply(model)
    with pytest.raises(
        SettingError, match=r"^regularizer: EWC .*_proj.*weight has none, .*quantized.*; take L2ToBase"
    ) as told:
        EWC().prepare(model, method, Start.of(model, known), [batch_of(8)])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("packed", [False, True], ids=["", "packed"])
@pytest.mark.parametrize("positions", ["supervised", "all"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_kl_is_the_divergence_of_the_next_tokens(small_model, direction, positions, packed):
    kl = KLToBase(strength=0.7, temperature=2.0, direction=direction, positions=positions)
    batch = batch_of(8, 5, weight=3.0, packed=packed)
    model, _ = applied(small_model(), LoRA(r=4), kl)
    found = penalty(kl, model, batch)
    base = small_model().double()
    places = {"position_ids": batch["position_ids"], "use_cache": False} if packed else {}
    ours, theirs = (
        (m(input_ids=batch["input_ids"], **places).logits[:, :-1] / 2).log_softmax(-1) for m in (model, base)
    )
    log, target = (ours, theirs) if direction == "forward" else (theirs, ours)
    each = functional.kl_div(log, target, reduction="none", log_target=True).sum(-1)
    chats = [range(7), range(8, 12)] if packed else [range(7), range(4)]
    first = {8: 4, 5: 2}  # supervised from the half on
    total = 0.0
    for i, chat in enumerate(chats):
        for at in chat:
            learnt = at + 1 - chat[0] >= first[len(chat) + 1]
            weight = 1.0 if positions == "all" else 3.0 * learnt
            total += weight * each[0 if packed else i, at].item()
    assert found.item() == pytest.approx(0.7 * 4 * total / (3.0 * (4 + 3)), rel=1e-9)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_kls_gradient_is_that_of_finite_differences(small_model, direction):
    kl = KLToBase(strength=1.0, direction=direction)
    model, _ = applied(small_model("gpt2"), Full(), kl)  # whose norms are not computed in fp32
    model.eval()
    batch = batch_of(8, 5)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(penalty(kl, model, batch), parameters)
    torch.manual_seed(3)
    way = [torch.randn_like(p) for p in parameters]
    slope = sum((g * w).sum().item() for g, w in zip(gradients, way, strict=True))
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for p, w in zip(parameters, way, strict=True):
                p.add_(step * w)
        ends.append(penalty(kl, model, batch).item())
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-5)


def state(model):
    """Return all that a look at the base could leave changed."""
    return (
        [(name, id(p), p.requires_grad) for name, p in model.named_parameters()],
        [(name, id(module), module.training) for name, module in model.named_modules()],
        [(name, value) for name, value in vars(model).items() if name[0] != "_" or name == "_adapters_disabled"],
        {name: p.detach().clone() for name, p in model.named_parameters()},
    )


ASKED = [
    (Full(), False),
    (Freeze(last=1, head=True), False),
    (Adapter(), False),
    (LoRA(r=4, dropout=0.5), True),
    (LoRA(r=4, init="pissa"), False),
    (LoRA(r=4, dora=True), False),
    (LoRA(r=4, bias="all", modules_to_save=["lm_head"]), True),
    (IA3(), True),
    (Prefix(num_virtual_tokens=3), True),
    (Prompt(num_virtual_tokens=3), True),
    (PTuning(num_virtual_tokens=3, encoder="lstm", encoder_hidden_size=8), True),
    (Peft("C3A", {"block_size": 16, "target_modules": ATTENTION}), True),
    (Chain([Adapter(), LoRA(r=4)]), True),
    (Chain([LoRA(r=4), DifferentialLR(groups={"mlp": 0.5}, freeze=["lora_A"])]), True),
]


@pytest.mark.parametrize(("method", "off"), ASKED, ids=lambda x: getattr(x, "title", ""))
def test_the_base_answers_whatever_was_trained_and_nothing_is_left_changed(small_model, method, off):
    kl, batch = KLToBase(), batch_of(8, 5)
    model, start = applied(small_model(), method)
    before = state(model)
    kl.prepare(model, method, start, [])
    with torch.no_grad():
        ours = next_token_logits(model.eval(), batch)[0]
        theirs = next_token_logits(small_model().double().eval(), batch)[0]
        model.train()
    found = kl.base_logits(model, batch)
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-5)
    assert (ours - theirs).abs().max() > 1e-3
    assert kl._off == off
    after = state(model)
    assert before[:3] == after[:3]
    assert all(torch.equal(before[3][name], value) for name, value in after[3].items())


def test_the_base_answers_without_dropout(small_model):
    kl = KLToBase()
    model, _ = applied(small_model("gpt2"), LoRA(r=4), kl)
    random = torch.get_rng_state()
    first, second = (kl.base_logits(model, batch_of(8, 5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), random)
    with torch.no_grad():
        assert not torch.equal(*(next_token_logits(model, batch_of(8, 5))[0] for _ in range(2)))


@pytest.mark.parametrize("method", [Full(), LoRA(r=4), Adapter()], ids=lambda m: m.title)
def test_kl_is_zero_at_the_start(small_model, method):
    kl = KLToBase()
    model, start = applied(small_model(), method, kl)
    with start.restored(model):
        assert penalty(kl, model, batch_of(8, 5)).item() == 0
    assert penalty(kl, model, batch_of(8, 5)).item() > 1e-4


def test_the_base_is_asked_in_low_precision_without_what_autocast_has_kept(small_model):
    """Autocast keeps the trained weights in bfloat16 while a step lasts."""
    kl = KLToBase(strength=1.0)
    base = small_model()
    known = shapes(base)
    model = Full().apply(base)
    start = Start.of(model, known)
    kl.prepare(model, Full(), start, [])
    batch = batch_of(8, 5)
    with torch.autocast("cpu", torch.bfloat16):
        expected = next_token_logits(small_model(), batch)[0].detach()
    move(model)
    with torch.autocast("cpu", torch.bfloat16):
        logits, _ = next_token_logits(model, batch)
        assert torch.equal(kl.base_logits(model, batch), expected)
        assert not torch.equal(logits, expected)
        again = next_token_logits(model, batch)[0]
    assert torch.equal(again, logits)

"""The shortcuts of training give the losses and the gradients of the plain way, or are left out."""

import pytest
import torch

from ftlab import Adapter, Chain, FineTuner, Freeze, Full, LoRA, Prefix, Prompt, QLoRA
from ftlab.data.examples import Encoded
from ftlab.data.loader import collate
from ftlab.methods.base import trainable
from ftlab.training.applying import apply_method
from ftlab.training.linear import Linear, LowRank
from ftlab.training.norm import RMSNorm
from ftlab.training.speed import Speed
from ftlab.training.unpadded import MULTIPLE, PREFIX
from ftlab.training.way import Way
from tests.conformance.faulty_numbers import LooksAcrossARow
from tests.training.test_packing import SMALL, examples, largest_difference, loss_and_gradients, make

ARCHITECTURES = [*SMALL, "qwen3"]
METHODS = [
    LoRA(r=4),
    LoRA(r=4, target_modules=["q_proj", "lm_head"]),
    LoRA(r=4, modules_to_save=["lm_head"]),
    LoRA(r=4, bias="lora_only"),
    LoRA(r=4, dora=True),
    LoRA(r=4, layers=[1]),
    Full(),
    Freeze(last=1),
    Freeze(last=0, head=True),
    Adapter(bottleneck=4),
    Chain([Freeze(norms=True), LoRA(r=4)]),
]


def tuner_of(model, method, speed):
    torch.manual_seed(2)
    tuner = FineTuner("ftlab/tiny", method, speed=speed)
    tuner.model = apply_method(method, model, speed)
    torch.manual_seed(1)
    for name, parameter in trainable(tuner.model).items():
        if "lora_B" in name or name.endswith("adapter.up"):
            torch.nn.init.normal_(parameter, std=0.1)
    return tuner


def padded():
    return collate([[chat] for chat in examples()], 0, 1)


def packed():
    chats = examples()
    return collate([chats[:3], chats[3:5], chats[5:7], chats[7:]], 0, 1)


def compared(architecture, method, speed=Speed(), batch=None, attention="eager", **kwargs):  # noqa: B008
    """Return a tuner with shortcuts, and how far its numbers are from those of one without."""
    plain, fast = (tuner_of(make(architecture, attention, **kwargs), method, each) for each in (None, speed))
    for tuner in (plain, fast):
        tuner.model.eval()  # OPT has dropout by default
    expected = loss_and_gradients(plain, padded())
    return fast, largest_difference(loss_and_gradients(fast, batch or padded()), expected)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_shortcuts_together_change_nothing(architecture, attention):
    if (architecture, attention) == ("gemma2", "sdpa"):
        pytest.skip("transformers has no such kernel with capped scores")
    fast, difference = compared(architecture, LoRA(r=4), attention=attention)
    assert difference <= 1e-5
    assert (fast.way.unpadded, fast.way.supervised_head, fast.way.note) == (True, True, "")
    assert fast.model.config._attn_implementation == PREFIX + attention


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.title}")
def test_every_method_has_the_same_gradients(method):
    fast, difference = compared("llama", method)
    assert difference <= 1e-5
    assert fast.way.unpadded
    assert fast.way.supervised_head


@pytest.mark.parametrize("name", ["unpadded", "supervised_head", "fused"])
@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_each_shortcut_alone_changes_nothing(architecture, name):
    switched_off = {"unpadded": False, "supervised_head": False, "fused": False}
    fast, difference = compared(architecture, LoRA(r=4), Speed(**switched_off | {name: True}))
    assert difference <= 1e-5
    assert (fast.way.unpadded, fast.way.supervised_head) == (name == "unpadded", name == "supervised_head")


@pytest.mark.parametrize("architecture", ["llama", "mistral"])
def test_packed_rows_are_unpadded_too(architecture):
    _, difference = compared(architecture, LoRA(r=4), batch=packed())
    assert difference <= 1e-5


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("length", [300, 1100])
def test_examples_of_several_pieces_change_nothing(length, checkpointing):
    """Of some hundred tokens attention is computed in pieces; from a thousand on by torch's own kernel."""
    torch.manual_seed(0)
    chats = [Encoded(torch.randint(3, 290, (n,)).numpy(), torch.ones(n).numpy()) for n in (length, 130, 64, 1)]
    batch = collate([[chat] for chat in chats], 0, 1)
    models = [make(architecture, "sdpa") for architecture in ("mistral", "mistral")]
    if checkpointing:
        for model in models:
            model.gradient_checkpointing_enable({"use_reentrant": False})
    plain, fast = (tuner_of(*each) for each in zip(models, [LoRA(r=4)] * 2, [None, Speed()], strict=True))
    assert largest_difference(loss_and_gradients(fast, batch), loss_and_gradients(plain, batch)) <= 1e-5


def test_what_overflows_in_a_norm_has_no_gradient_that_looks_like_one():
    x = torch.tensor([[1e30, 1.0], [3.0, 4.0]], requires_grad=True)
    out = RMSNorm.apply(x, torch.ones(2), 1e-6, 0.0)
    assert out[0].tolist() == [0, 0]  # as the model's own
    out.sum().backward()
    assert x.grad[0].isnan().all()
    assert x.grad[1].isfinite().all()


@pytest.mark.parametrize("method", [Prefix(), Prompt()], ids=["Prefix", "Prompt"])
def test_virtual_tokens_are_padded_as_before_and_it_is_said(method):
    fast, difference = compared("llama", method)
    assert difference <= 1e-6
    assert not fast.way.unpadded
    assert fast.way.note.startswith("unpadded with supervised_head left out: its virtual tokens stand before a row")


@pytest.mark.parametrize("architecture", ["bloom", "falcon", "mamba", "rwkv"])
def test_models_that_do_not_heed_positions_are_padded_as_before(architecture):
    fast, difference = compared(architecture, Full())
    assert difference <= 1e-5
    assert not fast.way.unpadded
    assert "unpadded with supervised_head left out" in fast.way.note


def test_weights_of_few_bits_do_not_keep_the_shortcuts_away():
    fast, _ = compared("llama", LoRA(r=4), dtype=torch.bfloat16)
    assert fast.way.unpadded
    assert fast.way.supervised_head


def test_a_method_that_looks_across_a_row_is_padded_and_it_is_said():
    fast, difference = compared("llama", LooksAcrossARow())
    assert difference <= 1e-5
    assert not fast.way.unpadded
    assert "it would change the gradients by" in fast.way.note


def test_qlora_has_the_same_gradients():
    tuners = [
        FineTuner("ftlab/tiny", QLoRA(r=4, compute_dtype="float32"), seed=1, speed=each) for each in (None, Speed())
    ]
    for tuner in tuners:
        tuner.configure_model()
        torch.manual_seed(1)
        for name, parameter in trainable(tuner.model).items():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    plain, fast = (loss_and_gradients(tuner, padded()) for tuner in tuners)
    assert largest_difference(fast, plain) <= 1e-5
    names = {node.name() for node in nodes(tuners[1].way.losses(padded()).total.grad_fn)}
    assert "LowRankBackward" in names


def nodes(node):
    """Yield the nodes of a graph of gradients."""
    seen, left = set(), [node]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            left += [further for further, _ in node.next_functions]


@pytest.mark.parametrize("method", [Freeze(last=1), LoRA(layers=[1])], ids=lambda method: method.title)
def test_nothing_is_kept_below_the_lowest_trained_tensor(method):
    tuner = tuner_of(make("llama"), method, Speed())
    kept = []
    below = tuner.model.get_base_model() if isinstance(method, LoRA) else tuner.model
    first = below.model.layers[0]
    first.register_forward_hook(lambda module, args, output: kept.append(len(saved)))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.shape) or tensor, lambda x: x):
        Way(tuner.model, True, True).losses(padded())
    assert kept == [0]
    assert saved


def test_rows_have_few_lengths():
    tuner = tuner_of(make("llama"), LoRA(), Speed())
    lengths = []
    tuner.model.get_base_model().model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    Way(tuner.model, True, True).losses(padded())
    assert lengths == [(1, MULTIPLE)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("frozen", ["", "weight", "x", "weight x"])
def test_the_linear_layer_has_the_gradients_of_its_formula(frozen, bias):
    torch.manual_seed(0)
    sizes = {"x": (2, 20, 6), "weight": (5, 6), "bias": (5,), "a": (2, 6), "b": (5, 2)}
    tensors = {name: torch.randn(size, dtype=torch.float64) for name, size in sizes.items()}
    for name, tensor in tensors.items():
        tensor.requires_grad_(name not in frozen.split())
    x, weight, b_, a, b = tensors.values()
    used = b_ if bias else None
    assert torch.autograd.gradcheck(lambda *each: Linear.apply(x, weight, used, a, b, 0.7), list(tensors.values()))
    torch.testing.assert_close(
        Linear.apply(x, weight, used, a, b, 0.7), torch.nn.functional.linear(x, weight + 0.7 * b @ a, used)
    )


def test_a_low_rank_update_of_anothers_output_has_the_gradients_of_its_formula():
    torch.manual_seed(0)
    sizes = ((2, 9, 5), (2, 9, 6), (2, 6), (5, 2))
    y, x, a, b = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes)
    assert torch.autograd.gradcheck(lambda *each: LowRank.apply(*each, 0.7), (y, x, a, b))
    torch.testing.assert_close(LowRank.apply(y, x, a, b, 0.7), y + 0.7 * x @ a.T @ b.T)

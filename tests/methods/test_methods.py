"""Every registered method, plugins included, keeps the contract."""

import copy

import pytest
import torch

from ftlab.errors import FtlabError
from ftlab.methods.base import Method, is_peft, trainable
from ftlab.plugins import load_plugins, registered
from tests.conftest import ROOT

load_plugins(folder=ROOT / "plugins")
METHODS = {name: cls for name, cls in registered(Method).items() if name != "Chain"}
IDS = torch.arange(10, 30).reshape(2, 10)


def test_the_registry_holds_built_ins_and_the_plugin():
    assert {"Full", "LoRA", "IA3"} <= METHODS.keys()


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return METHODS[request.param]()


@pytest.fixture
def trained(method, small_model):
    """A model after the method and three steps, and the base's logits before."""
    base = small_model()
    before = base(IDS).logits.detach().clone()
    model = method.apply(base)
    at_start = model(IDS).logits.detach().clone()
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    free = {n: p.detach().clone() for n, p in trainable(model).items()}
    optimizer = torch.optim.AdamW([p for g in method.param_groups(model) for p in g["params"]], lr=1e-2)
    for _ in range(3):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, before, at_start, frozen, free


def test_only_the_declared_parameters_move(trained):
    model, _, _, frozen, free = trained
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    assert all(not torch.equal(now[name], value) for name, value in free.items())


def test_the_start_is_the_base(trained):
    _, before, at_start, _, _ = trained
    torch.testing.assert_close(at_start, before, rtol=0, atol=1e-5)


def test_groups_are_a_partition(method, small_model):
    model = method.apply(small_model())
    grouped = [id(p) for group in method.param_groups(model) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in trainable(model).values())


def test_saved_and_loaded_are_bit_equal(trained, method, small_model, tmp_path):
    model = trained[0]
    method.save(model, tmp_path / "w")
    again = method.apply(small_model())
    assert not torch.equal(again(IDS).logits, model(IDS).logits)
    method.load(again, tmp_path / "w")
    assert torch.equal(again(IDS).logits, model(IDS).logits)


def test_peft_opens_the_folder(trained, method, small_model, tmp_path):
    model = trained[0]
    if not is_peft(model):
        pytest.skip(f"{type(method).__name__} has no PEFT format")
    from peft import PeftModel

    method.save(model, tmp_path / "w")
    plain = PeftModel.from_pretrained(small_model(), tmp_path / "w")
    assert torch.equal(plain(IDS).logits, model.eval()(IDS).logits)


def test_merged_equals_unmerged(trained, method):
    model = trained[0].eval()
    expected = model(IDS).logits.detach()
    merged = method.merge(copy.deepcopy(model))
    assert not is_peft(merged)
    torch.testing.assert_close(merged(IDS).logits.detach(), expected, rtol=0, atol=1e-4)


def test_weights_of_another_method_are_refused(small_model, tmp_path):
    lora, full = METHODS["LoRA"], METHODS["Full"]
    lora(r=4).save(lora(r=4).apply(small_model()), tmp_path / "w")
    with pytest.raises(FtlabError, match="does not hold this model's weights"):
        full().load(full().apply(small_model()), tmp_path / "w")


def test_lora_counts_as_its_paper_says(small_model):
    linear = torch.nn.Linear(4096, 4096, bias=False)
    model = METHODS["LoRA"](r=8, target_modules=["q_proj"]).apply(small_model())
    sizes = {n: m.weight.shape for n, m in small_model().named_modules() if n.endswith("q_proj")}
    assert sum(p.numel() for p in trainable(model).values()) == sum(8 * (i + o) for o, i in sizes.values())
    assert 8 * sum(linear.weight.shape) == 65_536

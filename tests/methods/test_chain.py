"""A list of methods: applied in order, groups joined, no parameter claimed twice."""

from dataclasses import dataclass

import pytest
import torch

from ftlab.errors import FtlabError, SettingError
from ftlab.methods import Adapter, Chain, DifferentialLR, Freeze, Full, LoRA, Peft
from ftlab.methods.base import trainable


def test_two_that_train_one_parameter_are_refused(small_model):
    with pytest.raises(FtlabError, match=r"method: LoRA and Full both train .*lora_A.*; let one of them leave it out"):
        Chain([LoRA(), Full()]).apply(small_model())


def test_two_through_peft_are_refused(small_model):
    with pytest.raises(FtlabError, match="two of the list go through the peft library"):
        Chain([LoRA(), LoRA(r=2)]).apply(small_model())


def test_an_empty_list_is_refused():
    with pytest.raises(SettingError, match="names no method that trains"):
        Chain([])


def test_groups_are_joined_and_owned(small_model):
    """Full then LoRA is silly, and shows whose each parameter is."""
    chain = Chain([Full(), LoRA()])
    model = chain.apply(small_model())
    names = {id(p): name for name, p in trainable(model).items()}
    full, lora = chain.param_groups(model)
    assert (full["name"], lora["name"]) == ("Full", "LoRA")
    assert all("lora_" in names[id(p)] for p in lora["params"])
    assert not any("lora_" in names[id(p)] for p in full["params"])
    assert len(full["params"]) + len(lora["params"]) == len(names)


def test_what_the_list_needs_of_the_base_is_joined(small_model, tmp_path):
    """Full's type reaches the base that the list is loaded with, and is dropped where equality is proved."""
    from ftlab import Base

    small_model().save_pretrained(tmp_path)
    chain = Chain([Full(dtype="bfloat16"), DifferentialLR(layer_decay=0.5)])
    assert Base(str(tmp_path)).load_model(**chain.load_kwargs()).dtype == torch.bfloat16
    assert Base(str(tmp_path)).load_model(**chain.exact().load_kwargs()).dtype == torch.float32
    with pytest.raises(FtlabError, match="two of the list set dtype of the base"):
        Chain([Full(dtype="bfloat16"), Full(dtype="float16")]).load_kwargs()


def test_every_parameter_in_one_group_and_logged_by_a_name_of_its_own(small_model):
    chain = Chain([Freeze(last=1, head=True), LoRA(r=2), Adapter(bottleneck=4), DifferentialLR(layer_decay=0.5)])
    model = chain.apply(small_model("gemma2"))
    groups = chain.param_groups(model)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in trainable(model).values())
    wanted = {"Freeze/block.1": 1.0, "Freeze/head": 1.0}
    wanted |= {f"{kind}/block.{i}": scale for kind in ("LoRA", "Adapter") for i, scale in ((0, 0.5), (1, 1.0))}
    assert {group["name"]: group["lr_scale"] for group in groups} == wanted


@dataclass
class OwnFiles(Adapter):
    """Keeps its weights in a file of its own."""

    def save(self, model, folder):
        """Write the file."""
        folder.mkdir()
        torch.save({name: p.detach() for name, p in trainable(model).items()}, folder / "own.pt")

    def load(self, model, folder):
        """Read the file."""
        model.load_state_dict(torch.load(folder / "own.pt"), strict=False)


COPIED = [Freeze(last=0, head=True), LoRA(modules_to_save=["lm_head"])]


@pytest.mark.parametrize("methods", [COPIED, COPIED[::-1]], ids=["copied", "copied first"])
def test_a_copy_that_peft_trains_counts_as_the_parameter(methods, small_model):
    pair = " and ".join(method.title for method in methods)
    with pytest.raises(FtlabError, match=rf"method: {pair} both train .*lm_head.*; let one of them leave it out"):
        Chain(methods).apply(small_model())


def test_it_is_called_by_its_members(small_model):
    chain = Chain([Freeze(last=1), LoRA(r=2, layers=[7])])
    assert (chain.title, LoRA().title) == ("Freeze + LoRA", "LoRA")
    with pytest.raises(ValueError, match=r"^LoRA: layers: 7 is no block of this model"):
        chain.apply(small_model())
    with pytest.raises(ValueError, match=r"^DifferentialLR: head_scale is set, but nothing of the head is trained"):
        Chain([LoRA(), DifferentialLR(head_scale=10.0)]).apply(small_model())


def test_files_of_a_members_own_are_kept_or_refused(small_model, tmp_path):
    with pytest.raises(SettingError, match="method: OwnFiles has files of its own, which no list holds; use it alone"):
        Chain([LoRA(), OwnFiles()])
    assert not Peft("LORA").own_files
    assert Peft("XLORA", {"adapters": {}}).own_files
    chain = Chain([OwnFiles(bottleneck=4), DifferentialLR(layer_decay=0.5)])
    model = chain.apply(small_model())
    for parameter in trainable(model).values():
        torch.nn.init.normal_(parameter)
    chain.save(model, tmp_path / "w")
    assert [file.name for file in (tmp_path / "w").iterdir()] == ["own.pt"]
    again = chain.apply(small_model())
    chain.load(again, tmp_path / "w")
    assert all(torch.equal(p, dict(model.named_parameters())[name]) for name, p in trainable(again).items())


@pytest.mark.parametrize("other", [DifferentialLR(layer_decay=0.5), LoRA(r=2)], ids=lambda m: m.title)
def test_full_in_a_list_comes_back(other, small_model, tmp_path):
    """As a plain model where it alone trains, else beside the adapter."""
    from transformers import AutoModelForCausalLM

    chain = Chain([Full(), other])
    model = chain.apply(small_model())
    for parameter in trainable(model).values():
        parameter.data.normal_(std=0.1)
    chain.save(model, tmp_path)
    again = chain.apply(small_model())
    chain.load(again, tmp_path)
    ids = torch.arange(10)[None]
    with torch.no_grad():
        expected = model.eval()(ids).logits
        assert torch.equal(again.eval()(ids).logits, expected)
        if other.groups_only:
            assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, expected)

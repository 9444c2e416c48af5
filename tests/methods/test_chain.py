"""A list of methods: applied in order, groups joined, no parameter claimed twice."""

import pytest
import torch

from ftlab.errors import FtlabError, SettingError
from ftlab.methods import Chain, Full, LoRA
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
    from ftlab.methods import DifferentialLR

    small_model().save_pretrained(tmp_path)
    chain = Chain([Full(dtype="bfloat16"), DifferentialLR(layer_decay=0.5)])
    assert Base(str(tmp_path)).load_model(**chain.load_kwargs()).dtype == torch.bfloat16
    assert Base(str(tmp_path)).load_model(**chain.exact().load_kwargs()).dtype == torch.float32
    with pytest.raises(FtlabError, match="two of the list set dtype of the base"):
        Chain([Full(dtype="bfloat16"), Full(dtype="float16")]).load_kwargs()


def test_every_parameter_in_one_group_and_logged_by_a_name_of_its_own(small_model):
    from ftlab.methods import Adapter, DifferentialLR, Freeze

    chain = Chain([Freeze(last=1, head=True), LoRA(r=2), Adapter(bottleneck=4), DifferentialLR(layer_decay=0.5)])
    model = chain.apply(small_model("gemma2"))
    groups = chain.param_groups(model)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in trainable(model).values())
    wanted = {"Freeze/block.1": 1.0, "Freeze/head": 1.0}
    wanted |= {f"{kind}/block.{i}": scale for kind in ("LoRA", "Adapter") for i, scale in ((0, 0.5), (1, 1.0))}
    assert {group["name"]: group["lr_scale"] for group in groups} == wanted

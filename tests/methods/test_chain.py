"""A list of methods: applied in order, groups joined, no parameter claimed twice."""

import pytest

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
    with pytest.raises(SettingError, match="trains nothing"):
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

import copy
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from ftlab import Base
from ftlab.cli.settings import add_settings
from ftlab.config import describe
from ftlab.errors import FtlabError


def test_the_embedded_base_is_small_and_its_own():
    base = Base("ftlab/tiny")
    model = base.load_model()
    count = sum(p.numel() for p in model.parameters())
    assert 2e6 <= count <= 8e6
    assert sum(file.stat().st_size for file in Path(base.source()).iterdir()) <= 12e6
    tokenizer = base.load_chat().tokenizer
    assert tokenizer.tokenize("1234") == list("1234")
    assert "{%- generation -%}" in tokenizer.chat_template


def test_from_scratch_is_random_and_seeded():
    def first_weights(seed):
        torch.manual_seed(seed)
        return next(Base("ftlab/tiny", from_scratch=True).load_model().parameters())

    assert torch.equal(first_weights(1), first_weights(1))
    assert not torch.equal(first_weights(1), first_weights(2))
    assert not torch.equal(first_weights(1), next(Base("ftlab/tiny").load_model().parameters()))


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder"])
def test_a_missing_base_is_one_line(name):
    with pytest.raises(FtlabError, match=r"model\.base: cannot load"):
        Base(name).load_chat()


def test_a_model_without_a_template_is_refused(tmp_path, chat):
    tokenizer = copy.deepcopy(chat.tokenizer)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(FtlabError, match="has no chat template"):
        Base(str(tmp_path)).load_chat()


@pytest.mark.parametrize("value", [False, True, 1, 3, [0], [1, 4]], ids=str)
@pytest.mark.parametrize("written", [True, False], ids=["yaml", "option"])
def test_gradient_checkpointing_keeps_its_kind(value, written):
    """True is not 1 and a list of one is not its number, whichever way they come."""
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser)
    if written:
        config = parser.parse_object({"model": describe(Base(gradient_checkpointing=value), known=Base)})
    else:
        config = parser.parse_args([f"--model.gradient_checkpointing={str(value).lower()}"])
    base = parser.instantiate_classes(config).model
    assert base.gradient_checkpointing == value
    assert type(base.gradient_checkpointing) is type(value)

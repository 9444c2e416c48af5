"""Copies of a base cost nothing until they are written to, and nothing done to them reaches the base."""

import hashlib

import pytest
import torch
from transformers import BitsAndBytesConfig

from ftlab import Base
from ftlab.training.share import shareable, shared_copy


def hash_of(model):
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.float().numpy().tobytes())
    return digest.hexdigest()


def test_a_copy_costs_no_memory_until_it_is_written_to():
    base = shareable(Base().load_model())
    before = hash_of(base)
    twin = shared_copy(base)
    assert all(torch._C._is_cow_tensor(p) for p in twin.parameters())
    assert twin.lm_head.weight is twin.model.embed_tokens.weight
    with torch.inference_mode():
        ids = torch.arange(9)[None]
        assert torch.equal(twin(ids).logits, base(ids).logits)
    assert all(torch._C._is_cow_tensor(p) for p in twin.parameters())  # a forward pass only reads
    with torch.no_grad():
        twin.model.norm.weight.data -= 1
        twin.model.rotary_emb.inv_freq += 1
        twin.model.embed_tokens.weight.zero_()
    twin.config.hidden_size = 0
    assert hash_of(base) == before
    assert not torch.equal(base.model.rotary_emb.inv_freq, twin.model.rotary_emb.inv_freq)
    assert base.config.hidden_size > 0
    assert [name for name, p in twin.named_parameters() if not torch._C._is_cow_tensor(p)] == [
        "model.embed_tokens.weight", "model.norm.weight",
    ]  # fmt: skip


@pytest.mark.parametrize("config", [{"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, {"load_in_8bit": True}])
def test_a_copy_of_a_quantized_base_leaves_it_alone(config):
    """The first forward pass of a quantized layer rearranges its numbers and its scales."""
    quantized = {"quantization_config": BitsAndBytesConfig(**config)}
    ids = torch.arange(5, 40)[None]
    with torch.inference_mode():
        expected = Base().load_model(**quantized)(ids).logits
        base = shareable(Base().load_model(**quantized))
        weight = base.model.layers[0].mlp.up_proj.weight
        for _ in range(3):
            twin = shared_copy(base)
            assert twin.model.layers[0].mlp.up_proj.weight.data_ptr() == weight.data_ptr()
            assert torch.equal(twin(ids).logits, expected)

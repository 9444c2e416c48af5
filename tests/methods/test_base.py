"""What every method inherits: weights of another method are refused by name, whatever is in the folder."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftlab import Full, LoRA
from ftlab.errors import FtlabError
from ftlab.methods import Freeze
from ftlab.methods.base import TRAINABLE_FILE


def test_weights_of_another_method_are_refused(small_model, tmp_path):
    LoRA(r=4).save(LoRA(r=4).apply(small_model()), tmp_path / "w")
    with pytest.raises(FtlabError, match="does not hold this model's weights"):
        Full().load(Full().apply(small_model()), tmp_path / "w")
    with pytest.raises(FtlabError, match="holds other weights than this method's"):
        Freeze(last=1).load(Freeze(last=1).apply(small_model()), tmp_path / "w")


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_a_damaged_file_is_refused_by_the_tensor_that_is_wrong(small_model, tmp_path, change):
    method = Freeze(last=1)
    method.save(method.apply(small_model()), tmp_path)
    tensors = load_file(tmp_path / TRAINABLE_FILE)
    name = sorted(tensors)[0]
    tensor = tensors.pop(name)
    if change == "unknown":
        tensors |= {name: tensor, "model.nothing": tensor.clone()}
    elif change == "shape":
        tensors[name] = torch.cat([tensor, tensor])
    save_file(tensors, tmp_path / TRAINABLE_FILE)
    with pytest.raises(FtlabError, match="model.nothing" if change == "unknown" else name):
        method.load(method.apply(small_model()), tmp_path)

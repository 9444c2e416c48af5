import pytest
import torch

from ftlab import Base, FineTuner, LoRA
from ftlab.errors import FtlabError
from ftlab.export.merge import merge
from ftlab.methods import QLoRA


def trained(method):
    tuner = FineTuner("ftlab/tiny", method, seed=1)
    tuner.configure_model()
    for name, parameter in tuner.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return tuner


@pytest.fixture
def tuner():
    return trained(LoRA(r=4))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merged_weights_are_compared_in_fp32_and_kept_in_the_runs_type(tuner, tmp_path, dtype):
    assert merge(tuner, tmp_path / "merged", dtype) <= 1e-3
    model = Base(str(tmp_path / "merged"), dtype="auto").load_model()
    assert model.dtype == getattr(torch, dtype)
    assert not (tmp_path / "merged.partial").exists()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_base_is_unpacked(bits, tmp_path):
    """The merged model is compared with the quantized one, both computing in fp32, and is nobody's quantized model."""
    tuner = trained(QLoRA(r=4, bits=bits, compute_dtype="bfloat16").exact())
    assert merge(tuner, tmp_path / "merged") <= 1e-3
    model = Base(str(tmp_path / "merged"), dtype="auto").load_model()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not getattr(model, "is_quantized", False)


def test_a_wrong_merge_is_refused_and_left_for_a_look(tuner, tmp_path, monkeypatch):
    right = LoRA.merge

    def wrong(self, model):
        merged = right(self, model)
        with torch.no_grad():
            merged.model.layers[0].mlp.down_proj.weight.mul_(1.5)
        return merged

    monkeypatch.setattr(LoRA, "merge", wrong)
    with pytest.raises(FtlabError, match="logits differ by"):
        merge(tuner, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert (tmp_path / "merged.partial").is_dir()

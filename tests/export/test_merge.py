import pytest
import torch

from ftlab import Base, FineTuner, LoRA
from ftlab.errors import FtlabError
from ftlab.export.merge import merge


@pytest.fixture
def tuner():
    tuner = FineTuner("ftlab/tiny", LoRA(r=4), seed=1)
    tuner.configure_model()
    for name, parameter in tuner.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return tuner


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merged_weights_are_compared_in_fp32_and_kept_in_the_runs_type(tuner, tmp_path, dtype):
    assert merge(tuner, tmp_path / "merged", dtype) <= 1e-3
    model = Base(str(tmp_path / "merged"), dtype="auto").load_model()
    assert model.dtype == getattr(torch, dtype)
    assert not (tmp_path / "merged.partial").exists()


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

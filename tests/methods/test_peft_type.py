"""Any type of peft by name: the table of what works is true, and faults in the settings are named."""

import json
from importlib.util import find_spec

import pytest
import torch
from peft import LoraConfig, PeftType
from peft.tuners.lora.config import LoftQConfig
from peft.tuners.prompt_tuning.config import PromptTuningInit

from ftlab.errors import FtlabError, SettingError
from ftlab.methods import Peft
from tests.conftest import ROOT
from tests.experiments.scripts import load

FOLDER = ROOT / "experiments/peft_types"
table = load(FOLDER / "table.py")
HAS_SKLEARN = find_spec("sklearn") is not None
RECORDS = json.loads((FOLDER / "table.json").read_text())["types"]


def test_the_table_knows_every_type():
    assert set(RECORDS) == set(table.CASES) == {kind.value for kind in PeftType}
    assert len(RECORDS) == 45


def compare(peft_type, architecture, folder):
    if peft_type == "ADAMSS" and not HAS_SKLEARN:
        with pytest.raises(SettingError, match="ADAMSS is not ready: scikit-learn is required"):
            Peft("ADAMSS")
        return
    assert table.probe(peft_type, architecture, folder) == RECORDS[peft_type][architecture]


@pytest.mark.parametrize("peft_type", sorted(table.CASES))
def test_the_table_is_true_of_llama(peft_type, tmp_path):
    compare(peft_type, "llama", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("peft_type", sorted(table.CASES))
def test_the_table_is_true_of_qwen2(peft_type, tmp_path):
    compare(peft_type, "qwen2", tmp_path)


@pytest.mark.parametrize("peft_type", sorted(table.CASES))
def test_it_says_itself_whether_it_starts_as_the_base(peft_type, tmp_path):
    if peft_type == "ADAMSS" and not HAS_SKLEARN:
        pytest.skip("scikit-learn is not installed")
    settings = RECORDS[peft_type]["settings"]
    if peft_type == "XLORA":
        table.experts("llama", tmp_path)
        settings = {"adapters": {"a": str(tmp_path / "0")}}
    assert Peft(peft_type, settings).starts_as_base == RECORDS[peft_type]["llama"]["starts_as_base"]


def test_the_readme_holds_the_table():
    readme = (FOLDER / "README.md").read_text()
    assert all(table.row(name, record) in readme for name, record in RECORDS.items())


@pytest.mark.parametrize(
    ("peft_type", "settings", "message"),
    [
        ("VERRA", {}, r"method.peft_type: 'VERRA' is not a type of peft; did you mean VERA\? \(PROMPT_TUNING, "),
        ("VERA", {"rank": 4}, r"method.settings.rank: 'rank' is not a setting of VeraConfig; .*\(r, target_modules, "),
        ("VERA", {"target_module": []}, r"settings.target_module: .* did you mean target_modules\? \("),
        ("VERA", {"r": "big"}, r"method.settings.r: 'big' is not a whole number"),
        ("VERA", {"r": True}, r"method.settings.r: True is not a whole number"),
        ("VERA", {"target_modules": [1]}, r"target_modules: \[1\] is not a text or a list of a text"),
        ("VERA", {"save_projection": "no"}, r"save_projection: 'no' is not true or false"),
        ("LORA", {"bias": "some"}, r"method.settings.bias: 'some' is not one of 'none', 'all', 'lora_only'"),
        ("LORA", {"loftq_config": {"bits": 4}}, r"settings.loftq_config.bits: 'bits' is not a setting of LoftQConfig"),
        ("PROMPT_TUNING", {"num_virtual_tokens": 4, "prompt_tuning_init": "WORDS"}, r"'WORDS' is not one of 'TEXT', "),
        ("PROMPT_TUNING", {}, r"method.settings: num_virtual_tokens is not set and PromptTuningConfig needs it"),
        ("ADALORA", {}, r"method.settings: total_step is not set"),
        ("ADALORA", {"total_step": 0}, r"is not what AdaLoraConfig takes: AdaLoRA does not work"),
        ("LORA", {"task_type": "CAUSAL_LM"}, r"settings.task_type: task_type is not yours to set: ftlab sets it"),
        ("LORA", {"megatron_core": "os"}, r"settings.megatron_core: .* imports a module by name"),
        ("LORA", {"init_lora_weights": "eva"}, r"settings.init_lora_weights: 'eva' is not possible here"),
        ("PROMPT_TUNING", {"tokenizer_kwargs": {"trust_remote_code": True}}, r"the base's own tokenizer"),
        ("SHADOW", {"shadow_model": "someone/model"}, r"'someone/model' is not 'mirror'; ftlab loads no model"),
        ("POLY", {"n_tasks": 2}, r"method.settings.n_tasks: 2 is not 1; ftlab's data names no tasks"),
        (
            "XLORA",
            {"adapters": {"a": "someone/lora"}},
            r"settings.adapters.a: 'someone/lora' is not a folder of an",
        ),
        (
            "MULTITASK_PROMPT_TUNING",
            {"num_virtual_tokens": 4, "prompt_tuning_init_state_dict_path": "x.bin"},
            r"path: 'x.bin' is not a file \*.safetensors",
        ),
    ],
)
def test_a_fault_is_found_before_a_model_is_loaded(peft_type, settings, message):
    with pytest.raises(SettingError, match=message):
        Peft(peft_type, settings)


def test_a_type_is_written_in_any_case():
    assert Peft("vera").peft_type == "VERA"


def test_settings_reach_the_config_as_it_wants_them():
    config = Peft(
        "LORA", {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 8}, "rank_pattern": {"q_proj": 2}}
    )._config()
    assert isinstance(config, LoraConfig)
    assert config.rank_pattern == {"q_proj": 2}
    assert config.loftq_config == vars(LoftQConfig(loftq_bits=8))
    settings = {"num_virtual_tokens": 4, "prompt_tuning_init": "SAMPLE_VOCAB"}
    assert Peft("PROMPT_TUNING", settings)._config().prompt_tuning_init is PromptTuningInit.SAMPLE_VOCAB
    assert Peft("LORA", {"init_lora_weights": "pissa_niter_4"})._config().init_lora_weights == "pissa_niter_4"


def test_settings_stay_as_they_were_written(small_model):
    settings = {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 2}}
    Peft("LORA", settings).apply(small_model())
    assert settings == {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 2}}


def test_an_architecture_that_peft_does_not_know_gets_all_linear_layers(small_model):
    model = small_model("olmo2")
    assert "olmo2" not in type(Peft("VERA").apply(small_model()).base_model).target_module_mapping
    names = [name for name, _ in Peft("VERA", {"r": 4}).apply(model).named_parameters() if "vera_lambda_b" in name]
    assert len(names) == 2 * 7


def test_a_text_is_read_with_the_bases_own_tokenizer():
    from ftlab import Base

    settings = {"num_virtual_tokens": 6, "prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "Solve this."}
    base = Base("ftlab/tiny")
    model = Peft("PROMPT_TUNING", settings).apply(base.load_model())
    ids = torch.tensor((base.load_chat().tokenizer("Solve this.")["input_ids"] * 6)[:6])
    torch.testing.assert_close(model.prompt_encoder["default"].embedding.weight, model.word_embeddings(ids))


def test_a_router_is_not_merged_away(tmp_path):
    table.experts("llama", tmp_path)
    method = Peft("XLORA", {"adapters": {"a": str(tmp_path / "0"), "b": str(tmp_path / "1")}})
    with pytest.raises(FtlabError, match="depends on the input"):
        method.merge(method.apply(table.base("llama")))


@pytest.mark.parametrize("settings", [{"target_modules": ["lm_head"]}, {"modules_to_save": ["lm_head"]}], ids=str)
def test_a_tied_head_is_untied_where_it_is_touched(settings, small_model):
    """As LoRA does it: else a merge would change the embeddings."""
    ids = torch.arange(10)[None]

    def base():
        model = small_model()
        model.config.tie_word_embeddings = True
        model.tie_weights()
        return model

    method = Peft("LORA", {"r": 2} | settings)
    model = method.apply(base())
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    with torch.no_grad():
        expected = model.eval()(ids).logits
        merged = method.merge(model).eval()
        torch.testing.assert_close(merged(ids).logits, expected, rtol=0, atol=1e-4)
    assert torch.equal(merged.get_input_embeddings().weight, base().get_input_embeddings().weight)
    assert Peft("LORA").apply(base()).config.tie_word_embeddings


def test_the_tokenizer_is_of_the_bases_revision(small_model, monkeypatch):
    from transformers import AutoTokenizer

    from ftlab import Base

    tokenizer, asked = Base("ftlab/tiny").load_chat().tokenizer, []
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *args, **loading: asked.append(loading) or tokenizer)
    settings = {"num_virtual_tokens": 6, "prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "Solve this."}
    model = small_model()
    model.config._commit_hash, model.config._name_or_path = "abc", "somewhere/base"
    Peft("PROMPT_TUNING", settings).apply(model)
    assert [loading["revision"] for loading in asked] == ["abc", "abc"]

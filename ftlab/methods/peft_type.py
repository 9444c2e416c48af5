"""Peft: any tuner type of the peft library, with its config's own fields. It knows no trainer and no data."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, SettingError, choices_help, require
from ftlab.methods.anatomy import called, untie_touched
from ftlab.methods.base import BEFORE_A_ROW, TRAINABLE_FILE, Method
from ftlab.methods.peft_fields import config_fields
from ftlab.methods.peft_format import ADAPTER_FILE, wrap

if TYPE_CHECKING:
    from torch import nn

SETTINGS = "method.settings"

#: Fields of peft's configs that a user may not set, and why.
REFUSED = {
    "task_type": "ftlab sets it: all of its models are causal language models",
    "peft_type": "it stands beside the settings, as method.peft_type",
    "inference_mode": "ftlab sets it: it trains",
    "base_model_name_or_path": "ftlab sets it; the base is model.base",
    "revision": "ftlab sets it; the base's is model.revision",
    "auto_mapping": "peft sets it",
    "peft_version": "peft sets it",
    "tokenizer_name_or_path": "ftlab takes the base's own tokenizer",
    "tokenizer_kwargs": "ftlab takes the base's own tokenizer, without remote code",
    "megatron_config": "it imports a module by name; ftlab's models have no layers of Megatron",
    "megatron_core": "it imports a module by name; ftlab's models have no layers of Megatron",
    "opt_weighted_loss_type": "ftlab computes the loss, so it would do nothing",
    "opt_loss_decay_factor": "ftlab computes the loss, so it would do nothing",
    "auxiliary_loss_weight": "ftlab computes the loss, so it would do nothing",
    "orth_reg_weight": "ftlab computes the loss, so it would do nothing",
    "eva_config": "it initializes from data, which Peft does not; use the method LoRA",
    "corda_config": "it initializes from data and reads pickled files; use the method LoRA",
    "lora_ga_config": "it initializes from data and reads pickled files; use the method LoRA",
    "arrow_config": "it routes between adapters that have to be loaded by a program",
}

#: Settings without a default that works, by config field.
REQUIRED = {
    "num_virtual_tokens": "how many tokens to put before the chat",
    "cpt_token_ids": "token ids of the examples to put before the chat",
    "adapter_len": "how many tokens each layer gets",
    "adapter_layers": "how many layers, from the top",
    "adapters": "a mapping of names to folders of trained LoRA adapters",
    "token_indices": "ids of the tokens whose embeddings are trained",
    "total_step": "the optimizer steps of the whole run",
}

#: Types that replace modules of another kind than linear layers, for which `all-linear` would be wrong.
NOT_LINEAR = ("BEFT", "IA3", "LN_TUNING", "SHADOW")

#: Types with virtual tokens.
VIRTUAL = ("CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING")

#: Types whose new weights change the model's answers from the start, and the setting by which the others would.
MOVES_AT_ONCE = (*VIRTUAL, "C3A", "FOURIERFT", "UNILORA", "VBLORA", "XLORA")
INITS = ("init_weights", "init_lora_weights", "init_ia3_weights")

#: Types whose virtual tokens are keys and values of every layer.
CACHED = ("CARTRIDGE", "PREFIX_TUNING")

#: Types that know tasks; ftlab's data has one, which every row belongs to. The class that asks for it.
TASKS = {"POLY": "PolyRouter", "MULTITASK_PROMPT_TUNING": "MultitaskPromptEmbedding"}


@dataclass
class Peft(Method):
    """Train any tuner type of the peft library, with the settings of peft's own config.

    Source: Mangrulkar et al., "PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods", 2022,
    https://github.com/huggingface/peft. What works: experiments/peft_types/README.md.
    """

    peft_type: str = "LORA"
    """Name of the type in peft, such as VERA or BOFT."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the type's config in peft, such as `{r: 64}`; a field that is left out has peft's default."""

    def __post_init__(self) -> None:
        """Refuse unknown types and settings that their configs do not take, before a model is loaded."""
        from peft import PeftType

        if self.peft_type.upper() not in list(PeftType):
            names = choices_help(self.peft_type, [kind.value for kind in PeftType])
            raise SettingError("method.peft_type", f"{self.peft_type!r} is not a type of peft; {names}")
        self.peft_type = self.peft_type.upper()
        self._config()

    @property
    def starts_as_base(self) -> bool:  # type: ignore[override]
        """Whether the new weights change nothing until the first step, as their usual initialization has it."""
        usual = all(value is not False for name, value in self.settings.items() if name in INITS)
        return usual and self.peft_type not in MOVES_AT_ONCE

    @property
    def own_files(self) -> bool:
        """Whether the inherited `save` would lose this type's weights."""
        return self.peft_type == "XLORA" or self._saves_unlike(Peft)

    def why_not_packed(self) -> str | None:
        """Return what the type does across a row."""
        if self.peft_type == "LILY":
            return "its router takes the mean of all tokens of a batch, whichever chat they are of"
        return BEFORE_A_ROW if self.peft_type in VIRTUAL else None

    def apply(self, model: nn.Module) -> nn.Module:
        """Wrap the model; without `target_modules`, peft's own choice for the architecture, or all linear layers."""
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        config: Any = self._config(model)
        tuner = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type]
        known = getattr(tuner, "target_module_mapping", None)
        model_type = model.config.model_type  # type: ignore[union-attr]
        if known is not None and config.target_modules is None and model_type not in known:
            config.target_modules = None if self.peft_type in NOT_LINEAR else "all-linear"
        if self.peft_type == "XLORA":
            model.config.use_cache = False  # type: ignore[union-attr]  # peft demands it
        # Where peft is asked to keep ends tied, or does so for the type, they stay so.
        if self.peft_type != "TRAINABLE_TOKENS" and not getattr(config, "ensure_weight_tying", False):
            for key in ("target_modules", "modules_to_save"):
                untie_touched(model, called(model, getattr(config, key, None)))
        wrapped = self._wrap(model, config)
        if self.peft_type == "SHADOW":
            _freeze_unused(wrapped)
        if self.peft_type in TASKS:
            for module in wrapped.modules():
                if type(module).__name__ == TASKS[self.peft_type]:
                    module.register_forward_pre_hook(_one_task, with_kwargs=True)
        return wrapped

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the trained weights in PEFT's format, and beside it what that does not hold."""
        super().save(model, folder)
        if self.peft_type == "XLORA":  # peft takes the router's layer 0 for a part of adapter 0, and writes nothing
            (folder / TRAINABLE_FILE).replace(folder / ADAPTER_FILE)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return a plain model with the update folded in.

        Raises:
            FtlabError: peft cannot fold this type into the base's weights.
        """
        if self.peft_type == "XLORA":  # peft would fold the adapters in without the router
            raise FtlabError("method: XLORA cannot be merged: how it mixes the adapters depends on the input")
        try:
            return super().merge(model)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise FtlabError(f"method: peft cannot merge {self.peft_type} ({_first_line(error)})") from error

    def _wrap(self, model: Any, config: Any) -> Any:
        if not config.is_prompt_learning:
            return wrap(model, config)
        from ftlab.methods.soft_prompts import wrap_prefix, wrap_prompt

        return (wrap_prefix if self.peft_type in CACHED else wrap_prompt)(model, config)

    def _config(self, model: Any = None) -> Any:
        """Return the type's config of peft; without a model, to find faults only."""
        from peft import PeftType
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

        cls = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(self.peft_type)]
        values = config_fields(cls, self.settings, SETTINGS, REFUSED)
        names = {f.name for f in dataclasses.fields(cls)}
        self._check(values, names, cls.__name__)
        if values.get("prompt_tuning_init") == "TEXT":
            values |= _own_tokenizer(model)
        if model is not None and self.peft_type == "XLORA":
            values.setdefault("hidden_size", model.config.get_text_config().hidden_size)
            # peft counts the adapters, and then looks for them by the names that were given.
            values["adapters"] = {str(i): folder for i, folder in enumerate(values["adapters"].values())}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return cls(**values, task_type="CAUSAL_LM")
        except ImportError as error:
            raise SettingError("method.peft_type", f"{self.peft_type} is not ready: {_first_line(error)}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise SettingError(
                SETTINGS, f"{self.settings!r} is not what {cls.__name__} takes: {_first_line(error)}"
            ) from error

    def _check(self, values: dict[str, Any], names: set[str], owner: str) -> None:
        """Refuse what is missing, and what would read files that can run code or needs what ftlab does not do."""
        required = set(REQUIRED) & names - ({"num_virtual_tokens"} if "cpt_token_ids" in names else set())
        for name in sorted(required - values.keys()):
            raise SettingError(SETTINGS, f"{name} is not set and {owner} needs it: {REQUIRED[name]}")
        for name in ("n_tasks", "num_tasks"):
            _refuse(values.get(name, 1) != 1, name, values.get(name), "1; ftlab's data names no tasks")
        start = values.get("init_lora_weights")
        _refuse(start in ("eva", "corda"), "init_lora_weights", start, "possible here: it needs data; use LoRA")
        _refuse(bool(values.get("use_asa")), "use_asa", True, "possible: it needs a call after every step")
        shadow = values.get("shadow_model", "mirror")
        _refuse(shadow != "mirror", "shadow_model", shadow, "'mirror'; ftlab loads no model besides the base")
        path = values.get("prompt_tuning_init_state_dict_path")
        safe = path is None or (path.endswith(".safetensors") and Path(path).is_file())
        _refuse(not safe, "prompt_tuning_init_state_dict_path", path, "a file *.safetensors")
        for name, folder in (values.get("adapters") or {}).items():
            safe = (Path(folder) / ADAPTER_FILE).is_file() and (Path(folder) / "adapter_config.json").is_file()
            _refuse(not safe, f"adapters.{name}", folder, f"a folder of an adapter with its {ADAPTER_FILE}")


def _refuse(fault: bool, name: str, value: object, wanted: str) -> None:
    require(not fault, f"{SETTINGS}.{name}", value, wanted)


def _freeze_unused(model: Any) -> None:
    """Freeze the update of the shadow after the last block, which nothing reads."""
    last = [module for module in model.modules() if hasattr(module, "shadow_update_gate")][-1]
    last.shadow_update_gate.requires_grad_(False)
    last.shadow_update_transform.requires_grad_(False)


def _one_task(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Answer for a forward that is asked for its task: the first, for each row of the batch."""
    import torch

    names = ("task_ids", "input_ids") if type(module).__name__ == TASKS["POLY"] else ("indices", "task_ids")
    given = dict(zip(names, args, strict=False)) | kwargs
    if given["task_ids"] is None:
        rows = given["input_ids" if "input_ids" in given else "indices"]
        given["task_ids"] = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    return (), given


def _own_tokenizer(model: Any) -> dict[str, Any]:
    """Return where the base's tokenizer lies, once it has been loaded without remote code; peft loads it again."""
    if model is None:
        return {"tokenizer_name_or_path": "the base's"}
    from transformers import AutoTokenizer

    revision = getattr(model.config, "_commit_hash", None)
    AutoTokenizer.from_pretrained(model.config.name_or_path, revision=revision, trust_remote_code=False)
    pinned = {"tokenizer_kwargs": {"revision": revision}} if revision else {}
    return {"tokenizer_name_or_path": model.config.name_or_path, **pinned}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""The peft library's way to wrap a model, and its files. It knows no method and imports peft only where it is used."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from torch import nn

#: Weights in a PEFT folder.
ADAPTER_FILE = "adapter_model.safetensors"
#: The tensor in that file where the method is virtual tokens, and how the parameter's name ends that it fills.
PROMPT_KEY, PROMPT_TABLE = "prompt_embeddings", ("embedding.weight", "trainable_embedding")


def is_peft(model: nn.Module) -> bool:
    """Return whether peft made this model (without importing peft if nobody has)."""
    return any(cls.__name__ == "PeftModel" for cls in type(model).__mro__)


def wrap(model: Any, config: Any) -> Any:
    """Return the model with a peft config applied.

    Args:
        model: a causal language model of transformers.
        config: any of peft's configs; its task type is set here.

    Raises:
        ValueError: peft cannot apply the config to this model.
    """
    from peft import TaskType, get_peft_model

    config.task_type = TaskType.CAUSAL_LM
    return get_peft_model(model, config)


@contextmanager
def switched_off(model: Any) -> Iterator[None]:
    """Let a model compute without its adapter for a while, and leave it as it was.

    peft, switching an adapter on again, makes all of it trainable, whatever was frozen; and it leaves the functions
    that it puts in place of a soft prompt's behind.

    Args:
        model: as `wrap` returned it.
    """
    free = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    attributes = set(vars(model))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Careful, disabling adapter layers")  # of biases that are trained
            with model.disable_adapter():
                yield
    finally:
        for parameter, requires_grad in free:
            parameter.requires_grad_(requires_grad)
        for name in vars(model).keys() - attributes:
            delattr(model, name)


def save_adapter(model: Any, folder: Path, names: Mapping[str, nn.Parameter]) -> set[str]:
    """Write a PEFT folder; return the names of the trained parameters that it holds as they are.

    A prompt encoder with a network is saved by peft as what the network makes of it: good to use, not to train on.

    Args:
        model: as `wrap` returned it.
        folder: to make.
        names: the trained parameters by name.
    """
    import torch
    from peft import get_peft_model_state_dict

    with torch.no_grad():  # an LSTM that makes a prompt has other kernels, and last digits, where gradients are wanted
        model.save_pretrained(str(folder), save_embedding_layers=False)
        saved = get_peft_model_state_dict(model, save_embedding_layers=False)
    if model.active_peft_config.is_prompt_learning:
        prompt = saved[PROMPT_KEY].detach().cpu()
        tables = {name: p.detach().cpu() for name, p in names.items() if name.endswith(PROMPT_TABLE)}
        held = {name for name, table in tables.items() if table.equal(prompt[-len(table) :])}  # frozen tokens are first
        return held | {name for name in names if name.rpartition(".")[2] in saved}
    places = {tensor.data_ptr() for tensor in saved.values()}
    return {name for name, p in names.items() if p.data_ptr() in places}


def load_adapter(model: Any, folder: Path, wanted: Iterable[str]) -> tuple[set[str], list[str]]:
    """Read a PEFT folder's weights.

    Args:
        model: as `wrap` returned it.
        folder: the PEFT folder.
        wanted: names of parameters that should be in it.

    Returns:
        the wanted names that are not in it, and names in it that the model does not have.

    Raises:
        FtlabError: there is no such file.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    if not (folder / ADAPTER_FILE).is_file():
        raise FtlabError(f"{folder}: has no {ADAPTER_FILE}; use the run's own config")
    tensors = load_file(folder / ADAPTER_FILE)
    if model.active_peft_config.is_prompt_learning:  # peft reports what it cannot place, or raises, only after the fact
        encoder = model.prompt_encoder[model.active_adapter]
        own = {PROMPT_KEY: encoder.embedding.weight, **encoder.state_dict()}
        unexpected = [key for key in tensors if key not in own or tensors[key].shape != own[key].shape]
        if unexpected or PROMPT_KEY not in tensors:
            return set(wanted), unexpected
        set_peft_model_state_dict(model, tensors)
        held = {name for name in wanted if name.endswith(PROMPT_TABLE) or name.rpartition(".")[2] in tensors}
        return set(wanted) - held, []
    result: Any = set_peft_model_state_dict(model, tensors)
    names: dict[int, set[str]] = {}  # a tensor that layers share has several names, and is stored under one of them
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    absent = [group for group in names.values() if group <= set(result.missing_keys)]
    return set(wanted) & set().union(*absent), list(result.unexpected_keys)

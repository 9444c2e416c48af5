"""Anatomy: where a decoder keeps its blocks, head, norms and embeddings. It names no architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftlab.methods.peft_format import is_peft

if TYPE_CHECKING:
    from torch import nn


def plain(model: Any) -> Any:
    """Return the model of transformers inside whatever peft wrapped around it."""
    return model.get_base_model() if is_peft(model) else model


def blocks(model: Any) -> dict[str, nn.Module]:
    """Return the decoder's blocks by name, bottom first.

    They are the outermost list of modules in the decoder, the longest one if several lie equally deep.

    Raises:
        ValueError: there is no such list.
    """
    from torch import nn

    decoder = plain(model).get_decoder()
    lists = [(name, m) for name, m in decoder.named_modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not lists:
        raise ValueError(f"{type(decoder).__name__} has no list of blocks")
    _, found = min(lists, key=lambda item: (item[0].count("."), -len(item[1])))
    names = {module: name for name, module in model.named_modules()}
    return {names[block]: block for block in found}


def embeddings(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of the input embeddings by name."""
    return _inside(model, plain(model).get_input_embeddings())


def head(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of the language head by name; where it is tied, the embeddings' own."""
    return _inside(model, plain(model).get_output_embeddings())


def norms(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of all normalization layers, told by the word norm or ln in the name of their class."""
    found: dict[str, nn.Parameter] = {}
    for module in model.modules():
        kind = type(module).__name__.lower()
        if not list(module.children()) and ("norm" in kind or kind.startswith("ln")):
            found |= _inside(model, module)
    return found


def linear_layers(model: Any) -> dict[str, tuple[int, int]]:
    """Return (inputs, outputs) of every linear layer but the head, by name."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    last = plain(model).get_output_embeddings()
    sizes: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        if module is last:
            continue
        if isinstance(module, nn.Linear):  # bitsandbytes' too: its weight is packed, so the shape is asked of the layer
            sizes[name] = (module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            sizes[name] = (module.nx, module.nf)
    return sizes


def untie_head(model: Any) -> None:
    """Give the head weights of its own where it shares the embeddings', so that training one leaves the other."""
    from torch import nn

    inner = plain(model)
    ends = inner.get_input_embeddings(), inner.get_output_embeddings()
    if ends[0].weight is ends[1].weight:
        ends[1].weight = nn.Parameter(ends[1].weight.detach().clone())
        inner.config.get_text_config().tie_word_embeddings = False


def _inside(model: Any, module: Any) -> dict[str, nn.Parameter]:
    wanted = {id(p) for p in module.parameters()} if module is not None else set()
    return {name: p for name, p in model.named_parameters() if id(p) in wanted}

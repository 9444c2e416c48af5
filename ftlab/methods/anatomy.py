"""Anatomy: where a decoder keeps its blocks, head, norms and embeddings. It names no architecture."""

from __future__ import annotations

import difflib
import inspect
import itertools
import re
from typing import TYPE_CHECKING, Any

from ftlab.errors import SettingError
from ftlab.methods.peft_format import is_peft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

#: What the peft library adds to the names of a base's own parameters, and of the copies that it trains in their place.
_PEFT_NAMES = re.compile(r"^base_model\.model\.|\.(base_layer|original_module|modules_to_save\.[^.]+)(?=\.)")


def plain(model: Any) -> Any:
    """Return the model of transformers inside whatever peft wrapped around it."""
    return model.get_base_model() if is_peft(model) else model


def blocks(model: Any) -> dict[str, nn.Module]:
    """Return the decoder's blocks by name, bottom first.

    They are the outermost list of modules in the decoder, the one with most parameters if several lie equally deep.

    Raises:
        ValueError: there is no such list.
    """
    from torch import nn

    decoder = plain(model).get_decoder()
    lists = [(name, m) for name, m in decoder.named_modules() if isinstance(m, nn.ModuleList) and len(m)]
    if not lists:
        raise ValueError(f"{type(decoder).__name__} has no list of blocks")
    _, found = min(lists, key=lambda item: (item[0].count("."), -size(item[1])))
    names = {module: name for name, module in model.named_modules()}
    return {names[block]: block for block in found}


def width(model: Any) -> int:
    """Return the size of the hidden states that the blocks pass on."""
    return plain(model).config.get_text_config().hidden_size


def mixers(block: nn.Module) -> list[nn.Module]:
    """Return the parts of a block in which tokens see each other: attention or its linear relatives."""
    return [part for part in _parts(block) if _arguments(part) & {"attention_mask", "past_key_values", "cache_params"}]


def mlp(block: nn.Module) -> nn.Module | None:
    """Return the part of a block that transforms each token alone, experts included; None where there is none.

    Where a block holds bare layers in its place, it is the last of them.
    """
    others = mixers(block)
    tokenwise = [part for part in _parts(block) if part not in others]
    whole = [part for part in tokenwise if not hasattr(part, "in_features")]
    return max(whole, key=size) if whole else next(reversed(tokenwise), None)


def adds_residual(part: nn.Module) -> bool:
    """Return whether a part of a block adds the block's input to its own output, which most leave to the block."""
    return "residual" in _arguments(part)


def has_hooks(module: nn.Module) -> bool:
    """Return whether something is called before or after a module, which leaving the module out would leave out too."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def embeddings(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of the input embeddings by name."""
    return _inside(model, [plain(model).get_input_embeddings()])


def below_blocks(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters that act before the bottom block by name: of tokens and places, and their norms.

    They are defined before the blocks, where a few also define what they name the final norm.
    """
    bottom = {id(p) for p in next(iter(blocks(model).values())).parameters()}
    before = itertools.takewhile(lambda item: id(item[1]) not in bottom, model.named_parameters())
    return embeddings(model) | {name: p for name, p in before if "final" not in name}


def head(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of the language head by name; where it is tied, the embeddings' own."""
    return _inside(model, [plain(model).get_output_embeddings()])


def norms(model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of all normalization layers, told by the word norm or ln in the name of their class."""
    kinds = ((module, type(module).__name__.lower()) for module in model.modules())
    return _inside(model, [m for m, kind in kinds if not list(m.children()) and re.search("norm|^ln", kind)])


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
        for config in (inner.config, inner.config.get_text_config()):  # two in a model that also sees or hears
            config.tie_word_embeddings = False
        inner.all_tied_weights_keys = inner.get_expanded_tied_weights_keys(all_submodels=True)


def untie_touched(model: Any, names: Iterable[str]) -> None:
    """Untie the head if a module with one of these names is an end that is tied: a merge would change both ends."""
    inner = plain(model)
    ends = inner.get_input_embeddings(), inner.get_output_embeddings()
    if any(model.get_submodule(name) in ends for name in names):
        untie_head(model)


def refuse_packed(model: nn.Module) -> None:
    """Refuse a base of which only a part could be trained.

    Raises:
        ValueError: some of its weights are quantized.
    """
    if not all(p.is_floating_point() for p in model.parameters()):
        raise ValueError("its weights are packed and cannot be trained; take QLoRA")


def called(model: nn.Module, wanted: Iterable[str] | str | None) -> list[str]:
    """Return the names of the modules that are meant, as peft reads it.

    Args:
        model: a causal language model of transformers.
        wanted: ends of names, one regular expression for whole names, or `all-linear`: all linear layers but the head.
    """
    if wanted == "all-linear":
        return list(linear_layers(model))
    names = [name for name, _ in model.named_modules()]
    if isinstance(wanted, str):
        return [name for name in names if re.fullmatch(wanted, name)]
    return [name for name in names if ends_with(name, wanted or ())]


def ends_with(name: str, ends: Iterable[str]) -> bool:
    """Return whether one of the ends is the last part of a dotted name, or its last parts."""
    return any(name == end or name.endswith(f".{end}") for end in ends)


def base_name(name: str) -> str:
    """Return what the base calls a parameter, whatever peft wrapped around it."""
    return _PEFT_NAMES.sub("", name)


def size(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in module.parameters())


def require_patterns(key: str, patterns: Iterable[str]) -> None:
    """Refuse what is no regular expression.

    Args:
        key: dotted, as in the YAML.
        patterns: as written there.

    Raises:
        SettingError: one of them is none.
    """
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise SettingError(key, f"{pattern!r} is not a regular expression: {error}") from error


def matching(pattern: str, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return the parameters in whose name the regular expression is found.

    Names are the base's own whatever peft wrapped around it.

    Raises:
        ValueError: there is none; the message tells the nearest names.
    """
    names = {name: base_name(name) for name in parameters}
    found = {name: p for name, p in parameters.items() if re.search(pattern, names[name])}
    if not found:
        pieces = (name.split(".") for name in names.values())
        known = {piece for parts in pieces for i in range(len(parts)) for piece in (parts[i], ".".join(parts[: i + 1]))}
        near = difflib.get_close_matches(pattern, sorted(known), n=3, cutoff=0)
        raise ValueError(f"{pattern!r} is in the name of no parameter to train; the nearest are {', '.join(near)}")
    return found


def _parts(block: nn.Module) -> list[nn.Module]:
    """Return a block's parts that hold weight matrices, which norms do not."""
    return [part for part in block.children() if any(p.ndim >= 2 for p in part.parameters())]


def _arguments(part: nn.Module) -> set[str]:
    return set(inspect.signature(type(part).forward).parameters)  # its own one may stand in for that of its class


def _inside(model: Any, modules: Iterable[Any]) -> dict[str, nn.Parameter]:
    wanted = {id(p) for module in modules if module is not None for p in module.parameters()}
    return {name: p for name, p in model.named_parameters() if id(p) in wanted}

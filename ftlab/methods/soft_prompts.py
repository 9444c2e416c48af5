"""Soft prompts: peft's models with virtual tokens, put right where peft's are wrong. It knows no method's settings.

It imports torch; methods import it where they use it.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModelForCausalLM
from transformers import DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer

from ftlab.methods.anatomy import blocks
from ftlab.methods.peft_format import wrap

#: Tokens to sample from where no text is given: tokenizers number the common ones first.
COMMON = 5000


class PromptModel(PeftModelForCausalLM):
    """Virtual tokens as embeddings before the input's.

    peft drops position ids here, so in a left-padded batch the tokens of a short prompt would stand farther from the
    virtual tokens than in training, and its answer would depend on the other prompts.
    """

    def prepare_inputs_for_generation(  # type: ignore[override]  # mypy takes the inherited one for a tensor
        self, *args: Any, position_ids: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return peft's inputs for the next token, and the positions that padding does not shift."""
        inputs = super().prepare_inputs_for_generation(*args, **kwargs)
        if position_ids is None:
            return inputs
        virtual = self.active_peft_config.num_virtual_tokens
        embedded = inputs.get("inputs_embeds")
        length = inputs["input_ids"].shape[1] if embedded is None else embedded.shape[1] - virtual
        positions = position_ids[:, -length:] + virtual
        if embedded is not None:  # the virtual tokens themselves go in with the first ones
            first = torch.arange(virtual, device=positions.device).expand(len(embedded), -1)
            positions = torch.cat([first, positions.expand(len(embedded), -1)], dim=1)
        return inputs | {"position_ids": positions}


class PrefixModel(PeftModelForCausalLM):
    """Virtual tokens as keys and values of every layer, also where blocks are computed again in the backward pass."""

    def get_prompt(  # type: ignore[override]  # annotated as a tensor, which it is not for a prefix
        self, batch_size: int, task_ids: torch.Tensor | None = None, max_cache_len: int | None = None
    ) -> DynamicCache:
        """Return a cache that holds the prefix for each row."""
        # One row is computed and shared: an encoder's numbers would depend on the size of the batch in the last digits.
        row = super().get_prompt(1, task_ids, max_cache_len)
        prefix = [tuple(None if x is None else x.expand(batch_size, -1, -1, -1) for x in (k, v)) for k, v, *_ in row]
        return _ReadTwice(prefix) if self._computes_again() else DynamicCache(prefix)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # as above
        """Return peft's inputs for the next token."""
        if kwargs.get("use_cache") is False:  # Llama hands back the cache it got all the same, with tokens in it by now
            kwargs["past_key_values"] = None
        return super().prepare_inputs_for_generation(*args, **kwargs)

    def _computes_again(self) -> bool:
        flagged = (m for m in self.base_model.modules() if getattr(m, "gradient_checkpointing", False))
        return torch.is_grad_enabled() and any(module.training for module in flagged)


class _ReadTwice(DynamicCache):
    """A prefix that stores nothing, so that a block that is computed again sees what it saw the first time."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prefix with the new states behind it."""
        held: Any = self.layers[layer_idx]
        return torch.cat([held.keys, key_states], dim=-2), torch.cat([held.values, value_states], dim=-2)


def wrap_prompt(model: Any, config: Any) -> Any:
    """Return the model with virtual tokens before its input.

    Args:
        model: a causal language model of transformers.
        config: peft's, of prompt tuning or P-tuning.
    """
    wrapped = wrap(model, config)
    wrapped.__class__ = PromptModel
    return wrapped


def wrap_prefix(model: Any, config: Any) -> Any:
    """Return the model with a prefix in every layer, with gradient checkpointing as it was.

    Args:
        model: a causal language model of transformers.
        config: peft's, of prefix tuning.

    Raises:
        ValueError: the model's way of checkpointing would lose the prefix.
    """
    decoder, layers = model.get_decoder(), list(blocks(model).values())
    flagged = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
    if flagged and not all(isinstance(layer, GradientCheckpointingLayer) for layer in layers):
        raise ValueError("gradient checkpointing loses the prefix in this architecture; leave it off")
    for module in flagged:  # peft refuses it, since transformers takes the cache away from blocks that checkpoint
        module.gradient_checkpointing = False
    try:
        wrapped = wrap(model, config)
    finally:
        for module in flagged:
            module.gradient_checkpointing = True
    for layer in layers:
        layer._can_checkpoint_with_cache = True  # type: ignore[assignment]  # _ReadTwice may be read twice
    if flagged:
        decoder.gradient_checkpointing = False  # GPT-2's passes no cache to its blocks with it; theirs do the work
    wrapped.__class__ = PrefixModel
    return wrapped


def start_ids(model: Any, count: int, text: str | None) -> torch.Tensor:
    """Return real tokens for virtual ones to start from: the text's, repeated to fill, or common ones at random.

    Raises:
        ValueError: there is no tokenizer, or the text has more tokens.
    """
    device = model.get_input_embeddings().weight.device
    if text is None:
        return torch.randint(min(COMMON, model.get_input_embeddings().weight.shape[0]), (count,)).to(device)
    from transformers import AutoTokenizer

    try:
        revision = getattr(model.config, "_commit_hash", None)
        tokenizer = AutoTokenizer.from_pretrained(model.name_or_path, revision=revision, trust_remote_code=False)
    except OSError as error:
        raise ValueError(f"init_text needs the tokenizer of {model.name_or_path!r}, which does not load") from error
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not 0 < len(ids) <= count:
        raise ValueError(f"init_text has {len(ids)} tokens and num_virtual_tokens is {count}; it needs 1 to {count}")
    return torch.tensor((ids * count)[:count], device=device)


@torch.no_grad()
def keys_and_values(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return what the model keeps of some tokens in its cache, laid out as peft lays out a prefix, one row a token.

    Raises:
        ValueError: the layers keep keys of different shapes.
    """
    training = model.training
    cache: Any = DynamicCache()
    model.eval()(input_ids=ids[None], past_key_values=cache, use_cache=True)
    model.train(training)
    states = [state for layer in cache.layers for state in (layer.keys, layer.values)]
    if len({state.shape for state in states}) != 1:
        raise ValueError("its layers keep keys of different shapes, and a prefix has one")
    return torch.cat(states).permute(2, 0, 1, 3).flatten(1).float()

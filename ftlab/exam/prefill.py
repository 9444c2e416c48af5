"""Prefill: the first pass over the prompts, those of like length at a time. It knows nothing of answers."""

from __future__ import annotations

from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

from ftlab.exam.kv_cache import empty_cache, has_rows, stack, twin

#: Prompt tokens at a time: a processor is busy with fewer than a GPU, and little is padding then.
_TOKENS, _TOKENS_ON_CPU = 16384, 1024


def prefill_by_length(
    model: Any, input_ids: torch.Tensor, generation_config: Any, carried: dict[str, Any]
) -> CausalLMOutputWithPast | None:
    """Return the next tokens' logits and the cache, without computing what pads short prompts to the longest.

    Args:
        model: the one that `generate` runs.
        input_ids: left-padded prompts, the longest first.
        generation_config: as `generate` made it.
        carried: what `generate` carries from step to step, by name; left as it is.

    Returns:
        None where there is nothing to gain, or where more than keys and values is carried.

    Raises:
        ValueError: the model puts more into the cache than the prompts.
    """
    mask, cache = carried.get("attention_mask"), empty_cache(carried)
    if mask is None or cache is None or not has_rows(carried, *input_ids.shape):
        return None
    width = input_ids.shape[1]
    pads = (width - mask.sum(dim=1)).tolist()
    spans = _spans(pads, width, _TOKENS_ON_CPU if input_ids.device.type == "cpu" else _TOKENS)
    if len(spans) == 1:
        return None
    logits, parts = [], []
    for rows in spans:
        pad = min(pads[rows])
        part = {
            name: value[rows, pad:] if isinstance(value, torch.Tensor) else value
            for name, value in twin(carried).items()
        }
        if part["attention_mask"].all():
            part["attention_mask"] = None  # as `generate` does: faster
        outputs = model._prefill(input_ids[rows, pad:], generation_config, part)
        if outputs.past_key_values.get_seq_length() != width - pad:
            raise ValueError("virtual tokens")
        logits.append(outputs.logits[:, -1:])
        parts.append((pad, outputs.past_key_values))
    return CausalLMOutputWithPast(logits=torch.cat(logits), past_key_values=stack(parts))


def _spans(pads: list[int], width: int, most: int) -> list[slice]:
    """Return neighbouring rows that together have at most so many tokens, or are one; the last are two at least.

    What a model keeps of the last ones out of sight then fits no other number of rows unnoticed, as a single one would.
    """
    spans: list[slice] = []
    start = 0
    for end in range(1, len(pads) + 1):
        if end == len(pads) or (end + 1 - start) * (width - min(pads[start : end + 1])) > most:
            spans.append(slice(start, end))
            start = end
    if len(spans) > 1 and spans[-1].stop - spans[-1].start == 1:
        spans[-2:] = [slice(spans[-2].start, spans[-1].stop)]
    return spans

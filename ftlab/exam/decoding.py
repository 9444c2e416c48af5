"""Decoding: the inner loop of `generate`, which finished rows leave. It knows nothing of chats and exams."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from ftlab.exam.kv_cache import has_rows, keep_rows, make_room, twin
from ftlab.exam.prefill import prefill_by_length

#: Rows leave when at least this share of the batch has finished: to leave copies the cache of those that stay.
_SHARE = 1 / 8

#: What is raised where something keeps a row for each prompt out of sight and finds fewer of them.
_ROWS_MISSING = (IndexError, RuntimeError, ValueError)


class Decoder:
    """The loop that transformers' `generate` runs, with rows that leave; to be given to it as `custom_generate`.

    `generate` prepares what comes in and peft's wrappers stay around it, so it serves every model that `generate` does.
    Rows leave only where the others are computed the same without them: what is carried from step to step has a row
    for each answer, and two rows have been computed both ways. Otherwise all stay to the end, as with `generate`.
    Prompts go in by length, a few at a time; where that fails, all at once.
    """

    def __init__(self) -> None:
        self._by_length = True
        self._leave: bool | None = None  # None until it was tried

    def __call__(
        self,
        model: Any,
        input_ids: torch.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **carried: Any,
    ) -> torch.Tensor:
        """Return prompts with answers, padded behind their ends; the arguments are those of `generate`'s own loop."""
        told = (logits_processor, stopping_criteria, generation_config)
        if self._by_length:
            try:
                if outputs := prefill_by_length(model, input_ids, generation_config, carried):
                    return self._answer(model, input_ids, outputs, *told, dict(carried))
            except _ROWS_MISSING:
                self._by_length = False
        outputs = model._prefill(input_ids, generation_config, carried)
        return self._answer(model, input_ids, outputs, *told, dict(carried))

    def _answer(
        self,
        model: Any,
        input_ids: torch.Tensor,
        outputs: Any,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        carried: dict[str, Any],
    ) -> torch.Tensor:
        """Return prompts with answers, from the first pass over the prompts on."""
        pad = generation_config.pad_token_id
        sequences = input_ids.new_full((len(input_ids), stopping_criteria.max_length), pad)
        sequences[:, : input_ids.shape[1]] = input_ids
        rows = torch.arange(len(input_ids), device=input_ids.device)
        running = torch.ones_like(rows, dtype=torch.bool)
        carried = model._update_model_kwargs_for_generation(outputs, carried)
        make_room(carried)
        with model._optimize_model_for_decode():
            while True:
                scores = logits_processor(input_ids, outputs.logits[:, -1].float())
                del outputs  # the logits of the prompts may be large
                chosen = _draw(scores) if generation_config.do_sample else scores.argmax(-1)
                chosen = torch.where(running, chosen, pad)
                sequences[rows, input_ids.shape[1]] = chosen
                input_ids = torch.cat([input_ids, chosen[:, None]], dim=-1)
                running &= ~stopping_criteria(input_ids, None)
                left = int(running.sum())
                if not left:
                    return sequences[:, : input_ids.shape[1]]
                outputs = None
                if len(rows) - left >= _SHARE * len(rows):
                    if self._leave is None:
                        outputs = self._try(model, input_ids, running, carried)
                    elif self._leave:
                        carried = keep_rows(carried, running)
                        rows, input_ids, running = rows[running], input_ids[running], running[running]
                if outputs is None:
                    outputs = _step(model, input_ids, carried)
                carried = model._update_model_kwargs_for_generation(outputs, carried)

    def _try(self, model: Any, input_ids: torch.Tensor, running: torch.Tensor, carried: dict[str, Any]) -> Any:
        """Return the next step's outputs, and note whether two of its rows have the same without the others."""
        few = running.nonzero()[-2:, 0]
        alone = None
        if has_rows(carried, len(input_ids)):
            with suppress(*_ROWS_MISSING):
                alone = _step(model, input_ids[few], keep_rows(twin(carried), few)).logits[:, -1].float()
        outputs = _step(model, input_ids, carried)
        among = outputs.logits[few, -1].float()
        near = among.abs().max() * torch.finfo(outputs.logits.dtype).eps ** 0.5
        self._leave = alone is not None and bool((alone - among).abs().max() <= near)
        return outputs


def _draw(scores: torch.Tensor) -> torch.Tensor:
    return torch.multinomial(scores.softmax(-1), num_samples=1)[:, 0]


def _step(model: Any, input_ids: torch.Tensor, carried: dict[str, Any]) -> Any:
    inputs = model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **carried)
    return model(**inputs, return_dict=True)

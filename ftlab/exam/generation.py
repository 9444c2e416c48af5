"""Generation: prompts into answers, in left-padded batches sorted by length. It knows nothing of grading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tqdm import tqdm

from ftlab.data.chat import Chat
from ftlab.data.rows import Row
from ftlab.errors import FtlabError


def render(rows: Iterable[Row], chat: Chat) -> list[list[int]]:
    """Return the token ids of each row's prompt.

    Raises:
        FtlabError: the chat template refuses one; with its file and line.
    """
    prompts = []
    for row in rows:
        try:
            prompts.append(chat.prompt(row.prompt, row.tools))
        except FtlabError as error:
            raise FtlabError(f"{row.place}: {error}") from error
    return prompts


def generate(
    model: Any, chat: Chat, prompts: Sequence[list[int]], max_new_tokens: int, batch_size: int, title: str = "answers"
) -> list[str]:
    """Return one greedy answer for each prompt, in the prompts' order.

    Args:
        model: a causal language model of transformers (or peft's), on its device.
        chat: whose template the prompts were rendered with.
        prompts: token ids, each up to where the assistant's turn begins.
        max_new_tokens: longest answer in tokens.
        batch_size: prompts generated together; it changes the speed, not the answers.
        title: what the progress bar says.
    """
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    answers = [""] * len(prompts)
    bar = tqdm(total=len(prompts), desc=title, unit=" answers", delay=2, leave=False)
    with evaluation_mode(model), torch.inference_mode():
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            for i, ids in zip(
                indices, _answer(model, chat, [prompts[i] for i in indices], max_new_tokens), strict=True
            ):
                answers[i] = chat.decode(ids)
            bar.update(len(indices))
    bar.close()
    return answers


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Switch dropout off for a while, and leave every module as it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def end_ids(model: Any, chat: Chat) -> list[int]:
    """Return the ids that end an answer: the chat's, and those that the model's own generation config names."""
    own = model.generation_config.eos_token_id  # a number, a list, or nothing
    return sorted({*chat.end_ids, *(own if isinstance(own, list) else [own] if own is not None else [])})


def _answer(model: Any, chat: Chat, prompts: list[list[int]], max_new_tokens: int) -> list[list[int]]:
    longest = max(map(len, prompts))
    input_ids = torch.full((len(prompts), longest), chat.pad_id)
    attention_mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(prompts):
        input_ids[row, longest - len(ids) :] = torch.tensor(ids)
        attention_mask[row, longest - len(ids) :] = 1
    output = model.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=attention_mask.to(model.device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=end_ids(model, chat),
        pad_token_id=chat.pad_id,
    )
    return output[:, longest:].tolist()

"""Generation: prompts into answers, in left-padded batches sorted by length. It knows nothing of grading."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from tqdm import tqdm
from transformers import StoppingCriteria, StoppingCriteriaList

from ftlab.data.chat import Chat
from ftlab.data.rows import Row
from ftlab.errors import FtlabError
from ftlab.exam.decoding import Decoder

Engine = Literal["transformers", "vllm"]


@dataclass(frozen=True)
class Generation:
    """How answers are made."""

    max_new_tokens: int = 128
    """Longest answer in tokens; a model that does not stop is cut off here."""
    batch_size: int = 64
    """Most answers generated together. Changes the speed and the memory, not greedy answers."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; above it, tokens are drawn."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that have this share together (Holtzman et al., 2020, arXiv 1904.09751)."""
    samples: int = 1
    """Answers to each prompt."""
    seed: int = 0
    """Seed of the drawing: equal answers at an equal batch size."""
    stop: tuple[str, ...] = ()
    """Regular expressions: an answer ends once it holds a match of each. None leaves the end to the model."""
    engine: Engine = "transformers"
    """What generates: transformers, or on a GPU vLLM, which has batches and rounding of its own and ignores `stop`."""


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
    model: Any, chat: Chat, prompts: Sequence[list[int]], settings: Generation, title: str = "answers"
) -> list[list[str]]:
    """Return the answers to each prompt, in the prompts' order.

    Args:
        model: a causal language model of transformers (or peft's), on its device.
        chat: whose template the prompts were rendered with.
        prompts: token ids, each up to where the assistant's turn begins.
        settings: length, batches, sampling.
        title: what the progress bar says.
    """
    if settings.engine == "vllm":
        from ftlab.exam.with_vllm import generate_with_vllm

        return generate_with_vllm(model, chat, prompts, settings, end_ids(model, chat))
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    answers: list[list[str]] = [[] for _ in prompts]
    bar = tqdm(total=len(prompts), desc=title, unit=" answers", delay=2, leave=False)
    size = max(1, settings.batch_size // settings.samples)
    even = math.ceil(len(order) / max(1, math.ceil(len(order) / size)))  # batches of like size: less padding
    more = {**options(model, chat, settings), "custom_generate": Decoder()}
    with evaluation_mode(model), torch.inference_mode(), _seeded(model, settings):
        for start in range(0, len(order), max(1, even)):
            indices = order[start : start + even]
            drawn = _answer(model, chat, [prompts[i] for i in indices], settings.stop, more)
            for row, i in enumerate(indices):
                own = drawn[row * settings.samples : (row + 1) * settings.samples]
                answers[i] = [chat.decode(ids) for ids in own]
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


@contextmanager
def _seeded(model: Any, settings: Generation) -> Iterator[None]:
    """Draw by the settings' seed, and leave the random state of training as it was."""
    if not settings.temperature:
        yield
        return
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(settings.seed)
        yield


def _answer(
    model: Any, chat: Chat, prompts: list[list[int]], stop: Sequence[str], more: dict[str, Any]
) -> list[list[int]]:
    """Return the ids of the samples of each prompt, one prompt's after the other's."""
    longest = max(map(len, prompts))
    input_ids = torch.full((len(prompts), longest), chat.pad_id)
    attention_mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(prompts):
        input_ids[row, longest - len(ids) :] = torch.tensor(ids)
        attention_mask[row, longest - len(ids) :] = 1
    output = model.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=attention_mask.to(model.device),
        stopping_criteria=StoppingCriteriaList([_Closed(chat, longest, stop)] if stop else []),
        **more,
    )
    return output[:, longest:].tolist()


class _Closed(StoppingCriteria):
    """Ends an answer whose text holds a match of every pattern."""

    def __init__(self, chat: Chat, prompt: int, patterns: Sequence[str]) -> None:
        self.chat = chat
        self.prompt = prompt
        self.patterns = [re.compile(pattern) for pattern in patterns]

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return of each row whether it has ended."""
        texts = map(self.chat.decode, input_ids[:, self.prompt :].tolist())
        return torch.tensor([all(p.search(text) for p in self.patterns) for text in texts], device=input_ids.device)


def options(model: Any, chat: Chat, settings: Generation) -> dict[str, Any]:
    """Return all options of transformers' `generate`, those that are not ours as None.

    Whatever is not given, `generate` takes from the model's generation config, also beside a config that is passed: a
    base that comes with a repetition penalty would not give its likeliest tokens.

    Args:
        model: a causal language model of transformers (or peft's).
        chat: its chat rendering.
        settings: length and sampling.
    """
    from transformers import GenerationConfig

    drawing: dict[str, Any] = {"do_sample": False}
    if settings.temperature:
        drawing = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p}
    return {
        **dict.fromkeys(GenerationConfig().to_dict()),
        "max_new_tokens": settings.max_new_tokens,
        "num_return_sequences": settings.samples,
        "num_beams": 1,
        "use_cache": True,
        "eos_token_id": end_ids(model, chat),
        "pad_token_id": chat.pad_id,
        **drawing,
    }

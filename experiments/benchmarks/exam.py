"""Exam speed: CPU seconds of answers one by one, in batches of plain `generate`, and by ftlab, whose answers are equal.

One thread, the ways in turn (A B C A B C), medians. `python experiments/benchmarks/exam.py` writes exam.json beside it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from tqdm import tqdm

from ftlab import Base, Exam, LoRA
from ftlab.data.chat import Chat
from ftlab.exam.generation import Generation, generate, options

HERE = Path(__file__).parent

Answers = list[list[int]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(HERE.parent / "lesson/exam.jsonl"), help="file of chats")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "exam.json")
    parser.add_argument("--models", nargs="+", choices=["random", "tiny"], default=["random", "tiny"])
    told = parser.parse_args()
    torch.set_num_threads(1)
    chat = Base("ftlab/tiny").load_chat()
    prompts = [chat.prompt(row.prompt, row.tools) for row in Exam(told.data, limit=told.prompts).rows()]
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, 1 thread",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "data": Path(told.data).name,
        "prompts": len(prompts),
        "prompt_tokens": sum(map(len, prompts)),
        "new_tokens": told.new_tokens,
        "models": {},
    }
    for name in told.models:
        found["models"][name] = measured = measure(MODELS[name](), chat, prompts, told.new_tokens, told.repeats)
        for way, figures in measured["ways"].items():
            print(f"{name:7} {way:24} {figures['cpu_seconds']:8.2f} s  {figures['times']:5.1f}x", flush=True)
        print(f"{name:7} {measured['answer_tokens']} tokens, {measured['equal']} of {len(prompts)} answers equal")
    told.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def random_model() -> Any:
    """Return a model that never stops."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=8192,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def tiny_model() -> Any:
    """Return the carried base, which stops where its answer ends, with a LoRA."""
    return LoRA().apply(Base("ftlab/tiny").load_model()).eval()


MODELS: dict[str, Callable[[], Any]] = {"random": random_model, "tiny": tiny_model}


def measure(model: Any, chat: Chat, prompts: Answers, new_tokens: int, repeats: int) -> dict[str, Any]:
    """Return CPU seconds of each way, how many times as fast as one by one it is, and how many answers are equal."""
    ends = options(model, chat, Generation())["eos_token_id"]
    ways: dict[str, Callable[[], Answers]] = {
        "one by one": lambda: plain(model, chat, prompts, new_tokens, 1),
        "generate, sorted by 32": lambda: plain(model, chat, prompts, new_tokens, 32),
        "ftlab": lambda: ours(model, chat, prompts, new_tokens),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, Answers] = {}
    for _ in range(repeats):
        for way, answer in ways.items():
            start = time.process_time()
            answers[way] = [until(ids, ends) for ids in answer()]
            seconds[way].append(round(time.process_time() - start, 2))
    alone = answers["one by one"]
    return {
        "answer_tokens": sum(map(len, alone)),
        "equal": sum(a == b for a, b in zip(alone, answers["ftlab"], strict=True)),
        "ways": {
            way: {
                "cpu_seconds": median(own),
                "all": own,
                "times": round(median(a / b for a, b in zip(seconds["one by one"], own, strict=True)), 2),
            }
            for way, own in seconds.items()
        },
    }


def plain(model: Any, chat: Chat, prompts: Answers, new_tokens: int, size: int) -> Answers:
    """Return answers by `generate` alone, in left-padded batches sorted by length."""
    told = options(model, chat, Generation(new_tokens))
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    answers: Answers = [[] for _ in prompts]
    for start in tqdm(range(0, len(order), size), delay=2, leave=False, file=sys.stderr):
        batch = order[start : start + size]
        longest = len(prompts[batch[0]])
        rows = [[chat.pad_id] * (longest - len(prompts[i])) + prompts[i] for i in batch]
        mask = [[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in batch]
        with torch.inference_mode():
            output = model.generate(input_ids=torch.tensor(rows), attention_mask=torch.tensor(mask), **told)
        for i, ids in zip(batch, output[:, longest:].tolist(), strict=True):
            answers[i] = ids
    return answers


def ours(model: Any, chat: Chat, prompts: Answers, new_tokens: int) -> Answers:
    """Return the ids of ftlab's answers; as text, those that the tokenizer does not know would all be equal."""
    answers = generate(model, Ids(chat.tokenizer), prompts, Generation(new_tokens))
    return [[int(i) for i in text.split()] for [text] in answers]


class Ids(Chat):
    """Gives back ids where an answer's text is asked for."""

    def decode(self, ids: Any) -> str:
        """Return ids in decimal."""
        return " ".join(map(str, ids))


def until(ids: list[int], ends: list[int]) -> list[int]:
    """Return an answer up to its end, without the padding."""
    return ids[: next((at + 1 for at, i in enumerate(ids) if i in ends), len(ids))]


if __name__ == "__main__":
    main()

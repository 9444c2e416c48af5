"""Exam speed: CPU seconds of answers one by one, in batches of plain `generate`, and by ftlab, whose answers are equal.

    python experiments/benchmarks/exam.py                 # some minutes; the random model's answers belong at 6 times

One thread, the ways in turn, A B C A B C. One model has random weights and never stops, so that all ways compute the
same tokens; the other is the carried base with a LoRA, whose answers end early.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from tqdm import tqdm

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("", ".."))
from measuring import machine
from recording import put_table

from ftlab import Base, Exam, LoRA
from ftlab.data.chat import Chat
from ftlab.exam.generation import Generation, generate, options

HERE = Path(__file__).parent

#: What ftlab's answers of the random model belong at, as a multiple of the speed of one by one.
LEAST = 6

Answers = list[list[int]]


def main() -> None:
    """Measure, write exam.json and the table of the README; end with 1 below the least multiple, or unequal answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(HERE.parent / "lesson/exam.jsonl"), help="file of chats")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=["random", "tiny"], default=["random", "tiny"])
    parser.add_argument("--results", type=Path, default=HERE, help="folder for exam.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chat = Base("ftlab/tiny").load_chat()
    prompts = [chat.prompt(row.prompt, row.tools) for row in Exam(args.data, limit=args.prompts).rows()]
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "prompts": len(prompts),
        "prompt_tokens": sum(map(len, prompts)),
        "new_tokens": args.new_tokens,
        "rounds": args.rounds,
        "models": {name: measure(MODELS[name](), chat, prompts, args.new_tokens, args.rounds) for name in args.models},
    }
    (args.results / "exam.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    if args.results == HERE:
        put_table(HERE / "README.md", "exam", table(found))
    for name, of in found["models"].items():
        if of["equal"] < len(prompts):
            raise SystemExit(f"{name}: {len(prompts) - of['equal']} answers are others than one by one")
        if name == "random" and of["ways"]["ftlab"]["times"] < LEAST:
            raise SystemExit(f"{of['ways']['ftlab']['times']} times the speed of one by one is less than {LEAST}")


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["| model | answers | CPU time | times as fast | answer tokens |", "|---|---|---|---|---|"]
    for name, of in found["models"].items():
        for way, figures in of["ways"].items():
            cells = [
                name,
                way,
                f"{figures['cpu_seconds']:.1f} s",
                f"{figures['times']:.1f}",
                f"{of['answer_tokens']:,}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    equal = " and ".join(f"{of['equal']} of {found['prompts']} ({name})" for name, of in found["models"].items())
    versions = ", ".join(f"{package} {number}" for package, number in found["versions"].items())
    return (
        "\n".join(lines) + f"\n\nftlab's answers equal to those one by one: {equal}. {found['prompts']} prompts of "
        f"{found['prompt_tokens']:,} tokens, up to {found['new_tokens']} new ones each, rounds: {found['rounds']}, "
        f"medians, {found['date']}, {found['machine']}, one thread: {versions}.\n"
    )


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


def measure(model: Any, chat: Chat, prompts: Answers, new_tokens: int, rounds: int) -> dict[str, Any]:
    """Return CPU seconds of each way, how many times as fast as one by one it is, and how many answers are equal."""
    ends = options(model, chat, Generation())["eos_token_id"]
    ways: dict[str, Callable[[], Answers]] = {
        "one by one": lambda: plain(model, chat, prompts, new_tokens, 1),
        "generate, sorted by 32": lambda: plain(model, chat, prompts, new_tokens, 32),
        "ftlab": lambda: ours(model, chat, prompts, new_tokens),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, Answers] = {}
    for _ in range(rounds):
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

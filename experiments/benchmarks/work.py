"""Work: the chats and the model with random weights that every contender trains. It knows no contender."""

from __future__ import annotations

import functools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ftlab.carried import carried

#: Decoders of Qwen2. In small the layers cost most, large has the vocabulary of Qwen2.5 over the same layers; tiny is
#: for a look whether everything runs.
LAYERS = {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
SHAPES: dict[str, dict[str, Any]] = {
    "small": LAYERS | {"vocab_size": 8192, "tie_word_embeddings": False},
    "deep": LAYERS | {"vocab_size": 8192, "tie_word_embeddings": False, "num_hidden_layers": 12},
    "large": LAYERS | {"vocab_size": 151936, "tie_word_embeddings": True},
    "tiny": LAYERS | {"vocab_size": 1024, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
}

#: Tokens of a chat of the lesson's real data (short word problems with worked answers) at these percentiles.
PERCENTILES = (0, 5, 10, 25, 50, 75, 90, 95, 99, 100)
LENGTHS = (119, 169, 193, 238, 295, 372, 472, 550, 766, 1067)
#: Share of them that the assistant says, and what the template adds to the contents of the three messages.
ANSWERED, TEMPLATE = 0.59, 16

MAX_LENGTH = 512


@functools.cache
def tokenizer() -> Any:
    """Return the tokenizer of `ftlab/tiny`, which has a chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(carried("ftlab/tiny")))


def synthetic_chats(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return chats whose lengths in tokens are spread as those of real ones; some are longer than `MAX_LENGTH`.

    Args:
        number: how many.
        seed: of lengths and words.
    """
    rng = np.random.default_rng(seed)
    lengths = np.interp(rng.uniform(0, 100, number), PERCENTILES, LENGTHS)
    writer = Writer(random.Random(seed))
    return [
        chat(writer.text(round((1 - ANSWERED) * length) - TEMPLATE), writer.text(round(ANSWERED * length)))
        for length in lengths
    ]


def chat(question: str, answer: str) -> dict[str, Any]:
    """Return a row of three messages, of which the first is empty, as in the lesson's data."""
    roles = {"system": "", "user": question, "assistant": answer}
    return {"messages": [{"role": role, "content": content} for role, content in roles.items()]}


class Writer:
    """Writes texts of a given number of tokens from the words that `ftlab/tiny` knows.

    Args:
        rng: draws the words.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        text = (carried("ftlab/tiny") / "retention.jsonl").read_text(encoding="utf-8")
        words = [f" {word}" for word in sorted(set(text.split())) if word.isalpha()]
        sizes = [len(ids) for ids in tokenizer()(words)["input_ids"]]
        self.sizes = dict(zip(words, sizes, strict=True))
        self.words = words
        self.short = [word for word, size in self.sizes.items() if size == 1]

    def text(self, tokens: int) -> str:
        """Return a text of exactly so many tokens."""
        drawn: list[str] = []
        while tokens > 0:
            word = self.rng.choice(self.words)
            if self.sizes[word] > tokens:
                word = self.rng.choice(self.short)
            drawn.append(word)
            tokens -= self.sizes[word]
        return "".join(drawn)


def fitted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the chats with the ends of answers cut off where a chat is longer than `MAX_LENGTH`.

    Contenders cut or drop such chats in ways of their own; so all of them train the same tokens.
    """
    return [cut_to_fit(row["messages"]) for row in rows]


def cut_to_fit(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Return a chat of `MAX_LENGTH` tokens at most.

    Raises:
        ValueError: its last message cannot make up for it.
    """
    *before, last = messages
    while (over := count(messages) - MAX_LENGTH) > 0:
        begins = tokenizer()(last["content"], return_offsets_mapping=True)["offset_mapping"]
        if over >= len(begins):
            raise ValueError(f"its prompt alone has {MAX_LENGTH} tokens or more")
        last = last | {"content": last["content"][: begins[-over][0]]}
        messages = [*before, last]
    return {"messages": messages}


def count(messages: list[dict[str, str]]) -> int:
    """Return how many tokens a chat has."""
    return len(tokenizer().apply_chat_template(messages, tokenize=True)["input_ids"])


def write_work(folder: Path, shape: str, rows: int, data: Path | None = None, seed: int = 0) -> Path:
    """Write `train.jsonl` and `model/`, the random weights with the tokenizer beside them, where they are not yet.

    Args:
        folder: of all work; each shape, number and seed has one of its own below it.
        shape: name in `SHAPES`.
        rows: how many chats.
        data: file of chats; None makes synthetic ones.
        seed: of chats and weights.

    Returns:
        The folder of this work.
    """
    work = folder / f"{shape}-{rows}-{data.stem if data else 'synthetic'}-{seed}"
    if not (work / "model").is_dir():
        work.mkdir(parents=True, exist_ok=True)
        chats = read_chats(data, rows, seed) if data else synthetic_chats(rows, seed)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in fitted(chats)]
        (work / "train.jsonl").write_text("".join(lines), encoding="utf-8")
        fresh = work / "model.new"  # a kill while writing leaves no half model
        shutil.rmtree(fresh, ignore_errors=True)
        write_model(fresh, SHAPES[shape], seed)
        fresh.rename(work / "model")
    return work


def read_chats(file: Path, rows: int, seed: int) -> list[dict[str, Any]]:
    """Return so many chats of a file, drawn at random, again and again if it has fewer."""
    chats = [{"messages": json.loads(line)["messages"]} for line in file.read_text(encoding="utf-8").splitlines()]
    rng = random.Random(seed)
    drawn: list[dict[str, Any]] = []
    while len(drawn) < rows:
        drawn += rng.sample(chats, min(rows - len(drawn), len(chats)))
    return drawn


def write_model(folder: Path, shape: dict[str, Any], seed: int = 0, dtype: str = "float32") -> None:
    """Write a model of a shape with random weights, and the tokenizer of `ftlab/tiny` beside it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model("qwen2", **shape)
    AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)

"""Chats: the work's chats as padded tensors, for contenders that bring no data handling. It knows no trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from meter import ALPHA, IGNORE, RANK

Example = dict[str, list[int]]


def load_tokenizer(work: Path) -> Any:
    """Return the tokenizer of the work's model."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(work / "model")


def load_model(work: Path) -> Any:
    """Return the work's model with LoRA, by peft."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32)
    return get_peft_model(model, LoraConfig(**lora_settings()))


def lora_settings() -> dict[str, Any]:
    """Return what peft is told."""
    return {
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }


def encode(work: Path) -> list[Example]:
    """Return ids and labels of each chat: the assistant's tokens are learnt."""
    tokenizer = load_tokenizer(work)
    examples = []
    for line in (work / "train.jsonl").read_text(encoding="utf-8").splitlines():
        found = tokenizer.apply_chat_template(
            json.loads(line)["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids = found["input_ids"]
        labels = [i if learnt else IGNORE for i, learnt in zip(ids, found["assistant_masks"], strict=True)]
        examples.append({"input_ids": ids, "labels": labels})
    return examples


def collate(examples: list[Example]) -> dict[str, torch.Tensor]:
    """Return a batch, padded on the right to its longest chat."""
    longest = max(len(example["input_ids"]) for example in examples)

    def padded(values: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in values])

    ids = [example["input_ids"] for example in examples]
    return {
        "input_ids": padded(ids, 0),
        "attention_mask": padded([[1] * len(row) for row in ids], 0),
        "labels": padded([example["labels"] for example in examples], IGNORE),
    }

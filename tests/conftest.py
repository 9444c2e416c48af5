"""What tests share: the base model that the package carries, small random models, files of chats, no network."""

from __future__ import annotations

import json
import os
from pathlib import Path

# No test may reach a hub or a W&B account, nor a child process of one; both are read when the libraries are imported.
os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}

import pytest
import torch

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def chat():
    """The chat rendering of ftlab/tiny."""
    from ftlab import Base

    return Base("ftlab/tiny").load_chat()


@pytest.fixture
def write_chats(tmp_path):
    """Write chats given as (user, assistant) pairs to a JSONL file and return its path."""

    def write(name: str, *turns: tuple[str, str]) -> str:
        rows = [
            {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]}
            for user, answer in turns
        ]
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(file)

    return write


@pytest.fixture
def small_model(chat):
    """Return a function that makes a random two-layer model of an architecture, for the tiny tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    def make(architecture: str = "qwen2"):
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            architecture,
            vocab_size=len(chat.tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
        return AutoModelForCausalLM.from_config(config)

    return make

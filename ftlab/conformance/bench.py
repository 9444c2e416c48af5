"""Bench: small random models and chats that methods are tried on. It knows no check."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ftlab.config import describe
from ftlab.data.chat import Chat
from ftlab.data.loader import collate
from ftlab.data.module import ChatData
from ftlab.data.rows import read_rows
from ftlab.methods.base import Method
from ftlab.training.base import Base
from ftlab.training.optimizer import Optimizer
from ftlab.training.tuner import Batch, FineTuner

#: Random two-layer models; the weights are ten times as large as usual, so that two layers do something with them.
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}

#: Learning rates to try where a method has to learn something, since each method wants its own.
RATES = (1e-2, 1e-1, 1e-3)

#: Rows of the training file, of which the first few are a batch.
ROWS, BATCH = 24, 8


@dataclass
class Bench:
    """One random base on disk, with chats, in a folder of its own.

    Args:
        architecture: a model type of transformers.
        folder: where the files go.
        method: the method to try; each call that needs a model applies it afresh.
    """

    architecture: str
    folder: Path
    method: Method

    @cached_property
    def base(self) -> Base:
        """The base, written once."""
        return self.make_base("base", seed=0)

    def make_base(self, name: str, seed: int) -> Base:
        """Write a random base of this shape; other seeds give other weights of equal shape."""
        from transformers import AutoConfig, AutoModelForCausalLM

        path = self.folder / name
        tokenizer = Base().load_chat().tokenizer
        torch.manual_seed(seed)
        config = AutoConfig.for_model(self.architecture, vocab_size=len(tokenizer), **SHAPE)
        AutoModelForCausalLM.from_config(config).save_pretrained(path)
        tokenizer.save_pretrained(path)
        return Base(str(path))

    @cached_property
    def chats(self) -> Path:
        """A file of short chats, each with an answer of its own."""
        file = self.folder / "chats.jsonl"
        lines = []
        for i in range(ROWS):
            question, answer = f"Say {'abcdefgh'[i % 8]} {i}" + "!" * (i % 5), f"{(i * 37) % 100}"
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            lines.append(json.dumps({"id": str(i), "messages": turns}) + "\n")
        file.write_text("".join(lines), encoding="utf-8")
        return file

    @cached_property
    def chat(self) -> Chat:
        """The chat rendering."""
        return self.base.load_chat()

    @cached_property
    def batch(self) -> Batch:
        """Eight chats of different lengths, padded."""
        data = ChatData(str(self.chats))
        examples = data.encode(read_rows(str(self.chats))[:BATCH], self.chat)
        return collate(examples, self.chat.pad_id, step_tokens=1)

    def tuner(self, method: Method | None = None, rate: float = RATES[0], **loading: Any) -> FineTuner:
        """Return a tuner with the method freshly applied; equal calls give equal weights.

        Args:
            method: another method than the one on trial.
            rate: learning rate.
            loading: settings of the base that differ, and what the base is loaded with besides the method's own.
        """
        known = describe(self.base, known=Base)
        base = Base(**known | {key: loading.pop(key) for key in known.keys() & loading})
        optimizer = Optimizer(lr=rate, schedule="constant", warmup=0)
        tuner = FineTuner(base, method or self.method, optimizer, seed=0)
        tuner.configure_model(**loading)
        tuner.method.initialize(tuner.model, [self.batch])
        return tuner

    @cached_property
    def trained(self) -> FineTuner:
        """A tuner after three steps; whoever asks leaves its weights as they are."""
        tuner = self.tuner()
        self.train(tuner, 3)
        return tuner

    def train(self, tuner: FineTuner, steps: int, enough: float = 0.0, bfloat16: bool = False) -> list[float]:
        """Train on the batch; return the loss per supervised token before each step.

        Args:
            tuner: its weights change.
            steps: at most so many.
            enough: share of the first loss at which to stop.
            bfloat16: under autocast, as Lightning's `bf16-mixed` does it.
        """
        optimizer, _ = tuner.optimizer.build(tuner.method.param_groups(tuner.model), steps, set())
        losses: list[float] = []
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):  # left at each step: it caches cast weights
                loss, tokens = tuner.loss_sum(self.batch)
            losses.append(float(loss) / tokens)
            if losses[-1] <= enough * losses[0]:
                break
            optimizer.zero_grad()
            (loss / tokens).backward()
            optimizer.step()
        return losses

    @torch.no_grad()
    def logits(self, model: Any) -> torch.Tensor:
        """Return the logits of the batch's tokens, as evaluation sees them; shape (batch, length, vocabulary)."""
        model.eval()
        ids = self.batch["input_ids"]
        return model(input_ids=ids, use_cache=False).logits[:, -ids.shape[1] :].float()


def largest_difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest absolute difference of two tensors of equal shape; not a number counts as infinite."""
    return float((first - second).abs().nan_to_num(nan=float("inf")).max())


def digests(model: Any) -> dict[str, str]:
    """Return a hash of every parameter's and buffer's bytes, by name."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        name: hashlib.sha256(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()).hexdigest()
        for name, tensor in tensors.items()
        if tensor.numel()
    }

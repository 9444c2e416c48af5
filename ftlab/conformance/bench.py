"""Bench: small random models and chats that methods are tried on. It knows no check."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ftlab.config import describe
from ftlab.data.chat import Chat
from ftlab.data.examples import Encoded
from ftlab.data.loader import IGNORE, collate
from ftlab.data.sources import read_rows
from ftlab.exam.generation import evaluation_mode
from ftlab.methods.base import Method
from ftlab.methods.qlora import keep_activations
from ftlab.training.base import Base
from ftlab.training.optimizer import Optimizer
from ftlab.training.speed import Speed
from ftlab.training.tuner import Batch, FineTuner

#: Random two-layer models; the weights are ten times as large as usual, so that two layers do something with them.
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}

#: Architectures whose head shares the embeddings' weights here; both kinds of base are common.
TIED = ("qwen2",)

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
        return self.make_base("base")

    def make_base(self, name: str, seed: int = 0, change: Callable[[Any], object] = lambda tokenizer: None) -> Base:
        """Write a random base of this shape.

        Args:
            name: its folder.
            seed: other seeds give other weights of equal shape.
            change: changes the tokenizer that is written with it, and nothing else.
        """
        from transformers import AutoConfig, AutoModelForCausalLM

        path = self.folder / name
        tokenizer = Base().load_chat().tokenizer
        torch.manual_seed(seed)
        shape = {**SHAPE, "vocab_size": len(tokenizer), "tie_word_embeddings": self.architecture in TIED}
        config = AutoConfig.for_model(self.architecture, **shape)
        AutoModelForCausalLM.from_config(config).save_pretrained(path)
        change(tokenizer)
        tokenizer.save_pretrained(path)
        return Base(str(path))

    @cached_property
    def chats(self) -> Path:
        """A file of short chats, each with an answer of its own, which is one letter.

        Who does not see the question cannot know the letter: the end of the answer is all there is to learn beside.
        """
        file = self.folder / "chats.jsonl"
        lines = []
        for i in range(ROWS):
            question, answer = f"Say {'abcdefgh'[i % 8]} {i}" + "!" * (i % 5), string.ascii_uppercase[i]
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            lines.append(json.dumps({"id": str(i), "messages": turns}) + "\n")
        file.write_text("".join(lines), encoding="utf-8")
        return file

    @cached_property
    def chat(self) -> Chat:
        """The chat rendering."""
        return self.base.load_chat()

    @cached_property
    def examples(self) -> list[Encoded]:
        """Eight chats of different lengths."""
        rows = read_rows(str(self.chats))[:BATCH]
        return [example for [example] in self.chat.encode([row.messages for row in rows])]

    @cached_property
    def batch(self) -> Batch:
        """The eight chats, padded."""
        return collate([[example] for example in self.examples], self.chat.pad_id, step_tokens=1)

    def tuner(
        self,
        method: Method | None = None,
        rate: float = RATES[0],
        seed: int = 0,
        speed: Speed | None = Speed(),  # noqa: B008  # nothing writes to it
        **loading: Any,
    ) -> FineTuner:
        """Return a tuner with the method freshly applied; equal calls give equal weights.

        Args:
            method: another method than the one on trial.
            rate: learning rate.
            seed: of the new weights.
            speed: shortcuts of training; None takes none.
            loading: settings of the base that differ, and what the base is loaded with besides the method's own.
        """
        known = describe(self.base, known=Base)
        base = Base(**known | {key: loading.pop(key) for key in known.keys() & loading})
        optimizer = Optimizer(lr=rate, schedule="constant", warmup=0)
        tuner = FineTuner(base, method or self.method, optimizer, seed=seed, speed=speed)
        tuner.configure_model(**loading)
        tuner.method.initialize(tuner.model, [self.batch])
        return tuner

    @cached_property
    def trained(self) -> FineTuner:
        """A tuner after three steps; whoever asks leaves its weights as they are."""
        tuner = self.tuner()
        self.train(tuner, 3)
        return tuner

    def train(
        self,
        tuner: FineTuner,
        steps: int,
        enough: Callable[[float], bool] = lambda share: False,
        bfloat16: bool = False,
    ) -> list[float]:
        """Train on the batch; return the loss per supervised token before each step.

        Args:
            tuner: its weights change.
            steps: at most so many.
            enough: gets the loss as a share of the first one and says whether to stop.
            bfloat16: under autocast, as Lightning's `bf16-mixed` does it.
        """
        optimizer, _ = tuner.optimizer.build(tuner.method.param_groups(tuner.model), steps, set())
        losses: list[float] = []
        for _ in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):  # left at each step: it caches cast weights
                found = tuner.way.losses(self.batch)
            mean = found.total / found.weights.sum()
            losses.append(float(mean))
            if enough(losses[-1] / losses[0]):
                break
            optimizer.zero_grad()
            mean.backward()
            optimizer.step()
        return losses

    @torch.no_grad()
    def logits(self, model: Any) -> torch.Tensor:
        """Return the logits of the batch's tokens, as evaluation sees them; shape (batch, length, vocabulary)."""
        ids = self.batch["input_ids"]
        with evaluation_mode(model):
            return model(input_ids=ids, use_cache=False).logits[:, -ids.shape[1] :].float()

    def known(self, model: Any) -> int:
        """Return how many greedy answers of the batch are the references: each token in turn is the likeliest."""
        labels = self.batch["labels"][:, 1:]
        right = self.logits(model)[:, :-1].argmax(dim=-1) == labels
        return int((right | (labels == IGNORE)).all(dim=1).sum())

    def load_base(self) -> Any:
        """Load the base as the method loads it; in 8 bits it rounds activations only where the method does."""
        model = self.base.load_model(**self.method.load_kwargs())
        if self.method == self.method.exact():
            keep_activations(model)
        return model

    def distance_from_base(self, tuner: FineTuner) -> float:
        """Return the largest difference of a logit from the base's, as a share of the base's largest logit."""
        base = self.logits(self.load_base())
        return largest_difference(self.logits(tuner.model), base) / float(base.abs().max())


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

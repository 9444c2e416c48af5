"""Trunk: the frozen blocks below the first trained one, and passing them by. It knows no files and no trainer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ftlab.data.examples import Encoded
from ftlab.data.loader import collate
from ftlab.methods.anatomy import below_blocks, blocks, plain
from ftlab.methods.base import trainable
from ftlab.training.identity import Tensor as Stored
from ftlab.training.identity import fingerprint
from ftlab.training.unpadded import MULTIPLE, PREFIX, one_row

#: Tokens of the example that a trunk is tried on: odd, so that its copies in a row begin at all kinds of places.
LENGTH = 61


class Trunk:
    """The blocks of a model that nothing trained lies in or below.

    Args:
        model: the base with the method applied.
        layers: all its blocks, bottom first.
        height: how many of them are the trunk.
    """

    def __init__(self, model: Any, layers: list[nn.Module], height: int) -> None:
        self.model = model
        self.layers = layers
        self.height = height
        self.top = layers[height - 1]
        frozen = [*below_blocks(model).values(), *(p for layer in layers[:height] for p in layer.parameters())]
        self._frozen = list({id(p): p for p in frozen}.values())
        self._versions = self._state()
        self._reference: Tensor | None = None

    @classmethod
    def of(cls, model: Any) -> Trunk | None:
        """Return the trunk of a model, None where there is none.

        Args:
            model: the base with the method applied.
        """
        layers = list(blocks(model).values())
        trains = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
        height = trains.index(True) if any(trains) else len(layers)
        below = any(p.requires_grad for p in below_blocks(model).values())
        return cls(model, layers, height) if height and not below else None

    def fault(self) -> str | None:
        """Return why what leaves this trunk does not depend on an example's tokens alone, if so."""
        inside = [module for layer in self.layers[: self.height] for module in layer.modules()]
        if not str(self.model.config._attn_implementation).startswith(PREFIX):
            return f"attention of the kind {self.model.config._attn_implementation} looks at all examples of a row"
        if any(isinstance(m, nn.ModuleList) or any(p.ndim > 2 for p in m.parameters(recurse=False)) for m in inside):
            return "experts compute an example together with whatever else is sent to them"
        if any(re.search("dynamic|longrope", str(getattr(m, "rope_type", ""))) for m in self.model.modules()):
            return "its positions are stretched by the longest example of a row"
        if any(layer._compiled_call_impl is not None for layer in self.layers):
            return "compiled blocks round otherwise in training than in validation"
        return self._misbehaviour()

    def changed(self) -> bool:
        """Return whether a weight of the trunk was changed, or is to be trained, since this was made."""
        return self._versions != self._state()

    def agrees(self, tokens: int) -> bool:
        """Return whether rows of so many tokens give an example the same bits as rows of the first number tried.

        Kernels choose the order of a sum by the size of the row. The row is copies of one example, which is told from
        by all of them; of blocks that are alike the lowest stands for all.

        Args:
            tokens: a multiple of `MULTIPLE`.
        """
        alike: dict[tuple[Any, ...], nn.Module] = {}
        for layer in self.layers[: self.height]:
            alike.setdefault((type(layer), *((name, p.shape) for name, p in layer.named_parameters())), layer)
        with torch.no_grad():
            states = self._tried(self._row(tokens), set(alike.values()))
        copies = bits(states[0, : tokens // LENGTH * LENGTH]).unflatten(0, (-1, LENGTH))
        if self._reference is None:
            self._reference = copies[0].clone()
        return bool((copies == self._reference).all())

    def sample(self) -> Tensor:
        """Return states of a short row, of shape (1, tokens, width)."""
        with torch.no_grad():
            return self._tried(self._row(MULTIPLE), set(self.layers[: self.height]))

    def key(self, sample: Tensor) -> str:
        """Return a hash of all that states depend on but tokens: weights, and how this machine rounds.

        Args:
            sample: as `sample` returns it.
        """
        tensors = {f"{i}": p for i, p in enumerate(self._frozen)} | {"sample": sample}
        if self._reference is not None:
            tensors["reference"] = self._reference
        return fingerprint(_stored(name, tensor) for name, tensor in tensors.items())

    @contextmanager
    def watched(self) -> Iterator[list[Tensor]]:
        """Let each forward pass add the states that leave the trunk, of shape (1, tokens, width), to a list."""
        kept: list[Tensor] = []

        def call(*args: Any, **kwargs: Any) -> Any:
            states = self.top._call_impl(*args, **kwargs)
            kept.append(states)
            return states

        with _instead({self.top: call}):
            yield kept

    @contextmanager
    def passed(self, states: Tensor) -> Iterator[None]:
        """Let forward passes begin above the trunk.

        Args:
            states: leave it, of shape (1, tokens, width).
        """
        with _instead(dict.fromkeys(self.layers[: self.height - 1], _pass) | {self.top: lambda *_, **__: states}):
            yield

    def _state(self) -> list[tuple[bool, int]]:
        return [(p.requires_grad, p._version) for p in self._frozen]

    def _decode(self, batch: dict[str, Tensor], inputs: dict[str, Any]) -> Tensor:
        return plain(self.model).get_decoder()(input_ids=batch["input_ids"], use_cache=False, **inputs)[0]

    def _tried(self, row: tuple[dict[str, Tensor], dict[str, Any]], wanted: set[nn.Module]) -> Tensor:
        """Return the states of a row as some blocks of the trunk make them."""
        kept: list[Tensor] = []

        def last(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if self.top in wanted:
                hidden_states = self.top._call_impl(hidden_states, *args, **kwargs)
            kept.append(hidden_states)
            return hidden_states

        calls = {layer: _pass for layer in self.layers if layer not in wanted}
        with _instead(calls | {self.top: last}):
            self._decode(*row)
        return kept[0]

    def _row(self, tokens: int, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Any]]:
        embedding = self.model.get_input_embeddings().weight
        ids = np.random.default_rng(seed).integers(embedding.shape[0], size=LENGTH)
        example = Encoded(ids, np.ones(LENGTH, np.float32))
        batch = collate([[example]] * (tokens // LENGTH), 0, 1)
        return one_row(self.model, {name: tensor.to(embedding.device) for name, tensor in batch.items()})

    def _misbehaviour(self) -> str | None:
        """Return what short rows show to be wrong, if anything."""
        device = self.model.get_input_embeddings().weight.device
        row = self._row(MULTIPLE)
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            torch.manual_seed(0)
            with self.watched() as kept:
                whole = self._decode(*row)
            before = _random_state(device)
            other = self._tried(self._row(MULTIPLE, seed=1), set(self.layers[: self.height]))
            if _random_state(device) != before:
                return "dropout below the first trained block makes it random"
            if not isinstance(other, Tensor) or other.ndim != 3:
                return "its blocks hand on more than hidden states"
            weights = list(trainable(self.model).values())
            if other.requires_grad and weights:
                gradients = torch.autograd.grad(other.sum(), weights, allow_unused=True)
                if any(gradient is not None for gradient in gradients):
                    return "something trained acts below the first trained block"
            torch.manual_seed(0)
            with self.passed(kept[0].detach()):  # what the other row left behind must not matter
                again = self._decode(*row)
            return None if torch.equal(whole, again) else "blocks above it see more than what leaves it"


def bits(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes, of shape (rows, bytes), for one of shape (rows, width)."""
    return tensor.detach().contiguous().view(torch.uint8)


@contextmanager
def _instead(calls: dict[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Call functions in place of modules; hooks, compiled code and what streams weights are left out with them."""
    for module, call in calls.items():
        module._compiled_call_impl = call  # torch looks here first
    try:
        yield
    finally:
        for module in calls:
            del module._compiled_call_impl


def _pass(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def _random_state(device: torch.device) -> bytes:
    states = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    return b"".join(state.numpy().tobytes() for state in states)


def _stored(name: str, tensor: Tensor) -> Stored:
    flat = tensor.detach().reshape(-1).view(torch.uint8)
    return Stored(name, str(tensor.dtype), tensor.shape, len(flat), lambda a, b: flat[a:b].cpu().numpy().tobytes())

"""Streaming: blocks whose frozen weights stay in the CPU's memory and visit the device in turn. It knows no method.

The backward pass needs the weights once more, so each block is computed again in it, on weights that are brought again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from ftlab.errors import SettingError
from ftlab.methods.anatomy import blocks

KEY = "model.stream"


class Streamed(nn.Parameter):
    """A parameter that stays where it is when its module is moved; a change of its type it takes part in."""

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return it in another type, if one is asked for."""
        dtype = torch._C._nn._parse_to(*args, **kwargs)[1]
        return super().to(dtype=dtype or self.dtype)

    def cuda(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return it as it is."""
        return self


class Visit(NamedTuple):
    """A weight's copy on the device, and the place that it takes."""

    module: nn.Module
    name: str
    home: Streamed
    copy: torch.Tensor


class Stream:
    """Puts a block's weights on the device for its turn, and meanwhile fetches those of the block that follows.

    Memory for a copy is taken in the order of the device's own work and filled on a stream beside it, so that nothing
    waits for the CPU and the weights of two blocks are there at most.

    Args:
        layers: the blocks, bottom first.
        home: type of the device on which weights are used where they are; None copies on every one.
    """

    def __init__(self, layers: list[Any], home: str | None = "cpu") -> None:
        self.layers = layers
        self.home = home
        self.device = torch.device("cpu")  # of the block's inputs in the latest forward pass
        self.side: Any = None
        self.trains = False  # the block whose turn it is
        self.ready: dict[int, list[Visit]] = {}
        self.here: list[Visit] = []
        for i, layer in enumerate(layers):
            layer.register_forward_pre_hook(partial(self._before, i), with_kwargs=True)
            layer.register_forward_hook(self._after, always_call=True)
            layer._gradient_checkpointing_func = partial(
                checkpoint, use_reentrant=False, context_fn=partial(self._contexts, i)
            )

    def enter(self, i: int, following: int) -> None:
        """Begin a block's turn.

        Args:
            i: the block.
            following: the one whose turn is likely to be next; none if there is no such block.
        """
        if self.device.type == self.home:
            return
        visits = self.ready[i] if i in self.ready else self._fetch(i)
        self.ready.clear()
        self._own().current_stream(self.device).wait_stream(self.side)
        self.here = visits
        for visit in visits:
            visit.module._parameters[visit.name] = visit.copy  # type: ignore[assignment]
        if 0 <= following < len(self.layers):
            self.ready[following] = self._fetch(following)
        elif following > i and torch.is_grad_enabled():
            self.ready[i] = visits  # the backward pass begins where the forward pass ends

    def leave(self) -> None:
        """End the turn; copies that autograd still needs live on in its graph."""
        for visit in self.here:
            visit.module._parameters[visit.name] = visit.home
        self.here = []

    def _before(self, i: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.device = next(x.device for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor))
        self.trains = layer.training
        layer.training = self.trains or torch.is_grad_enabled()  # only then is it checkpointed, and keeps no weights
        self.enter(i, i + 1)

    def _after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        layer.training = self.trains
        self.leave()

    def _contexts(self, i: int) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        """Return what surrounds a block's forward pass, where the hooks do the work, and what its second one."""
        return nullcontext(), _Again(self, i)

    def _fetch(self, i: int) -> list[Visit]:
        places = [
            (module, name, p)
            for module in self.layers[i].modules()
            for name, p in module._parameters.items()
            if isinstance(p, Streamed)
        ]
        visits = [Visit(*place, torch.empty_like(place[2].detach(), device=self.device)) for place in places]
        own = self._own()
        self.side = self.side or own.Stream()
        self.side.wait_stream(own.current_stream(self.device))  # which may still use what was in this memory
        with own.stream(self.side):
            for visit in visits:
                visit.copy.copy_(visit.home.detach(), non_blocking=True)
        return visits

    def _own(self) -> Any:
        return torch.get_device_module(self.device)


class _Again(AbstractContextManager[None]):
    """A block's turn in the backward pass, which the block below it follows; may be entered several times."""

    def __init__(self, stream: Stream, i: int) -> None:
        self.stream, self.i = stream, i

    def __enter__(self) -> None:
        self.stream.enter(self.i, self.i - 1)

    def __exit__(self, *args: object) -> None:
        self.stream.leave()


def stream_blocks(model: Any, home: str | None = "cpu") -> Stream:
    """Let the weights of a model's blocks stay in the CPU's memory and visit the device in turn.

    Args:
        model: a causal language model of transformers on the CPU, whose blocks are checkpointed.
        home: as `Stream` takes it.

    Raises:
        SettingError: its blocks cannot be computed again one by one.
    """
    layers = list(blocks(model).values())
    if not all(isinstance(layer, GradientCheckpointingLayer) for layer in layers):
        raise SettingError(KEY, f"the blocks of {type(model).__name__} cannot be streamed; set it to false")
    for parameter in (p for layer in layers for p in layer.parameters()):
        parameter.__class__ = Streamed
        if torch.get_default_device().type == "cuda":  # pinned memory is read by the GPU beside its work
            parameter.data = parameter.data.pin_memory()
    return Stream(layers, home)


def settle_stream(model: nn.Module) -> None:
    """Let what a method trains of the streamed weights live on the device, where the optimizer changes it.

    Args:
        model: with the method applied; nothing happens where nothing is streamed.

    Raises:
        SettingError: nothing frozen is left.
    """
    streamed = [p for p in model.parameters() if isinstance(p, Streamed)]
    trained = [p for p in streamed if p.requires_grad]
    if streamed and len(trained) == len(streamed):
        raise SettingError(
            KEY, "the method trains all weights of the blocks and leaves none to stream; set it to false"
        )
    for parameter in trained:
        parameter.__class__ = nn.Parameter  # type: ignore[assignment]  # which it was before

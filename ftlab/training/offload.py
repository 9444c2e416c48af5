"""Offload: activations that the backward pass needs wait in the CPU's memory. It knows no block and no method."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

#: Tensors of fewer bytes stay where they are: copying them costs more time than it saves memory.
SMALL = 1 << 20


class Moved(NamedTuple):
    """A tensor that waits."""

    held: torch.Tensor
    device: torch.device
    storage: StorageWeakRef
    """Of the original: while somebody knows it, its number is not given to another."""


class Offload(saved_tensors_hooks):
    """While it is entered, what autograd saves goes to the CPU's memory; it comes back where it is needed.

    The model's own parameters and buffers stay, and so do small tensors. A tensor that several layers save, such as
    the input of the projections to queries, keys and values, is kept once. Copies take their place in the order of the
    device's work, so neither direction has to be waited for.

    Args:
        model: whose forward pass it is.
        home: type of the device whose tensors stay; None moves those of every one.
        small: tensors of fewer bytes stay.
    """

    def __init__(self, model: torch.nn.Module, home: str | None = "cpu", small: int = SMALL) -> None:
        super().__init__(self._pack, self._unpack)
        self.home, self.small = home, small
        own = (*model.parameters(), *model.buffers())
        self.own = {tensor.untyped_storage().data_ptr() for tensor in own}
        self.moved: dict[tuple[Any, ...], Moved] = {}

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor | Moved:
        if tensor.device.type == self.home or tensor.layout != torch.strided or tensor.nbytes < self.small:
            return tensor
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self.own or storage.nbytes() < tensor.nbytes:  # a view of few numbers, repeated
            return tensor
        weak = StorageWeakRef(storage)
        where = (tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        key = (weak.cdata, *where, tensor._version)
        if key not in self.moved:
            held = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            self.moved[key] = Moved(held.copy_(tensor, non_blocking=True), tensor.device, weak)
        return self.moved[key]

    @staticmethod
    def _unpack(packed: torch.Tensor | Moved) -> torch.Tensor:
        if isinstance(packed, torch.Tensor):
            return packed
        return packed.held.to(packed.device, non_blocking=True)

    def __exit__(self, *args: object) -> None:
        """Forget what was moved: the graph alone decides from now on how long it is kept."""
        super().__exit__(*args)
        self.moved.clear()

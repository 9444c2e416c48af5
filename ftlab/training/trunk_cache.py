"""TrunkCache: what leaves the frozen trunk is computed once for each example. It knows no files and no architecture."""

from __future__ import annotations

import hashlib
import itertools
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ftlab.data.cache import cache_folder
from ftlab.training.identity import DIGITS
from ftlab.training.speed import Speed
from ftlab.training.trunk import Trunk, bits
from ftlab.training.trunk_file import TrunkFile, disk_space, make_room
from ftlab.training.unpadded import LONGEST, MULTIPLE

if TYPE_CHECKING:
    from ftlab.training.way import Way

#: Folder in ftlab's cache.
KIND = "trunk"

GB = 1e9

#: The largest share of the free disk that is taken.
SHARE = 0.25

#: So many rows that are known are computed all the same, and compared.
COMPARED = 2


class TrunkCache:
    """Keeps the states that leave the trunk by the tokens of their example, and lets forward passes begin with them.

    Args:
        trunk: of the model.
        file: where they are kept.
        like: states, of the type and width of all.
    """

    def __init__(self, trunk: Trunk, file: TrunkFile, like: Tensor) -> None:
        self.trunk = trunk
        self.file = file
        self.dtype, self.width = like.dtype, like.shape[-1]
        self.agreeing: dict[int, bool] = {}  # by the length of a row
        self.to_compare = COMPARED
        self.rows_passed = 0
        self.fault = ""

    @contextmanager
    def serving(self, batch: dict[str, Tensor], inputs: dict[str, Any]) -> Iterator[None]:
        """Let a forward pass begin above the trunk if all its examples are known; else learn them from it.

        Args:
            batch: as `one_row` makes it.
            inputs: as `one_row` makes them.
        """
        if self.fault or not self._fits(batch["input_ids"].shape[1]):
            yield
            return
        hashes, lengths = self._examples(batch, inputs)
        known = self.file.read(hashes)
        if known is not None and not self.to_compare:
            with self.trunk.passed(self._filled(known, batch["input_ids"])):
                yield
            self.rows_passed += 1
            return
        with self.trunk.watched() as kept:
            yield
        states = bits(kept[0][0, : sum(lengths)]).cpu().numpy()
        if known is not None:
            self.to_compare -= 1
            if not np.array_equal(states.reshape(-1), known):
                self._stop("an example was not what it was before")
            return
        try:
            for each, content in zip(hashes, np.split(states, np.cumsum(lengths)[:-1]), strict=True):
                self.file.add(each, content.reshape(-1))
        except OSError as error:
            self._stop(str(error))

    def _fits(self, tokens: int) -> bool:
        """Return whether rows of so many tokens give the same bits as others, found out once for each number."""
        if self.trunk.changed():
            self._stop("its weights have changed")
            return False
        if tokens not in self.agreeing:
            self.agreeing[tokens] = self.trunk.agrees(tokens)
        return self.agreeing[tokens]

    def _examples(self, batch: dict[str, Tensor], inputs: dict[str, Any]) -> tuple[list[bytes], list[int]]:
        """Return a hash of each example, and its length; a row with a long one computes attention in another way."""
        ids = batch["input_ids"][0].cpu().numpy()
        real = int(batch["attention_mask"].sum())
        bounds = [bound for bound in inputs["cu_seq_lens_q"].tolist() if bound <= real]
        way = b"long" if inputs["max_length_q"] > LONGEST else b""
        parts = [ids[begin:end] for begin, end in itertools.pairwise(bounds)]
        hashes = [hashlib.blake2b(part.tobytes(), digest_size=16, salt=way).digest() for part in parts]
        return hashes, [len(part) for part in parts]

    def _filled(self, known: np.ndarray, like: Tensor) -> Tensor:
        """Return states of the length of a row; what fills it up nobody sees, and it only must be finite."""
        states = torch.from_numpy(known).view(self.dtype).view(-1, self.width).to(like.device)
        return torch.cat([states, states[:1].expand(like.shape[1] - len(states), -1)])[None]

    def _stop(self, fault: str) -> None:
        self.fault = fault
        _tell(f"the frozen blocks are computed again from here on: {fault}")


def with_trunk_cache(way: Way, speed: Speed | None, trainer: Any) -> Way:
    """Return a way that takes what leaves the frozen trunk from a cache, where there is a trunk and it can be cached.

    A line says what it takes of the disk, or why it is left out.

    Args:
        way: how losses are computed.
        speed: the settings.
        trainer: of a run that is about to begin.
    """
    if speed is None or not speed.trunk_cache_gb or not way.unpadded or trainer.max_epochs == 1:
        return way
    trunk = Trunk.of(way.model)
    if trunk is None:
        return way
    loaders = [loader for loader in (trainer.datamodule.look(), trainer.datamodule.val_dataloader()) if loader]
    examples = [loader.examples for loader in loaders]
    with trainer.precision_plugin.forward_context():
        fault = "each device sees other examples in each epoch" if trainer.world_size > 1 else trunk.fault()
        if not fault:
            batch = examples[0].lengths.sum() / len(loaders[0])
            trunk.agrees(math.ceil(batch / MULTIPLE) * MULTIPLE)  # with rows such as there will be most
            sample = trunk.sample()
            size = sum(int(each.lengths.sum()) for each in examples) * sample[0, 0].nbytes
            key = hashlib.sha256(repr([trunk.key(sample), *(each.fingerprint for each in examples)]).encode())
            folder = cache_folder() / KIND / key.hexdigest()[:DIGITS]
            fault = _too_large(folder, size, speed.trunk_cache_gb * GB)
    if fault:
        _tell(f"trunk_cache left out: {fault}")
        return way
    make_room(folder, size, speed.trunk_cache_gb * GB)
    file = TrunkFile.of(folder, size)
    known = f", {len(file):,} of {sum(map(len, examples)):,} examples known" if len(file) else ""
    _tell(f"caching what leaves the {trunk.height} frozen blocks: {size / GB:.2g} GB in {folder}{known}")
    return replace(way, cache=TrunkCache(trunk, file, sample))


def _too_large(folder: Path, size: int, limit: float) -> str | None:
    """Return why a file of a size cannot be written, if so."""
    if size > limit:
        return f"it would take {size / GB:.2g} GB, more than speed.trunk_cache_gb: {limit / GB:g}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_folder()).free
    if size - disk_space(folder) > SHARE * free:
        return f"it would take {size / GB:.2g} GB, and the disk of {cache_folder()} has {free / GB:.2g} left"
    return None


def _tell(line: str) -> None:
    tqdm.write(f"speed      {line}")

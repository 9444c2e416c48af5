"""Identity: what a base is, told by its bytes, so that weights go back onto their own. It knows no method."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ftlab
from ftlab.errors import FtlabError, RefusedError
from ftlab.training.base import Base

#: File of a base's identity, beside the weights that were trained on it.
IDENTITY_FILE = "ftlab.json"

#: How much of a tensor is hashed, both ends included. A disk reads whole pages, so a smaller chunk costs the same.
CHUNKS, CHUNK_BYTES = 16, 4096

#: Hexadecimal digits that are kept and shown of a hash.
DIGITS = 16


class Tensor(NamedTuple):
    """A tensor to take a fingerprint of."""

    name: str
    dtype: str
    shape: Sequence[int]
    size: int
    """Bytes."""
    read: Callable[[int, int], bytes]
    """Return the bytes from one offset up to another."""


@dataclass(frozen=True)
class Identity:
    """What trained weights belong to. Base, revision and version are names to show; the hashes decide."""

    base: str
    """A folder, a Hub id, or the name of a model that the package carries."""
    revision: str | None
    """The commit of a Hub id, as far as its files tell."""
    weights: str
    """Fingerprint of the weights as they are stored, whatever type or quantization they are loaded in."""
    tokenizer: str
    """Hash of the tokenizer: vocabulary, rules and special tokens."""
    template: str
    """Hash of the chat template."""
    ftlab: str
    """Version of ftlab that wrote this."""

    @classmethod
    def of(cls, base: Base, seed: int | None, tokenizer: Any) -> Identity:
        """Return the identity of a base that has just been loaded.

        Args:
            base: where it came from.
            seed: of the weights of a base from scratch, which are told by it and by the architecture.
            tokenizer: the base's fast tokenizer.
        """
        from transformers.utils.hub import extract_commit_hash

        files = base.weight_files()
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules = {key: value for key, value in rules.items() if key not in ("truncation", "padding")}  # of the last call
        template = tokenizer.chat_template
        template = template if isinstance(template, str) else json.dumps(template)  # several by name
        return cls(
            base=base.base,
            revision=extract_commit_hash(str(files[0]), None) if files else base.revision,
            weights=fingerprint_of_files(files) if files else _hash(f"{base.architecture()} from seed {seed}".encode()),
            tokenizer=_hash(json.dumps([rules, tokenizer.special_tokens_map], sort_keys=True).encode()),
            template=_hash(template.encode()),
            ftlab=ftlab.__version__,
        )

    @classmethod
    def read(cls, folder: Path) -> Identity:
        """Read what `write` wrote.

        Raises:
            FtlabError: the folder has no such file, or it is damaged.
        """
        file = folder / IDENTITY_FILE
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise FtlabError(
                f"{folder}: has no {IDENTITY_FILE}, so its base cannot be told; name a folder that ftlab wrote"
            ) from error
        except ValueError as error:
            raise FtlabError(f"{file}: not what ftlab wrote ({error}); take it from a copy of the run") from error
        return cls.parse(record, str(file))

    @classmethod
    def parse(cls, record: Any, place: str) -> Identity:
        """Return the identity that a file or a checkpoint holds.

        Raises:
            FtlabError: it holds something else.
        """
        try:
            return cls(**record)
        except TypeError as error:
            raise FtlabError(f"{place}: not what this ftlab writes ({error}); take the ftlab of the run") from error

    def write(self, folder: Path) -> None:
        """Write it beside the weights."""
        (folder / IDENTITY_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def require(self, other: Identity, place: str, there: str = "this is", remedy: str | None = None) -> None:
        """Refuse a base that is not this one; the same weights under another name are.

        Args:
            other: the base there is.
            place: of the weights that were trained on this.
            there: what the message says before the other's name.
            remedy: what to do; None advises to take this base.

        Raises:
            RefusedError: weights, tokenizer or chat template differ.
        """
        differ = [key for key in ("weights", "tokenizer", "template") if getattr(self, key) != getattr(other, key)]
        if differ:
            pinned = f" with --model.revision {self.revision}" if self.revision not in (None, other.revision) else ""
            raise RefusedError(
                f"{place}: trained on base {self._show(differ)}, {there} {other._show(differ)}; "
                f"{remedy or f'use the base of the run{pinned}'}"
            )

    def key(self, *loading: object) -> str:
        """Return a hash of the base and of how it was loaded, under which its answers are kept.

        Args:
            loading: what else its answers depend on, such as the type of the weights.
        """
        return _hash(repr((self.weights, self.tokenizer, self.template, *loading)).encode())

    def _show(self, keys: list[str]) -> str:
        name = f"{self.base} at {self.revision[:12]}" if self.revision else self.base
        return f"{name} ({', '.join(f'{key} {getattr(self, key)}' for key in keys)})"


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return a hash over names, types, shapes and samples of the bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for tensor in sorted(tensors, key=lambda tensor: tensor.name):
        digest.update(json.dumps([tensor.name, tensor.dtype, list(tensor.shape)]).encode())
        if tensor.size <= CHUNKS * CHUNK_BYTES:
            digest.update(tensor.read(0, tensor.size))
        else:
            for i in range(CHUNKS):
                start = (tensor.size - CHUNK_BYTES) * i // (CHUNKS - 1)
                digest.update(tensor.read(start, start + CHUNK_BYTES))
    return digest.hexdigest()[:DIGITS]


def fingerprint_of_files(files: Iterable[Path]) -> str:
    """Return the fingerprint of weight files together.

    Of safetensors files neither the cut into files nor their order matters; others are told by samples of their bytes.

    Raises:
        FtlabError: a file is not what its name says.
    """
    with ExitStack() as opened:
        return fingerprint(
            tensor for file in files for tensor in _stored_tensors(file, opened.enter_context(file.open("rb")).fileno())
        )


def _stored_tensors(file: Path, descriptor: int) -> Iterator[Tensor]:
    """Yield a file's tensors: 8 bytes with the length of a JSON header, the header, and the bytes of all tensors."""
    if file.suffix != ".safetensors":
        size = os.fstat(descriptor).st_size
        yield Tensor(file.name, "bytes", [size], size, partial(_pread, descriptor, 0))
        return
    try:
        start = 8 + int.from_bytes(os.pread(descriptor, 8, 0), "little")
        header = json.loads(os.pread(descriptor, start - 8, 8))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            read = partial(_pread, descriptor, start + begin)
            yield Tensor(name, entry["dtype"], entry["shape"], end - begin, read)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise FtlabError(f"{file}: not a safetensors file; download or copy the base again") from error


def _pread(descriptor: int, origin: int, start: int, end: int) -> bytes:
    return os.pread(descriptor, end - start, origin + start)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]

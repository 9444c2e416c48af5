"""Examples: token ids and the weight of each in the loss, in files that need not fit into memory. They know no chat."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np


@dataclass(frozen=True)
class Encoded:
    """A chat, or a part of one, as the model sees it."""

    ids: np.ndarray
    """Token ids, int32, shape (length,)."""
    weights: np.ndarray
    """How much each token counts in the loss, float32, shape (length,); 0 where nothing is learnt."""
    cut_from: int = 0
    """Tokens that there were before the end was cut off; 0: nothing was."""

    @property
    def mask(self) -> np.ndarray:
        """True where the token is learnt from: bool, shape (length,)."""
        return self.weights > 0

    @property
    def supervised(self) -> float:
        """Sum of the weights that count: the first token has nothing before it to predict it."""
        return float(self.weights[1:].sum(dtype=np.float64))


#: Weights are stored as runs of equal ones, for a chat has few.
RUN = np.dtype([("start", np.int32), ("weight", np.float32)])
#: What is known of an example without reading it.
INDEX = np.dtype(
    [
        ("end", np.int64),
        ("runs_end", np.int64),
        ("supervised", np.float64),
        ("row", np.int64),
        ("source", np.int32),
        ("cut_from", np.int64),
    ]
)


class Examples(Sequence[Encoded]):
    """A sequence of examples of which parts can be taken without copying.

    Args:
        ids: token ids of all examples end to end, int32.
        runs: runs of equal weights of all examples end to end, `RUN`.
        index: where each example ends, and what is known of it, `INDEX`.
        sources: names of the sources.
        chosen: which of the examples, in which order; None is all of them.
    """

    def __init__(
        self,
        ids: np.ndarray | OnDisk,
        runs: np.ndarray | OnDisk,
        index: np.ndarray,
        sources: Sequence[str] = ("",),
        chosen: np.ndarray | None = None,
    ) -> None:
        self._ids, self._runs, self._index = ids, runs, index
        self._chosen = np.arange(len(index)) if chosen is None else chosen
        self.sources = list(sources)
        starts = np.concatenate([[0], index["end"][:-1]])
        self.lengths = (index["end"] - starts)[self._chosen]
        """Number of tokens of each example, int64."""
        self.whole_lengths = np.maximum(self.lengths, index["cut_from"][self._chosen])
        """The same before its end was cut off."""
        self.supervised = index["supervised"][self._chosen]
        """Sum of weights that each example adds to a step, float64."""
        self.row_ids = index["row"][self._chosen]
        """Which row each example was made of, int64."""
        self.source_ids = index["source"][self._chosen]
        """Which of `sources` each example belongs to, int32."""

    @classmethod
    def of(
        cls, examples: Iterable[Encoded], source_ids: Sequence[int] | None = None, sources: Sequence[str] = ("",)
    ) -> Examples:
        """Return some examples in memory, one of each row."""
        examples = list(examples)
        runs = [to_runs(example.weights) for example in examples]
        index = np.zeros(len(examples), INDEX)
        index["end"] = np.cumsum([len(example.ids) for example in examples])
        index["runs_end"] = np.cumsum([len(run) for run in runs])
        index["supervised"] = [example.supervised for example in examples]
        index["row"] = np.arange(len(examples))
        index["source"] = 0 if source_ids is None else source_ids
        index["cut_from"] = [example.cut_from for example in examples]
        ids = np.concatenate([example.ids for example in examples]) if examples else np.zeros(0, np.int32)
        return cls(ids, np.concatenate(runs) if runs else np.zeros(0, RUN), index, sources)

    @classmethod
    def open(cls, folder: Path, sources: Sequence[str], source_ids: np.ndarray) -> Examples:
        """Open `ids.bin`, `runs.bin` and `index.npy`; ids and weights are read from the disk when they are asked for.

        Args:
            folder: the files.
            sources: names of the sources.
            source_ids: which of these each row belongs to.
        """
        index = np.load(folder / "index.npy")
        index["source"] = source_ids[index["row"]]
        return cls(OnDisk(folder / "ids.bin", np.dtype(np.int32)), OnDisk(folder / "runs.bin", RUN), index, sources)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Encoded: ...
    @overload
    def __getitem__(self, index: slice) -> Examples: ...
    def __getitem__(self, index: int | slice) -> Encoded | Examples:
        """Return an example, or a view of some."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        ids, runs = self._stored(int(self._chosen[index]))
        sizes = np.diff(np.append(runs["start"], len(ids)))
        return Encoded(np.array(ids), np.repeat(runs["weight"], sizes))

    @property
    def fingerprint(self) -> str:
        """Hash of the tokens and their weights, in order."""
        digest = hashlib.sha256()
        for at in self._chosen.tolist():
            for part in self._stored(at):
                digest.update(part.tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """Return a view of some examples, in the order of the indices into this view."""
        chosen = self._chosen[np.asarray(indices, dtype=np.int64)]
        return Examples(self._ids, self._runs, self._index, self.sources, chosen)

    def _stored(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids and the runs of an example as they are stored."""
        begin, runs_begin = (int(self._index[name][at - 1]) if at else 0 for name in ("end", "runs_end"))
        return self._ids[begin : self._index["end"][at]], self._runs[runs_begin : self._index["runs_end"][at]]


class OnDisk:
    """An array in a file, of which parts are read. Were it mapped, each page read would count as memory of the run.

    Args:
        file: its numbers and nothing else.
        dtype: theirs.
    """

    def __init__(self, file: Path, dtype: np.dtype) -> None:
        self._file, self._dtype = file, dtype
        self._open = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._open)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return a part, which cannot be written to."""
        begin, end = (int(bound) * self._dtype.itemsize for bound in (part.start, part.stop))
        return np.frombuffer(os.pread(self._open, end - begin, begin), self._dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy, as in a process that loads batches, open the file itself."""
        return OnDisk, (self._file, self._dtype)


def to_runs(weights: np.ndarray) -> np.ndarray:
    """Return a text's weights as runs of equal ones, `RUN`."""
    starts = np.flatnonzero(weights[1:] != weights[:-1]) + 1
    starts = np.concatenate([np.zeros(min(1, len(weights)), starts.dtype), starts])
    runs = np.empty(len(starts), RUN)
    runs["start"], runs["weight"] = starts, weights[starts]
    return runs

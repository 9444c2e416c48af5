"""TrunkFile: byte strings on the disk by the hash of what they are of, read as memory. It knows no model."""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import struct
import tempfile
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: Files of a cache.
STATES, INDEX = "states.bin", "index.bin"

#: An entry of the index: the hash, where the bytes begin, how many they are, and their checksum.
ENTRY = struct.Struct("<16sQQI")


class Place(NamedTuple):
    """Where the bytes of an entry lie."""

    begin: int
    size: int
    checksum: int
    """Tells what never reached the disk, because the machine stopped."""

    @property
    def end(self) -> int:
        """Where they end."""
        return self.begin + self.size


class TrunkFile:
    """A file of a size that is known beforehand, which entries are added to and none is taken from.

    It is there for the next process also where this one is killed. A second process at the same time gets a file of its
    own, which goes with it.

    Args:
        folder: of the file and its index.
        size: of the file at most, in bytes.
    """

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        self._states, self._index = _opened(folder / STATES), None
        weakref.finalize(self, os.close, self._states)
        if _locked(self._states):
            self._index = _opened(folder / INDEX)
            weakref.finalize(self, os.close, self._index)
        else:
            self._states, name = tempfile.mkstemp(dir=folder.parent)
            Path(name).unlink()
            weakref.finalize(self, os.close, self._states)
        os.ftruncate(self._states, size)
        self._memory = mmap.mmap(self._states, size, prot=mmap.PROT_READ)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._places: dict[bytes, Place] = {}
        if self._index is not None:
            self._restore(self._index, size)
        self._unread = set(self._places)  # written by an earlier process
        self._end = max((place.end for place in self._places.values()), default=0)

    @classmethod
    def of(cls, folder: Path, size: int) -> TrunkFile:
        """Return the file of a folder, the same one as long as it is in use in this process."""
        file = _IN_USE.get(folder)
        if file is None:
            file = _IN_USE[folder] = cls(folder, size)
        return file

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._places)

    def read(self, hashes: Sequence[bytes]) -> np.ndarray | None:
        """Return the bytes of some entries end to end, None if one is missing.

        Args:
            hashes: of 16 bytes each.
        """
        for each in self._unread.intersection(hashes):
            place = self._places[each]
            if zlib.crc32(self._bytes[place.begin : place.end].data) != place.checksum:
                del self._places[each]
            self._unread.discard(each)
        if not all(each in self._places for each in hashes):
            return None
        places = [self._places[each] for each in hashes]
        found = np.concatenate([self._bytes[place.begin : place.end] for place in places])
        self._memory.madvise(mmap.MADV_DONTNEED)  # it stays in the system's memory, and counts no more as ours
        return found

    def add(self, each: bytes, content: np.ndarray) -> None:
        """Add an entry if there is none of its hash and there is room.

        Args:
            each: its hash, of 16 bytes.
            content: its bytes.

        Raises:
            OSError: the disk is full.
        """
        place = Place(self._end, len(content), zlib.crc32(content.data))
        if each in self._places or place.end > len(self._bytes):
            return
        written = 0
        while written < place.size:
            written += os.pwrite(self._states, content[written:].data, place.begin + written)
        if self._index is not None:
            os.write(self._index, ENTRY.pack(each, *place))
        self._places[each], self._end = place, place.end

    def _restore(self, index: int, size: int) -> None:
        known = os.pread(index, os.fstat(index).st_size, 0)
        whole = len(known) // ENTRY.size * ENTRY.size
        for each, *place in ENTRY.iter_unpack(known[:whole]):
            if Place(*place).end <= size:
                self._places[each] = Place(*place)
        os.lseek(index, whole, os.SEEK_SET)  # over what a killed process began to write


#: By their folders.
_IN_USE: weakref.WeakValueDictionary[Path, TrunkFile] = weakref.WeakValueDictionary()


def disk_space(folder: Path) -> int:
    """Return how many bytes of the disk a file takes."""
    file = folder / STATES
    return file.stat().st_blocks * 512 if file.is_file() else 0


def make_room(folder: Path, size: int, limit: float) -> None:
    """Remove the files beside one that were not used for longest, until it fits; none that a process works with.

    Args:
        folder: of the file.
        size: its bytes.
        limit: of all together.
    """
    others = [each for each in folder.parent.glob("*") if each != folder and (each / STATES).is_file()]
    others.sort(key=lambda each: each.stat().st_mtime)
    total = size + sum(map(disk_space, others))
    for each in others:
        if total <= limit:
            return
        states = _opened(each / STATES)
        if _locked(states):
            total -= disk_space(each)
            shutil.rmtree(each, ignore_errors=True)
        os.close(states)


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)


def _locked(file: int) -> bool:
    """Take a file for this process until it is closed; return whether no other has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

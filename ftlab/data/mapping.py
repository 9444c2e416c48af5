"""Mapping: tables in files that need not fit into memory. It knows nothing of what is in them."""

from __future__ import annotations

import mmap
import weakref
from pathlib import Path

import pyarrow as pa

#: Smaller files are held in memory, for each mapping keeps its file open.
SMALL = 16 << 20
#: What one access may map besides what it reads: the system maps the large page that it is on.
AROUND = 1 << 20
#: After so many bytes what was mapped is given back: it stays in the system's cache, but no longer counts as this
#: process's memory.
BUDGET = 256 << 20

_open: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_touched = 0


def open_mapped(file: Path) -> pa.Table:
    """Open an Arrow stream without reading it."""
    if file.stat().st_size < SMALL:
        return pa.ipc.open_stream(file.read_bytes()).read_all()
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    _open.add(mapped)
    return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()


def touch(size: int) -> None:
    """Count what was read of mapped tables, and give their pages back from time to time."""
    global _touched
    _touched += size + AROUND
    if _touched > BUDGET:
        _touched = 0
        for mapped in _open:
            mapped.madvise(mmap.MADV_DONTNEED)

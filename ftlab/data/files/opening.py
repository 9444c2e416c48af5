"""Opening: files as streams, unpacked. It knows nothing of what is in them."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa

#: Endings of packed files, and how they are packed.
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_BOM = b"\xef\xbb\xbf"


def compression_of(path: Path) -> str | None:
    """Return how a file is packed, None where it is not."""
    return COMPRESSIONS.get(path.suffix.lower())


def open_text(path: Path) -> io.BufferedReader:
    """Open a text file after its byte order mark."""
    stream = io.BufferedReader(pa.input_stream(path, compression=compression_of(path)), 1 << 20)
    if stream.peek(3)[:3] == _BOM:
        stream.read(3)
    return stream


def open_table(path: Path) -> pa.NativeFile:
    """Open a file that is not read from front to back: mapped, or unpacked in memory."""
    if compression := compression_of(path):
        return pa.BufferReader(pa.input_stream(path, compression=compression).read_buffer())
    return pa.memory_map(str(path))

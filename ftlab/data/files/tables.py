"""Tables: Parquet and Arrow files as blocks. They know nothing of formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ftlab.data.files.blocks import BLOCK, BrokenError, Table
from ftlab.data.files.opening import open_table


def tables_of(parts: Iterable[Path], kind: str) -> Iterator[Table]:
    """Yield the rows of tables of a kind, `parquet` or `arrow`, numbered through all of them."""
    first = 1
    for part in parts:
        for batch in _parquet(part) if kind == "parquet" else _arrow(part):
            names = batch.schema.names
            if twice := {name for name in names if names.count(name) > 1}:
                raise BrokenError(f"two columns are called {min(twice)!r}; rename one")
            rows = max(1, batch.num_rows * BLOCK // max(batch.nbytes, 1))
            for start in range(0, batch.num_rows, rows):
                piece = batch.slice(start, rows)
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, batch.schema) as writer:
                    writer.write_batch(piece)
                yield Table(first, sink.getvalue())
                first += piece.num_rows


def _parquet(path: Path) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(open_table(path))
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    return file.iter_batches(max(1, file.metadata.num_rows * BLOCK // max(size, 1)))


def _arrow(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        file = pa.ipc.open_file(open_table(path))
    except pa.ArrowInvalid:  # datasets writes streams
        return iter(pa.ipc.open_stream(open_table(path)))
    return map(file.get_batch, range(file.num_record_batches))

"""Rows of a feature table in parts by the hash of their key: each waits on the disk until it is its turn.

All rows of a key are in one part, in write order; the same key falls on the same part however wide its type is. Of two
counts of parts that are powers of two, the part of the smaller count is the number of the larger one's, modulo it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.features.key_encoder import key_column
from foldstore.views.features.sorted_index import Integers
from foldstore.views.splits.hashing import hash_keys

_SALT: Final = "asof"
_ROW: Final = "row"
_ROWS_AT_ONCE: Final = 131_072


def number_parts(columns: Sequence[pa.ChunkedArray], keys: Mapping[str, str], count: int) -> NDArray[np.uint64]:
    """Return the part of each key."""
    plain = [key_column(column, name, kind) for column, (name, kind) in zip(columns, keys.items(), strict=True)]
    return hash_keys(plain, _SALT) % np.uint64(count)


def cut_by_key(
    table: pa.Table, keys: Mapping[str, str], count: int, folder: Path
) -> Iterator[tuple[pa.Table, Integers]]:
    """Yield the rows of each part, mapped, and their places in the table; one batch is in memory at a time.

    Parameters
    ----------
    folder : pathlib.Path
        In which the rows wait.
    """
    if count == 1:
        yield table, np.arange(table.num_rows)
        return
    with TemporaryDirectory(dir=folder, prefix="staged-", ignore_cleanup_errors=True) as waiting:
        spilled = [Path(waiting) / f"{number}.arrows" for number in range(count)]
        _spill(table, keys, spilled)
        for path in spilled:
            with pa.memory_map(str(path)) as source:
                own = pa.ipc.open_stream(source).read_all()
                last = own.num_columns - 1
                yield own.remove_column(last), own.column(last).to_numpy()
                del own
            path.unlink()


def _spill(table: pa.Table, keys: Mapping[str, str], paths: Sequence[Path]) -> None:
    """Put the rows of each part into a file of its own, with their places."""
    schema = table.schema.append(pa.field(_ROW, pa.int64()))
    sinks = [pa.OSFile(str(path), "wb") for path in paths]
    writers = [pa.ipc.new_stream(sink, schema) for sink in sinks]
    start = 0
    try:
        for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            columns = [pa.chunked_array([batch.column(name)]) for name in keys]
            numbers = number_parts(columns, keys, len(paths))
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            for number, writer in enumerate(writers):
                own = np.flatnonzero(numbers == number)
                arrays = [*batch.take(pa.array(own)).columns, pa.array(rows[own])]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    finally:
        for writer, sink in zip(writers, sinks, strict=True):
            writer.close()
            sink.close()

"""A sample of rows, and the set of all rows, by the hash of what identifies a row.

Which rows are chosen depends on the rows alone: not on their order, their cut or a seed.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.statistics.distinct import DistinctHashes
from foldstore.datastore.statistics.hashing import Hashes, hash_column, hash_rows
from foldstore.datastore.statistics.row_source import Batches, RowSource, Scan, cut_rows, take_rows
from foldstore.errors import UsageError, column_not_found

SAMPLE_ROWS: Final = 2_048
_CHUNK_ROWS: Final = 131_072
_KIND: Final = "row-set/1"


def sample_rows(rows: RowSource, k: int = SAMPLE_ROWS, by: Sequence[str] = ()) -> pa.Table:
    """Return the k rows with the smallest hashes, in the order of the hash: a uniform sample of different rows.

    Parameters
    ----------
    rows : RowSource
    k : int
    by : sequence of str
        The columns that identify a row; all that have a stable hash unless given. Rows that agree in them
        are chosen together or not at all, but for the last ones.

    Notes
    -----
    The bottom-k sketch of Cohen and Kaplan (2007, "Summarizing data using bottom-k sketches").
    """
    if k < 1:
        raise UsageError(f"A sample of {k} rows holds nothing.", hint="Ask for one row or more.")
    names = identify(rows.arrow_schema, by)
    schema = rows.arrow_schema
    held, hashes = schema.empty_table(), np.empty(0, np.uint64)
    for chunk in cut_rows(schema, rows.batches(schema.names), _CHUNK_ROWS):
        fresh = hash_rows([chunk[name] for name in names])
        worth = np.flatnonzero(fresh <= hashes[-1]) if len(hashes) >= k else np.arange(len(fresh))
        if not len(worth):
            continue
        hashes = np.concatenate([hashes, fresh[worth]])
        order = np.argsort(hashes, kind="stable")[:k]
        held = take_rows(pa.concat_tables([held, take_rows(chunk, worth)]), order).combine_chunks()
        hashes = hashes[order]
    return held


def collect_rows(rows: RowSource, by: Sequence[str] = ()) -> DistinctHashes:
    """Return the set of the rows, by the columns that identify one; exact up to 65,536 different rows."""

    def compute(schema: pa.Schema, batches: Batches) -> DistinctHashes:
        total = DistinctHashes(np.empty(0, np.uint64))
        for chunk in cut_rows(schema, batches, _CHUNK_ROWS):
            total = total.merge(DistinctHashes.of(hash_rows(chunk.columns)))
        return total

    scan = Scan(_KIND, identify(rows.arrow_schema, by), compute, _encode, _decode)
    total = DistinctHashes(np.empty(0, np.uint64))
    for part in range(rows.parts):
        total = total.merge(rows.scan(part, scan))
    return total


def identify(schema: pa.Schema, by: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that identify a row: those named, or all that have a stable hash."""
    for name in by:
        if name not in schema.names:
            raise column_not_found(name, schema.names, where="the rows")
    names = tuple(by) or tuple(field.name for field in schema if _has_hash(field.type))
    if not names:
        raise UsageError("No column identifies a row.", hint="Lists and structs have no stable hash; add a column.")
    return names


def _has_hash(kind: pa.DataType) -> bool:
    try:
        hash_column(pa.array([], kind))
    except (UsageError, pa.ArrowException):
        return False
    return True


def _encode(found: DistinctHashes) -> bytes:
    return bytes([found.exact]) + found.hashes.astype("<u8").tobytes()


def _decode(data: bytes) -> DistinctHashes:
    hashes: Hashes = np.frombuffer(data[1:], "<u8").astype(np.uint64)
    return DistinctHashes(hashes, bool(data[0]))

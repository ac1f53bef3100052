"""Cuts a stream of batches into fragments of even record batches, written to a staging folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore.column_group import ColumnGroupWriter, StagedFile
from foldstore.datastore.files import Files
from foldstore.types import Progress

ROWS_PER_BATCH: Final = 131_072
_BYTES_PER_BATCH: Final = 64 << 20
BYTES_PER_FRAGMENT: Final = 128 << 20


@dataclass(frozen=True, slots=True)
class StagedFragment:
    """A fragment whose files are finished and not yet named."""

    num_rows: int
    files: tuple[StagedFile, ...]


def write_fragments(
    files: Files, folder: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], progress: Progress | None = None
) -> list[StagedFragment]:
    """Write batches as fragments of at most about 128 MB.

    Memory holds one record batch at a time, or one fragment when a column is a dictionary: a file has
    one dictionary per column, so those of the fragment's batches are unified first.
    """
    unify = any(pa.types.is_dictionary(field.type) for field in schema)
    written: list[StagedFragment] = []
    rows = 0
    for run in _cut_fragments(even_batches(batches)):
        path = folder / f"{len(written)}.arrow"
        staged = _write_file(files, path, schema, _unify(run, schema) if unify else run)
        written.append(StagedFragment(staged.record.num_rows, (staged,)))
        rows += staged.record.num_rows
        if progress:
            progress(rows, None)
    return written


def write_column_group(files: Files, path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedFile:
    """Write batches as they come into one file."""
    return _write_file(files, path, schema, batches)


def even_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join and cut batches so that each but the last has the same number of rows.

    Whole batches pass through untouched; a batch that is joined of parts is a copy.
    """
    parts: list[pa.RecordBatch] = []
    have, target = 0, 0
    for batch in batches:
        target = target or _rows_per_batch(batch)
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, target - have)
            parts.append(part)
            start, have = start + part.num_rows, have + part.num_rows
            if have == target:
                yield _join(parts)
                parts, have = [], 0
    if parts:
        yield _join(parts)


def _rows_per_batch(batch: pa.RecordBatch) -> int:
    if not batch.num_rows:
        return 0
    row_bytes = max(1, int(batch.nbytes) // int(batch.num_rows))
    return max(1, min(ROWS_PER_BATCH, _BYTES_PER_BATCH // row_bytes))


def _join(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(parts) == 1:
        return parts[0]
    table = pa.Table.from_batches(parts).unify_dictionaries().combine_chunks()
    return table.to_batches()[0]


class _Run:
    """The batches of one fragment, read lazily from the shared stream."""

    def __init__(self, first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> None:
        self.first: pa.RecordBatch | None = first
        self.rest = rest
        self.next: pa.RecordBatch | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batch, size = self.first, 0
        while batch is not None:
            size += batch.nbytes
            yield batch
            batch = next(self.rest, None)
            if batch is not None and size + batch.nbytes > BYTES_PER_FRAGMENT:
                self.next = batch
                return


def _cut_fragments(batches: Iterator[pa.RecordBatch]) -> Iterator[_Run]:
    first = next(batches, None)
    while first is not None:
        run = _Run(first, batches)
        yield run
        first = run.next


def _unify(run: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    yield from pa.Table.from_batches(list(run), schema).unify_dictionaries().to_batches()


def _write_file(files: Files, path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedFile:
    writer = ColumnGroupWriter(files, path, schema)
    try:
        for batch in batches:
            writer.write(batch)
    except BaseException:
        writer.abandon()
        raise
    return writer.finish()

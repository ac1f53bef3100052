"""Cuts a stream of batches into fragments of even record batches, written to a staging folder."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore.column_group import ColumnGroupWriter, StagedFile
from foldstore.datastore.files import Files
from foldstore.datastore.memory_size import num_bytes
from foldstore.errors import CorruptObjectError, SchemaMismatchError
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
    files: Files,
    new_path: Callable[[], Path],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    progress: Progress | None = None,
) -> list[StagedFragment]:
    """Write batches as fragments of at most about 128 MB, each to a new path.

    Memory holds one record batch at a time, or one fragment when a column is a dictionary: a file has
    one dictionary per column, so those of the fragment's batches are unified first.

    Raises
    ------
    CorruptObjectError
        When other rows were written than came.
    """
    counted = _Counted(batches)
    unify = any(pa.types.is_dictionary(field.type) for field in schema)
    written: list[StagedFragment] = []
    rows = 0
    for run in _cut_fragments(even_batches(counted)):
        staged = _write_file(files, new_path(), schema, _unify(run, schema) if unify else run)
        written.append(StagedFragment(staged.record.num_rows, (staged,)))
        rows += staged.record.num_rows
        if progress:
            progress(rows, None)
    if rows != counted.rows:
        raise CorruptObjectError(
            f"{counted.rows:,} rows came and {rows:,} were written.",
            hint="Nothing was committed. This is a fault of Foldstore's: please report it.",
            came=counted.rows,
            written=rows,
        )
    return written


class _Counted:
    """Batches on their way, and how many rows they had."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.rows = 0
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.rows += batch.num_rows
            yield batch


def write_column_group(files: Files, path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedFile:
    """Write batches as they come into one file."""
    return _write_file(files, path, schema, batches)


def even_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join and cut batches so that each is full: by rows, or by bytes where rows are large.

    Only the last may be smaller, and only a single row may be larger. Whole batches pass through untouched; a
    batch that is joined of parts is a copy.
    """
    parts: list[pa.RecordBatch] = []
    rows, size = 0, 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            fitting = _fitting_rows(batch.slice(start, ROWS_PER_BATCH - rows), _BYTES_PER_BATCH - size)
            if fitting:
                part = batch.slice(start, fitting)
                parts.append(part)
                start, rows, size = start + fitting, rows + fitting, size + row_bytes(part)
            elif not parts:  # one row that is larger than a batch
                yield batch.slice(start, 1)
                start += 1
            if parts and (not fitting or rows == ROWS_PER_BATCH):
                yield from _join(parts)
                parts, rows, size = [], 0, 0
    if parts:
        yield from _join(parts)


def row_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes of a batch's rows; dictionaries, which batches share, are not among them."""
    return sum(num_bytes(column.indices if pa.types.is_dictionary(column.type) else column) for column in batch.columns)


def _fitting_rows(batch: pa.RecordBatch, room: int) -> int:
    """Return how many of the first rows take at most so many bytes."""
    if row_bytes(batch) <= room:
        return int(batch.num_rows)
    low, high = 0, int(batch.num_rows)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if row_bytes(batch.slice(0, middle)) <= room else (low, middle)
    return low


def _join(parts: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if len(parts) == 1:
        yield parts[0]
        return
    # The bytes are bounded, so that this is one batch; were it several, all of them are handed on.
    yield from _unified(pa.Table.from_batches(parts)).combine_chunks().to_batches()


class _Run:
    """The batches of one fragment, read lazily from the shared stream."""

    def __init__(self, first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> None:
        self.first: pa.RecordBatch | None = first
        self.rest = rest
        self.next: pa.RecordBatch | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batch, size = self.first, 0
        while batch is not None:
            size += row_bytes(batch)
            yield batch
            batch = next(self.rest, None)
            if batch is not None and size + row_bytes(batch) > BYTES_PER_FRAGMENT:
                self.next = batch
                return


def _cut_fragments(batches: Iterator[pa.RecordBatch]) -> Iterator[_Run]:
    first = next(batches, None)
    while first is not None:
        run = _Run(first, batches)
        yield run
        first = run.next


def _unify(run: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    yield from _unified(pa.Table.from_batches(list(run), schema)).to_batches()


def _unified(table: pa.Table) -> pa.Table:
    try:
        return table.unify_dictionaries()
    except pa.ArrowException as error:
        kept = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        raise SchemaMismatchError(
            f"The dictionaries of {', '.join(map(repr, kept))} cannot be made one: {error}.",
            hint="Cast these columns to their value types first.",
            columns=kept,
        ) from error


def _write_file(files: Files, path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StagedFile:
    writer = ColumnGroupWriter(files, path, schema)
    try:
        for batch in batches:
            writer.write(batch)
    except BaseException:
        writer.abandon()
        raise
    return writer.finish()

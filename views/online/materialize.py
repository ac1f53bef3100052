"""Writes a feature view into one file that many processes map: content-addressed, fsync'ed, read-only."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.files import Files, LocalFiles, hash_file
from foldstore.datastore.memory_size import num_bytes
from foldstore.errors import column_not_found
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.joined_batches import join_batches, too_much_text
from foldstore.views.online.key_ranges import Cutting, Weigh, batches_of, gather, put_aside, read_ranges
from foldstore.views.online.layout import HEADER_KEY, OnlineHeader
from foldstore.views.online.put_aside import AsideFile
from foldstore.views.online.sorted_rows import (
    SharedHashError,
    SortedRows,
    created_times,
    hash_rows,
    salt_of,
    sort_rows,
)
from foldstore.views.online.staged_files import remove_abandoned, stage

MEMORY: Final = 256 * 2**20  # of rows; sorting them takes some three times as much
_UNCOMPRESSED: Final = pa.ipc.IpcWriteOptions(compression=None)

Compute = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineFile:
    """A finished file.

    Attributes
    ----------
    path : pathlib.Path
        Its name is its address.
    address : str
        The BLAKE3 of its bytes.
    num_bytes, num_rows, num_entities : int
        How much is in it.
    """

    path: Path
    address: str
    num_bytes: int
    num_rows: int
    num_entities: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How rows become what is laid out, and how much of it is done at once.

    Attributes
    ----------
    compute : callable or None
        Gives what some entities' rows come to, such as the steps of their windows; it sees all rows of an entity
        together. The rows as they are unless given.
    weigh : callable
        How many bytes the work on rows takes.
    memory : int
        How many of these are taken at once; more rows wait on the disk.
    """

    compute: Compute | None = None
    weigh: Weigh = num_bytes
    memory: int = MEMORY


def materialize_view(
    rows: pa.Table | pa.RecordBatchReader,
    definition: FeatureView,
    folder: Path,
    *,
    sources: Sequence[str] = (),
    since: int | None = None,
    files: Files | None = None,
    work: Work | None = None,
) -> OnlineFile:
    """Lay a feature view out for lookups.

    The same rows in the same order make the same bytes, and so the same file, whether they fit in memory or not.
    Rows that do not are cut by ranges of the hash of their key, and laid out range by range.

    Parameters
    ----------
    rows : pyarrow.Table or pyarrow.RecordBatchReader
        The view's source in write order, as the point-in-time join gets it; of a view with aggregations what they
        came to, from `WindowIndex.to_steps`, unless `work` computes that.
    definition : FeatureView
        What to materialize.
    folder : pathlib.Path
        Where the file goes.
    sources : sequence of str
        The addresses of the versions that the rows come from; they travel with every answer.
    since : int, optional
        The earliest instant in nanoseconds that will be asked about; rows that no later lookup can find are left
        out. The whole history is kept unless given.
    files : Files, optional
        The file system.
    work : Work, optional
        What is computed of the rows, and how many at once.

    Raises
    ------
    ColumnNotFoundError
        When the source lacks a column that the view names.
    SchemaMismatchError
        When a key column is not of the entity's type.

    Examples
    --------
    >>> import datetime as dt
    >>> from foldstore.views.features.entity import Entity
    >>> carrier = Entity("carrier", keys={"carrier": "string"})
    >>> view = FeatureView("delays", entity=carrier, source="hourly", event_time="ts", features=["mean"])
    >>> table = pa.table({"carrier": ["UA"], "ts": [dt.datetime(2013, 1, 1)], "mean": [1.5]})
    >>> materialize_view(table, view, folder, sources=["hourly@1"]).num_rows
    1
    """
    work = work or Work()
    # What windows came to lies in columns of the features' names; the definition that is kept says what they are.
    needed = definition.to_plain().columns() if work.compute is None else definition.columns()
    names = rows.schema.names
    for column in needed:
        if column not in names:
            raise column_not_found(column, names, where=f"the source of feature view {definition.name!r}")
    layout = _Layout(definition, tuple(sources), since, work, folder, files or LocalFiles())
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    schema = pa.schema([rows.schema.field(name) for name in needed])
    return layout.lay_out((batch.select(needed) for batch in batches), schema)


@dataclass(frozen=True, slots=True)
class _Layout:
    """One file that is being made."""

    definition: FeatureView
    sources: tuple[str, ...]
    since: int | None
    work: Work
    folder: Path
    files: Files

    def lay_out(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> OnlineFile:
        """Lay rows out, in memory where they fit."""
        self.files.make_folder(self.folder)
        cutting = Cutting(
            hash_rows=lambda rows: hash_rows(rows, self.definition, salt_of(0)),
            weigh=self.work.weigh,
            memory=self.work.memory,
            folder=self.folder,
        )
        waiting = iter(batches)
        held, is_all = gather(waiting, cutting)
        if is_all or not self.definition.keys:  # without keys there is one entity, whose rows are not cut
            batch, num_entities = self._sort(pa.Table.from_batches([*held, *waiting], schema), None)
            return _write(batch, self.folder, self.files, num_entities)
        with ExitStack() as stack:
            ranges = put_aside(chain(_given_away(held), waiting), schema, cutting, stack)
            return self._lay_out_ranges(ranges, schema, cutting)

    def _lay_out_ranges(self, ranges: list[AsideFile], schema: pa.Schema, cutting: Cutting) -> OnlineFile:
        """Lay rows out range by range, under the first salt that will do: the order of the file is its."""
        for number in count():
            with ExitStack() as stack:
                salted = replace(cutting, hash_rows=lambda rows: hash_rows(rows, self.definition, salt_of(number)))  # noqa: B023
                own = ranges if not number else put_aside(batches_of(ranges), schema, salted, stack)
                try:
                    whole, num_entities = self._sort_ranges(read_ranges(own, salted), salt_of(number), stack)
                except SharedHashError:
                    continue
                return _write(whole, self.folder, self.files, num_entities)
        raise AssertionError

    def _sort_ranges(self, tables: Iterable[pa.Table], salt: str, stack: ExitStack) -> tuple[pa.RecordBatch, int]:
        aside, num_entities = None, 0
        for table in tables:
            batch, entities = self._sort(table, salt)
            aside = aside or stack.enter_context(AsideFile(self.folder, batch.schema))
            aside.write(pa.Table.from_batches([batch]))
            num_entities += entities
        assert aside is not None  # noqa: S101  # there was too much for memory
        return join_batches(aside, self.folder, stack), num_entities

    def _sort(self, table: pa.Table, salt: str | None) -> tuple[pa.RecordBatch, int]:
        """Return some rows as they are laid out, and of how many entities they are."""
        plain = self.definition.to_plain()
        table = table if self.work.compute is None else self.work.compute(table)
        found = sort_rows(table, plain, self.since, salt)
        header = OnlineHeader(view=self.definition, sources=self.sources, salt=found.salt, since=self.since)
        return _lay_out(table, plain, found, header), found.num_entities


def _given_away(batches: list[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Yield batches that nobody else holds, and let go of each."""
    batches.reverse()
    while batches:
        yield batches.pop()


def materialize_changes(
    table: pa.Table,
    gone: pa.Array,
    definition: FeatureView,
    folder: Path,
    *,
    sources: Sequence[str] = (),
    files: Files | None = None,
) -> OnlineFile:
    """Lay out what lies over a file: rows that are new or others, and rows that are no more.

    Parameters
    ----------
    table : pyarrow.Table
        The rows in write order, or steps; of one that is gone the features do not matter.
    gone : pyarrow.Array
        Which of them are gone; none shares its entity and event time with one that is not.
    definition, folder, sources, files
        As for `materialize_view`.
    """
    plain = definition.to_plain()
    sorted_rows = sort_rows(table, plain)
    header = OnlineHeader(view=definition, sources=tuple(sources), salt=sorted_rows.salt, since=None, changes=True)
    batch = _lay_out(table, plain, sorted_rows, header, gone)
    return _write(batch, folder, files or LocalFiles(), sorted_rows.num_entities)


def _lay_out(
    table: pa.Table, view: FeatureView, found: SortedRows, header: OnlineHeader, gone: pa.Array | None = None
) -> pa.RecordBatch:
    take = pa.array(found.rows)
    arrays: list[Any] = [pa.array(found.hashes), pa.array(found.events)]
    fields = [pa.field("key_hash", pa.uint64()), pa.field("event_time", pa.int64())]
    created = created_times(table, view, found.rows)
    if created is not None:
        arrays.append(pa.array(created))
        fields.append(pa.field("created_time", pa.int64()))
    if gone is not None:
        arrays.append(gone.take(take))
        fields.append(pa.field("gone", pa.bool_()))
    for name, key in zip(view.join_keys, found.keys, strict=True):
        arrays.append(key.take(take))
        fields.append(pa.field(name, key.type))
    for name in view.features:
        arrays.append(_one_chunk(table.column(name).take(take), name))
        fields.append(pa.field(name, table.schema.field(name).type))
    schema = pa.schema(fields, metadata={HEADER_KEY: header.encode()})
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _one_chunk(column: pa.ChunkedArray, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        if whole.num_chunks > 1:
            raise too_much_text(name)
        return whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)
    return whole


def _write(batch: pa.RecordBatch, folder: Path, files: Files, num_entities: int) -> OnlineFile:
    files.make_folder(folder)
    remove_abandoned(folder)
    with stage(folder, files) as (staged, sink):
        with pa.ipc.new_file(sink, batch.schema, options=_UNCOMPRESSED) as writer:
            writer.write_batch(batch)
        address = sink.finish()
        path = folder / f"{address}.arrow"
        if not files.link(staged, path) and hash_file(path) != address:
            files.replace(staged, path)  # what was there was damaged: these are the right bytes
    files.sync_folders([folder])
    return OnlineFile(
        path=path, address=address, num_bytes=sink.num_bytes, num_rows=batch.num_rows, num_entities=num_entities
    )

"""Reads a run of fragments: memory-mapped, verified on first touch, resolved by field id.

A `FragmentReader` serves a whole version, the rows that one commit added, or a candidate that a gate is
judging; every read path of the layers above goes through it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from threading import Lock
from typing import Final
from weakref import finalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import field_ids, narrower_types, plain_schema
from foldstore.datastore.catalog.records import ObjectRecord
from foldstore.datastore.comparison import Comparison
from foldstore.datastore.exact_cast import cast_exactly
from foldstore.datastore.manifest import ROW_ID_FIELD, Bounds, ColumnGroup, Fragment
from foldstore.datastore.memory_size import num_bytes
from foldstore.datastore.objects import OpenObject
from foldstore.datastore.selection import pick_rows
from foldstore.datastore.storage import Storage
from foldstore.datastore.zones import fold_bounds
from foldstore.errors import CorruptObjectError, UsageError, column_not_found
from foldstore.work import note_rows

_POSITION_BITS: Final = 32


class FragmentReader:
    """The rows of some fragments, in order, under one schema.

    Parameters
    ----------
    storage : Storage
        The open store.
    dataset_id : str
        The dataset that the fragments are of: fragment ids mean nothing outside of it.
    fragments : sequence of Fragment
        Which rows.
    schema : pyarrow.Schema
        A stored schema, with field ids. A field that a fragment does not have reads as null.
    where : str
        What is read, for messages.
    """

    def __init__(
        self, storage: Storage, dataset_id: str, fragments: Sequence[Fragment], schema: pa.Schema, where: str
    ) -> None:
        self._storage = storage
        self._ids = dict(zip(schema.names, field_ids(schema), strict=True))
        self.names_by_id = {field_id: name for name, field_id in self._ids.items()}
        self._narrower = narrower_types(schema)
        self._opened: dict[str, OpenObject] = {}
        self._fragments = tuple(fragments)
        self._retired = 0
        self._lock = Lock()
        self._origin: FragmentReader | None = None  # of a part: what must last as long as it does
        self.stored_schema = schema
        self.arrow_schema = plain_schema(schema)
        self.where = where
        self.dataset_id = dataset_id

    @property
    def fragments(self) -> tuple[Fragment, ...]:
        """The fragments as they are stored now; a seal puts other files in the place of theirs."""
        retired = self._storage.objects.num_retired
        if retired != self._retired:
            with self._lock:
                self._fragments = self._storage.objects.current(self.dataset_id, self._fragments)
                self._opened = {}
                self._retired = retired
        return self._fragments

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return sum(fragment.live_rows for fragment in self.fragments)

    @property
    def num_bytes(self) -> int:
        """The size of the files behind the rows."""
        return sum(opened.record.num_bytes for opened in self._open_all().values())

    @property
    def cold_bytes(self) -> int:
        """How many bytes are decoded into memory when the files are read: those that lie in the cold tier."""
        ids = list(dict.fromkeys(group.object_id for f in self.fragments for group in f.groups))
        records = self._storage.catalog.read_objects(ids).values()
        return sum(record.num_bytes for record in records if record.cold_hash is not None)

    @property
    def stored_names(self) -> list[str]:
        """The columns that at least one fragment holds; the others read as null throughout."""
        if not self.fragments:
            return list(self.arrow_schema.names)
        stored = {field_id for f in self.fragments for group in f.groups for field_id in group.fields}
        return [name for name, field_id in self._ids.items() if field_id in stored]

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as a table over the mapped files; nothing is copied.

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        CorruptObjectError
            When the bytes are not the ones that were written.
        """
        return pa.Table.from_batches(self.batches(columns), self.project(columns))

    def batches(
        self, columns: Sequence[str] | None = None, comparisons: Sequence[Comparison] = ()
    ) -> Iterator[pa.RecordBatch]:
        """Yield the mapped record batches one by one; each is verified when it is reached.

        Those in which, by the zones of their files, no row meets all of some comparisons are left out.
        """
        schema = self.project(columns)
        fragments, opened = self._open_fragments()
        self._storage.deletions.load(fragments)
        for fragment in fragments:
            likely = self._likely(fragment, comparisons) if comparisons else None
            for batch in self._live_batches(fragment, self._fragment_batches(fragment, schema, opened, likely)):
                note_rows(batch.num_rows)
                yield batch

    def batches_at(
        self, positions: NDArray[np.int64], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield copies of some rows of the one fragment there is, batch by batch; positions are ascending.

        A batch without any of them is neither verified nor read.
        """
        schema = self.project(columns)
        (fragment,), opened = self._open_fragments()
        lead, chosen = opened[fragment.groups[0].object_id], self._chosen(fragment, schema, opened)
        start, place = 0, 0
        for index, batch in enumerate(lead.batches):
            end = int(np.searchsorted(positions, start + batch.num_rows))
            if end > place:
                rows = pa.array(positions[place:end] - start)
                yield self._one_batch(chosen, schema, index, batch.num_rows).take(rows)
            start, place = start + batch.num_rows, end

    def read_batch(self, fragment: Fragment, index: int, schema: pa.Schema) -> pa.RecordBatch:
        """Return one record batch of a fragment's files, mapped and verified, with the rows that were deleted.

        Parameters
        ----------
        fragment : Fragment
            One of `fragments`.
        index : int
            Which of its record batches.
        schema : pyarrow.Schema
            Which columns, as `project` gives them.
        """
        opened = self._open_all()
        rows = opened[fragment.groups[0].object_id].batches[index].num_rows
        return self._one_batch(self._chosen(fragment, schema, opened), schema, index, rows)

    def likely_batches(self, fragment: Fragment, comparisons: Sequence[Comparison]) -> list[bool] | None:
        """Say which record batches of a fragment may hold a row that meets all comparisons; None for each of them."""
        return self._likely(fragment, comparisons) if comparisons else None

    def with_deleted(self, fragments: Sequence[Fragment] | None = None) -> "FragmentReader":
        """Return a reader of all rows of the files (of some fragments), those that were deleted too."""
        kept = self.fragments if fragments is None else fragments
        return self.restricted([replace(fragment, deleted=None) for fragment in kept])

    def opened(self) -> "FragmentReader":
        """Map every file and fetch the bitmaps of deleted rows now, after one question to the catalog for each.

        Readers of parts that are made then ask no more.
        """
        self._open_all()
        self._storage.deletions.load(self.fragments)
        return self

    def live(self, fragment: Fragment) -> NDArray[np.bool_]:
        """Return which rows of a fragment's files are there to read."""
        gone = self._storage.deletions.gone(fragment)
        return np.ones(fragment.num_rows, np.bool_) if gone is None else ~gone

    def row_ids(self) -> NDArray[np.uint64]:
        """Return the row id of each row, in order.

        A row keeps its id for life: that of the fragment it was written to in the upper half, its position there in
        the lower. Rows that a compaction moved bring theirs along.
        """
        return np.concatenate([np.empty(0, np.uint64), *map(self.row_ids_of, self.fragments)])

    def places(self) -> NDArray[np.uint64]:
        """Return where each row lies: the id of its fragment in the upper half, its position there in the lower.

        It is the row's id, too, unless a compaction has moved the row.
        """
        parts = (_own_ids(fragment)[self.live(fragment)] for fragment in self.fragments)
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def row_ids_of(self, fragment: Fragment) -> NDArray[np.uint64]:
        """Return the row ids of one fragment's rows, in order."""
        ids = self._moved_ids(fragment) if fragment.moved else _own_ids(fragment)
        return ids if fragment.deleted is None else ids[self.live(fragment)]

    def batch_row_ids(self, fragment: Fragment, index: int, start: int) -> NDArray[np.uint64]:
        """Return the row ids of one record batch of a fragment's files, whose first row is at a position there."""
        if fragment.moved:
            return self._moved_batch_ids(fragment, index)
        first = (fragment.id << _POSITION_BITS) + start
        return np.uint64(first) + np.arange(self._lead(fragment).batches[index].num_rows, dtype=np.uint64)

    def _lead(self, fragment: Fragment) -> OpenObject:
        return self.open_group(fragment.groups[0].object_id)

    def _moved_ids(self, fragment: Fragment) -> NDArray[np.uint64]:
        parts = [self._moved_batch_ids(fragment, index) for index in range(len(self._lead(fragment).batches))]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def _moved_batch_ids(self, fragment: Fragment, index: int) -> NDArray[np.uint64]:
        group = next(group for group in fragment.groups if ROW_ID_FIELD in group.fields)
        place = self.open_group(group.object_id), group.fields.index(ROW_ID_FIELD)
        ids: NDArray[np.uint64] = _verified(place, index, pa.field("row id", pa.uint64())).to_numpy()
        return ids

    def _live_batches(
        self, fragment: Fragment, batches: Iterator[tuple[int, pa.RecordBatch]]
    ) -> Iterator[pa.RecordBatch]:
        """Yield what is left of batches, each of which comes with the position of its first row."""
        live = self.live(fragment) if fragment.deleted is not None else None
        for start, batch in batches:
            if live is None:
                yield batch
            else:
                yield from pick_rows(batch, np.flatnonzero(live[start : start + batch.num_rows]))

    def _likely(self, fragment: Fragment, comparisons: Sequence[Comparison]) -> list[bool] | None:
        """Return which record batches of a fragment may hold a row that meets all comparisons; None for each."""
        places = {field_id: (group, n) for group in fragment.groups for n, field_id in enumerate(group.fields)}
        masks = []
        for comparison in comparisons:
            group, position = places.get(self._ids[comparison.column], (None, 0))
            opened = self.open_group(group.object_id) if group is not None else None
            # To read the zones of a file of one batch takes longer than to look at its rows.
            if opened is not None and len(opened.batches) > 1:
                zones = opened.zones.column(str(position)).combine_chunks()
                masks.append(comparison.may_hold(zones.field("min"), zones.field("max"), zones.field("nan")))
        return reduce(pc.and_, masks).to_pylist() if masks else None

    def restricted(self, fragments: Sequence[Fragment]) -> "FragmentReader":
        """Return a reader of some of these fragments."""
        part = FragmentReader(self._storage, self.dataset_id, fragments, self.stored_schema, self.where)
        part._origin = self
        known = self._opened if self.fragments else {}
        needed = {group.object_id for fragment in fragments for group in fragment.groups} if known else set()
        if needed and needed <= known.keys():
            part._opened = {object_id: known[object_id] for object_id in needed}
            part._retired = self._retired
        return part

    def without(self, columns: Collection[str] = (), rows: NDArray[np.bool_] | None = None) -> "FragmentReader":
        """Return a reader that does not have some columns and rows, for a guard that hides them.

        Parameters
        ----------
        columns : collection of str
            Which columns.
        rows : array of bool, optional
            Which rows, one entry for each that this reader has, in order.
        """
        schema = pa.schema([field for field in self.stored_schema if field.name not in columns])
        fragments = self.fragments if rows is None else self._hide(rows)
        narrowed = FragmentReader(self._storage, self.dataset_id, fragments, schema, self.where)
        if rows is not None:  # its bitmaps are in memory alone, for as long as somebody reads by them
            names = [fragment.deleted.hash for fragment in fragments if fragment.deleted is not None]
            finalize(narrowed, self._storage.deletions.forget, names)
        return narrowed

    def _hide(self, rows: NDArray[np.bool_]) -> list[Fragment]:
        """Return the fragments with further rows that count as deleted."""
        kept, start = [], 0
        for fragment in self.fragments:
            live = np.flatnonzero(self.live(fragment))
            hidden = live[rows[start : start + len(live)]]
            start += len(live)
            if len(hidden) == len(live):
                continue
            gone = ~self.live(fragment)
            gone[hidden] = True
            deleted = self._storage.deletions.keep(gone)
            kept.append(replace(fragment, deleted=deleted))
        return kept

    def column_sizes(self, columns: Sequence[str]) -> dict[str, int]:
        """Return the bytes that columns take in the mapped files; no value is read for it."""
        sizes = dict.fromkeys(self.project(columns).names, 0)
        wanted = {self._ids[name]: name for name in sizes}
        for fragment in self.fragments:
            for group in fragment.groups:
                batches = self.open_group(group.object_id).batches
                for position, field_id in enumerate(group.fields):
                    if field_id in wanted:
                        sizes[wanted[field_id]] += sum(num_bytes(batch.column(position)) for batch in batches)
        return sizes

    def open_group(self, object_id: str) -> OpenObject:
        """Return a mapped file of these fragments."""
        return self._open_all()[object_id]

    def widened(self, group: ColumnGroup) -> dict[int, str]:
        """Return the columns of a file that read as wider types than they lie there, by position, with these types."""
        if not self._narrower:
            return {}
        stored = self.open_group(group.object_id).batches[0].schema
        wider = {}
        for position, field_id in enumerate(group.fields):
            name = self.names_by_id.get(field_id)
            if name in self._narrower and stored.field(position).type != self.arrow_schema.field(name).type:
                wider[position] = str(self.arrow_schema.field(name).type)
        return wider

    def bounds(self, fragment: Fragment, columns: Sequence[str]) -> tuple[Bounds, ...]:
        """Return what the zones say of columns of a fragment, for its manifest entry."""
        found = []
        for field_id in (self._ids[name] for name in columns if name in self._ids):
            for group in fragment.groups:
                if field_id in group.fields:
                    zones = self.open_group(group.object_id).zones
                    ends = fold_bounds(zones, group.fields.index(field_id))
                    found += [(field_id, *ends)] if ends is not None else []
        return tuple(found)

    def field_id(self, column: str) -> int:
        """Return the field id of a column."""
        return int(self._ids[column])

    def project(self, columns: Sequence[str] | None) -> pa.Schema:
        """Return the schema of some columns (all unless given).

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        """
        if columns is None:
            return self.arrow_schema
        if isinstance(columns, str) or not columns:
            raise UsageError(f"columns={columns!r} names no columns.", hint='Write columns=["carrier", "dep_delay"].')
        for name in columns:
            if not isinstance(name, str):
                raise UsageError(f"{name!r} is not the name of a column.", hint="Columns are named by text.")
            if name not in self._ids:
                raise column_not_found(name, self.arrow_schema.names, where=self.where)
        return pa.schema([self.arrow_schema.field(name) for name in columns])

    def _open_all(self) -> dict[str, OpenObject]:
        return self._open_fragments()[1]

    def _open_fragments(self) -> tuple[tuple[Fragment, ...], dict[str, OpenObject]]:
        """Return the fragments and their mapped files; the files of both are the same, whatever others do meanwhile."""
        fragments = self.fragments
        with self._lock:
            opened = self._opened if fragments is self._fragments else {}
        if not opened and fragments:
            opened = self._open_files(fragments)
            with self._lock:
                if fragments is self._fragments:
                    self._opened = opened
        return fragments, opened

    def _open_files(self, fragments: Sequence[Fragment]) -> dict[str, OpenObject]:
        ids = list(dict.fromkeys(group.object_id for f in fragments for group in f.groups))
        records = self._storage.catalog.read_objects(ids)
        opened = {}
        for object_id in ids:
            if object_id not in records:
                raise CorruptObjectError(
                    f"{self.where} needs object {object_id}, which the catalog does not know.",
                    hint="Open the version anew: another process may have sealed cells of it meanwhile.",
                    object=object_id,
                )
            opened[object_id] = self._open_one(records[object_id])
        return opened

    def _open_one(self, record: ObjectRecord) -> OpenObject:
        try:
            return self._storage.objects.open(record)
        except CorruptObjectError:
            # It may have been moved to the cold tier, or back, since the catalog was asked.
            now = self._storage.catalog.read_objects([record.id]).get(record.id, record)
            if now == record:
                raise
            return self._storage.objects.open(now)

    def _fragment_batches(
        self,
        fragment: Fragment,
        schema: pa.Schema,
        opened: Mapping[str, OpenObject],
        likely: Sequence[bool] | None = None,
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        lead, chosen = opened[fragment.groups[0].object_id], self._chosen(fragment, schema, opened)
        start = 0
        for index, batch in enumerate(lead.batches):
            if likely is None or likely[index]:
                yield start, self._one_batch(chosen, schema, index, batch.num_rows)
            start += batch.num_rows

    def _chosen(
        self, fragment: Fragment, schema: pa.Schema, opened: Mapping[str, OpenObject]
    ) -> list[tuple[OpenObject, int] | None]:
        """Return in which file, and where there, each column of a fragment lies; None for one that it does not have."""
        places = {
            field_id: (opened[group.object_id], position)
            for group in fragment.groups
            for position, field_id in enumerate(group.fields)
        }
        return [places.get(self._ids[name]) for name in schema.names]

    def _one_batch(
        self, chosen: Sequence[tuple[OpenObject, int] | None], schema: pa.Schema, index: int, num_rows: int
    ) -> pa.RecordBatch:
        columns = [
            null_column(field.type, num_rows)
            if place is None
            else _verified(place, index, field, self._narrower.get(field.name, ()))
            for field, place in zip(schema, chosen, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _own_ids(fragment: Fragment) -> NDArray[np.uint64]:
    return np.uint64(fragment.id << _POSITION_BITS) + np.arange(fragment.num_rows, dtype=np.uint64)


def _verified(place: tuple[OpenObject, int], batch: int, field: pa.Field, narrower: Sequence[str] = ()) -> pa.Array:
    opened, position = place
    column = opened.batches[batch].column(position)
    if column.type != field.type and str(column.type) in narrower:  # written before the column was widened
        opened.verify(batch, (position,))
        return cast_exactly(column, field.type, name=field.name)
    if column.type != field.type:  # the file's own schema was damaged: its bytes would read as other values
        raise CorruptObjectError(
            f"Column {field.name!r} of object {opened.record.id} reads as {column.type}, not {field.type}.",
            hint="Restore the object from a backup; `foldstore verify` lists every such file.",
            object=opened.record.id,
            column=field.name,
        )
    opened.verify(batch, (position,))
    return column


def null_column(arrow_type: pa.DataType, num_rows: int) -> pa.Array:
    """Return a column of nulls; those of one type and length share their memory."""
    return _nulls(arrow_type, num_rows)


@lru_cache(maxsize=256)
def _nulls(arrow_type: pa.DataType, num_rows: int) -> pa.Array:
    return pa.nulls(num_rows, arrow_type)

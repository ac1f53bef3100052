"""Writes a feature view into one file that many processes map: content-addressed, fsync'ed, read-only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.files import Files, LocalFiles
from foldstore.errors import UsageError, column_not_found
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import key_column
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.layout import HEADER_KEY, OnlineHeader
from foldstore.views.online.staged_files import remove_abandoned, stage
from foldstore.views.online.store import UNKNOWN_TIME
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.time_column import to_nanoseconds

_Words = NDArray[np.uint64]
_Integers = NDArray[np.int64]

_UNCOMPRESSED: Final = pa.ipc.IpcWriteOptions(compression=None)
_PACKED_LIMIT: Final = 2**63


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


def materialize_view(
    table: pa.Table,
    definition: FeatureView,
    folder: Path,
    *,
    sources: Sequence[str] = (),
    since: int | None = None,
    files: Files | None = None,
) -> OnlineFile:
    """Lay a feature view out for lookups.

    The same rows in the same order make the same bytes, and so the same file.

    Parameters
    ----------
    table : pyarrow.Table
        The view's source in write order, as the point-in-time join gets it; of a view with aggregations what they
        came to, from `WindowIndex.to_steps`.
    definition : FeatureView
        What to materialize.
    folder : pathlib.Path
        Where the file goes.
    sources : sequence of str
        The addresses of the versions that the table comes from; they travel with every answer.
    since : int, optional
        The earliest instant in nanoseconds that will be asked about; rows that no later lookup can find are left
        out. The whole history is kept unless given.
    files : Files, optional
        The file system.

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
    # What windows came to lies in columns of the features' names; the definition that is kept says what they are.
    plain = definition.to_plain()
    for column in plain.columns():
        if column not in table.column_names:
            raise column_not_found(column, table.column_names, where=f"the source of feature view {definition.name!r}")
    sorted_rows = _sort(table, plain, since)
    header = OnlineHeader(view=definition, sources=tuple(sources), salt=sorted_rows.salt, since=since)
    batch = _lay_out(table, plain, sorted_rows, header)
    return _write(batch, folder, files or LocalFiles(), sorted_rows.num_entities)


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
        The rows in write order; of one that is gone the features do not matter.
    gone : pyarrow.Array
        Which of them are gone; none shares its entity and event time with one that is not.
    definition, folder, sources, files
        As for `materialize_view`.
    """
    sorted_rows = _sort(table, definition, None)
    header = OnlineHeader(view=definition, sources=tuple(sources), salt=sorted_rows.salt, since=None, changes=True)
    batch = _lay_out(table, definition, sorted_rows, header, gone)
    return _write(batch, folder, files or LocalFiles(), sorted_rows.num_entities)


@dataclass(frozen=True, slots=True)
class _SortedRows:
    """Which rows of the source go into the file, in its order."""

    rows: _Integers
    hashes: _Words
    events: _Integers
    keys: tuple[pa.Array, ...]
    salt: str
    num_entities: int


def _sort(table: pa.Table, view: FeatureView, since: int | None) -> _SortedRows:
    keys = tuple(key_column(table.column(name), name, kind) for name, kind in view.keys.items())
    events = to_nanoseconds(table.column(view.event_time), where=f"Event time {view.event_time!r}")
    usable = np.ones(table.num_rows, dtype=np.bool_) if events.nulls is None else ~events.nulls
    for key in keys:
        if key.null_count:
            usable &= key.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(usable)
    salt, hashes, order = _order_by_key(keys, rows) if keys else _all_of_one(rows)
    rows = rows[order]
    entity = np.cumsum(np.concatenate([[0], hashes[1:] != hashes[:-1]])) if len(rows) else rows
    if len(rows) and int(entity[-1]) + 1 < len(rows):
        rows = rows[_order_by_time(entity, events.values[rows], _created(table, view, rows), rows)]
    keep = _kept(entity, events.values[rows], since)
    return _SortedRows(
        rows[keep],
        hashes[keep],
        events.values[rows[keep]],
        keys,
        salt,
        int(entity[-1]) + 1 if len(rows) else 0,
    )


def _order_by_key(keys: Sequence[pa.Array], rows: _Integers) -> tuple[str, _Words, _Integers]:
    """Hash the keys and sort by the hashes, with the first salt under which no two keys share one."""
    number = 0
    while True:
        salt = f"online/{number}"
        hashes = hash_keys(list(keys), salt)[rows]
        order = np.argsort(hashes)
        hashes = hashes[order]
        if not _collide(keys, rows[order], hashes):
            return salt, hashes, order
        number += 1


def _all_of_one(rows: _Integers) -> tuple[str, _Words, _Integers]:
    """Give the rows of a view without keys the one hash that a lookup without keys has."""
    salt = "online/0"
    return salt, np.full(len(rows), KeyHasher({}, salt).hash_one(()), np.uint64), np.arange(len(rows))


def _collide(keys: Sequence[pa.Array], rows: _Integers, hashes: _Words) -> bool:
    """Say whether neighbours of one hash have different keys."""
    same = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not len(same):
        return False
    before, after = pa.array(rows[same]), pa.array(rows[same + 1])
    return any(pc.any(pc.not_equal(key.take(before), key.take(after))).as_py() for key in keys)


def _created(table: pa.Table, view: FeatureView, rows: _Integers) -> _Integers | None:
    if view.created_time is None:
        return None
    known = to_nanoseconds(table.column(view.created_time), where=f"Created time {view.created_time!r}")
    values = known.values if known.nulls is None else np.where(known.nulls, UNKNOWN_TIME, known.values)
    return values[rows]


def _order_by_time(entity: _Integers, events: _Integers, created: _Integers | None, rows: _Integers) -> _Integers:
    """Sort the rows of each entity by event time, then created time, then write order."""
    low = int(events.min())
    width = int(events.max()) - low + 1
    if (int(entity[-1]) + 1) * width >= _PACKED_LIMIT:
        ranks = np.unique(events)
        offsets, width = np.searchsorted(ranks, events), len(ranks)
    else:
        offsets = events - low
    packed = entity * width + offsets
    order = np.argsort(packed)
    packed = packed[order]
    tied = np.zeros(len(packed), dtype=np.bool_)
    tied[1:] = packed[1:] == packed[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        # argsort is not stable, and need not be: only equal places are put in order here.
        among = order[places]
        later = rows[among] if created is None else created[among]
        order[places] = among[np.lexsort((rows[among], later, packed[places]))]
    return order


def _kept(entity: _Integers, events: _Integers, since: int | None) -> NDArray[np.bool_]:
    """Say which rows a lookup can find: the last of each entity and event time, from the one in force at `since` on."""
    keep = np.ones(len(events), dtype=np.bool_)
    same_entity = entity[1:] == entity[:-1]
    keep[:-1] = ~(same_entity & (events[1:] == events[:-1]))
    if since is not None:
        keep[:-1] &= ~(same_entity & (events[1:] <= since))
    return keep


def _lay_out(
    table: pa.Table, view: FeatureView, found: _SortedRows, header: OnlineHeader, gone: pa.Array | None = None
) -> pa.RecordBatch:
    take = pa.array(found.rows)
    arrays: list[Any] = [pa.array(found.hashes), pa.array(found.events)]
    fields = [pa.field("key_hash", pa.uint64()), pa.field("event_time", pa.int64())]
    created = _created(table, view, found.rows)
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
            raise UsageError(
                f"Feature {name!r} holds more than 2 GB of text.",
                hint="Store it as large_string, or give since= to keep less history.",
                column=name,
            )
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
        files.link(staged, path)
    files.sync_folders([folder])
    return OnlineFile(
        path=path, address=address, num_bytes=sink.num_bytes, num_rows=batch.num_rows, num_entities=num_entities
    )

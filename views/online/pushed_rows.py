"""The pushed rows of one feature view, read for a lookup and written by a push."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import pyarrow as pa
import xxhash
from blake3 import blake3

from foldstore.datastore.canonical import canonical_json
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.cells import FeatureCells, read_cells
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.row_codec import RowCodec
from foldstore.views.online.store import (
    FoundPushed,
    NewRow,
    OnlineStore,
    PushedQuestion,
    StoredRow,
    above,
    pack_times,
    unpack_order,
)

_KIND_DELETE: Final = 0
_KIND_VALUES: Final = 1
_HEAD: Final = struct.Struct("<B8sI")
_NO_SCHEMA: Final = b"\x00" * 8

Key = tuple[Any, ...]
Latest = Callable[[Key], tuple[int, int] | None]


class OutdatedError(Exception):
    """What was materialized before is served no more: whoever holds it opens what is materialized now."""


class PushedRow(NamedTuple):
    """A row that was pushed; `schema` is empty for a delete."""

    event: int
    created: int
    write: int
    schema: bytes
    value: bytes

    @property
    def is_delete(self) -> bool:
        """Whether it says that there is nothing from then on."""
        return not self.schema


@dataclass(frozen=True, slots=True)
class PushedBatch:
    """Pushed rows as a layer that values are taken from."""

    table: pa.Table
    cells: FeatureCells

    @classmethod
    def of(cls, table: pa.Table) -> "PushedBatch":
        """Make one of a table."""
        whole = table.combine_chunks()
        return cls(whole, FeatureCells({name: read_cells(_whole(whole.column(name))) for name in whole.column_names}))

    def column(self, feature: str) -> pa.Array:
        """Return a feature's values."""
        return _whole(self.table.column(feature))


@dataclass(frozen=True)
class PushedRows:
    """The rows of one view in an online store.

    Attributes
    ----------
    store : OnlineStore
        Where they are.
    view : FeatureView
        Its definition: another definition has other rows.
    schema : pyarrow.Schema
        The types of its features as they are served.
    known : int
        The newest write that the version under the rows knew of; what is older counts only where it is newer than
        all that the version has.
    """

    store: OnlineStore
    view: FeatureView
    schema: pa.Schema
    known: int = 0
    _codecs: dict[bytes, RowCodec] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def view_id(self) -> bytes:
        """What the store calls the view."""
        return identify(self.view)

    @cached_property
    def _hasher(self) -> KeyHasher:
        return KeyHasher(self.view.keys, "")

    def may_have_any(self) -> bool:
        """Say whether there may be rows.

        Raises
        ------
        OutdatedError
            When a newer version has caught up with rows, and they were dropped.
        """
        return self.check(self.store.state(self.view_id))

    def check(self, state: tuple[bool, int]) -> bool:
        """Say what `may_have_any` does of a state that the store gave."""
        may, trimmed = state
        if trimmed > self.known:
            raise OutdatedError
        return may

    def question(self, keys: Sequence[Key], at: int) -> PushedQuestion:
        """Return what the store is asked of checked keys, for `choose`."""
        return PushedQuestion(self.view_id, [digest(self._hasher.encode(key)) for key in keys], above(at))

    def choose(self, keys: Sequence[Key], found: FoundPushed, latest: Latest) -> list[PushedRow | None]:
        """Return of each checked key the pushed row that counts, if any does, of what the store found."""
        self.check(found.state)  # rows may have been dropped meanwhile
        return [
            None if row is None else self.first_that_counts(row, key, self._hasher.encode(key), latest)
            for row, key in zip(found.rows, keys, strict=True)
        ]

    def first_that_counts(self, row: StoredRow, key: Key, text: bytes, latest: Latest) -> PushedRow | None:
        """Return of an entity's rows the first that counts, from one of them on downwards."""
        next_row: StoredRow | None = row
        newest: tuple[int, int] | None = None
        while next_row is not None:
            read = _read(next_row, text)
            if read is None:
                return None
            if read.write > self.known:
                return read
            if not self.view.aggregations:  # of windows the version has every step that counts
                newest = newest or latest(key)
                if newest is None or (read.event, read.created) > newest:
                    return read
            next_row = self.store.find(self.view_id, [next_row.entity], next_row.order)[0]
        return None

    def batch(self, rows: Sequence[PushedRow]) -> PushedBatch:
        """Return rows with values as a layer, in their order."""
        return PushedBatch.of(self.table(rows))

    def table(self, rows: Sequence[PushedRow]) -> pa.Table:
        """Return rows with values as a table, in their order."""
        return pa.concat_tables([self._table(row) for row in rows])

    def _table(self, row: PushedRow) -> pa.Table:
        codec = self._codecs.get(row.schema)
        if codec is None:
            text = self.store.document(row.schema)
            schema = self.schema if text is None else pa.ipc.read_schema(pa.py_buffer(text))
            codec = self._codecs[row.schema] = RowCodec(schema)
        table = codec.table([row.value])
        return table if table.schema.equals(self.schema) else table.cast(self.schema)

    def write(self, keys: Sequence[Key], times: Sequence[tuple[int, int]], table: pa.Table | None) -> int:
        """Keep rows, all or none; without a table the entities are deleted. Return the number of the write."""
        if table is None:
            values, name, documents = [b""] * len(keys), _NO_SCHEMA, {}
        else:
            values = RowCodec(self.schema).encode(table)
            text = self.schema.serialize().to_pybytes()
            name = blake3(text).digest(8)
            documents = {name: text}
        kind = _KIND_DELETE if table is None else _KIND_VALUES
        rows = []
        for key, (event, created), value in zip(keys, times, values, strict=True):
            encoded = self._hasher.encode(key)
            head = _HEAD.pack(kind, name, len(encoded))
            rows.append(NewRow(digest(encoded), pack_times(event, created), head + encoded + value))
        return self.store.write(self.view_id, rows, documents)


def identify(view: FeatureView) -> bytes:
    """Return eight bytes that stand for a definition: the same features of the same rows, however long they count."""
    whole = view.to_dict()
    kept = {name: whole[name] for name in ("name", "source", "features")} | {"keys": list(view.keys.items())}
    if view.aggregations:
        kept |= {name: whole[name] for name in ("event_time", "created_time", "aggregations")}
    return blake3(canonical_json(kept).encode()).digest(8)


def digest(key: bytes) -> bytes:
    """Return 16 bytes that stand for an encoded key."""
    return xxhash.xxh3_128_digest(key)


def _read(row: StoredRow, key: bytes) -> PushedRow | None:
    """Return a stored row, or None when another key has the same digest."""
    kind, schema, size = _HEAD.unpack_from(row.value)
    end = _HEAD.size + size
    if row.value[_HEAD.size : end] != key:
        return None
    event, created, write = unpack_order(row.order)
    return PushedRow(event, created, write, b"" if kind == _KIND_DELETE else schema, row.value[end:])


def is_delete(row: StoredRow) -> bool:
    """Say whether a stored row only says that there is nothing from then on."""
    return row.value[0] == _KIND_DELETE


def read_key_of(row: StoredRow) -> bytes:
    """Return the encoded key of a stored row."""
    _, _, size = _HEAD.unpack_from(row.value)
    return row.value[_HEAD.size : _HEAD.size + size]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return whole.chunk(0) if whole.num_chunks else pa.array([], whole.type)
    return whole

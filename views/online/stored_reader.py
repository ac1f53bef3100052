"""A feature view served from an online store alone, by a host that does not see the files of the store's folder.

The store has the rows of the very files, so that answers are what `LayeredReader` gives, to the bit: of an entity's
rows in all files and of what was pushed the one with the greatest event time, the upper one where two have the same.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import pyarrow as pa
from blake3 import blake3

from foldstore.errors import StoreError
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.cells import FeatureCells
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.layout import OnlineHeader, check_layout, decode_header
from foldstore.views.online.pushed_rows import OutdatedError, PushedBatch, PushedRow, PushedRows, digest, identify
from foldstore.views.online.reader import NOWHERE, FoundMany, FoundRow, OnlineReader, RowLookup, read_key, read_one
from foldstore.views.online.row_codec import RowCodec
from foldstore.views.online.status import FeatureStatus
from foldstore.views.online.store import (
    BaseRow,
    BaseStore,
    FoundOver,
    OnlineStore,
    OverQuestion,
    StoredRow,
    above,
    pack_times,
    unpack_times,
)

_PRESENT, _NOT_FOUND, _EXPIRED = FeatureStatus.PRESENT, FeatureStatus.NOT_FOUND, FeatureStatus.OUTSIDE_MAX_AGE
_AT_ONCE: Final = 5_000
_HEAD: Final = struct.Struct("<?I")
_ROWS: Final = b"foldstore.rows"
_BYTES: Final = b"foldstore.bytes"
_END: Final = 2**63 - 1
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a store says of the file whose rows it has.

    Attributes
    ----------
    id : bytes
        What the store calls it.
    header : OnlineHeader
        The file's own.
    schema : pyarrow.Schema
        The features and their types.
    num_rows, num_bytes : int
        How large the file is.
    """

    id: bytes
    header: OnlineHeader
    schema: pa.Schema
    num_rows: int
    num_bytes: int


class _Row(NamedTuple):
    """A row of a file."""

    event: int
    created: int
    gone: bool
    value: bytes


def copy_file(file: OnlineReader, base: BaseStore) -> bool:
    """Copy a file's rows into a store, a part at a time, unless they are there; say whether any was copied."""
    about = file.whole_schema.with_metadata(
        {
            **(file.whole_schema.metadata or {}),
            _ROWS: b"%d" % file.num_rows,
            _BYTES: b"%d" % file.num_bytes,
        }
    )
    hasher, codec = KeyHasher(file.view.keys, ""), RowCodec(file.schema)

    def read_part(part: int) -> list[BaseRow]:
        rows = file.read_rows(part * _AT_ONCE, _AT_ONCE)
        values = codec.encode(rows.features)
        made = []
        for key, event, created, gone, alone, value in zip(
            rows.keys, rows.events, rows.created, rows.gone, rows.alone, values, strict=True
        ):
            encoded = hasher.encode(key)
            head = _HEAD.pack(gone, len(encoded))
            made.append(BaseRow(digest(encoded), pack_times(event, created), head + encoded + value, alone))
        return made

    parts = -(-file.num_rows // _AT_ONCE)
    return base.put(file_id(file.address), about.serialize().to_pybytes(), parts, read_part)


def file_id(address: str) -> bytes:
    """Return eight bytes that stand for a file's address."""
    return blake3(address.encode()).digest(8)


def find_stored_file(base: BaseStore, address: str) -> StoredFile:
    """Read what a store says of a file.

    Raises
    ------
    StoreError
        When it does not have the file.
    """
    where = f"File {address!r} of the online store"
    text = base.about(file_id(address))
    if text is None:
        raise StoreError(
            "What is materialized is neither in the store's folder nor in the online store.",
            hint="Materialize the service again, where the folder is.",
            code="online-rows-missing",
        )
    schema = pa.ipc.read_schema(pa.py_buffer(text))
    header = decode_header(schema.metadata, where)
    check_layout(schema, header, where)
    first = header.first_key + len(header.view.keys)
    features = pa.schema(list(schema)[first:])
    return StoredFile(file_id(address), header, features, int(schema.metadata[_ROWS]), int(schema.metadata[_BYTES]))


class Asked(NamedTuple):
    """What a lookup asks: the checked keys in their order, how each of them is written, when, and the question."""

    checked: Sequence[Key | None]
    texts: Mapping[Key, bytes]
    at: int
    question: OverQuestion


@dataclass(frozen=True)
class StoredReader:
    """Files over one another and pushed rows over them all, each of them in an online store.

    Attributes
    ----------
    store : OnlineStore
        Where the rows are.
    files : tuple of StoredFile
        The version's first, then the changes, oldest first.
    pushed : PushedRows or None
        What was pushed.
    """

    store: OnlineStore
    files: tuple[StoredFile, ...]
    pushed: PushedRows | None = None

    @property
    def view(self) -> FeatureView:
        """The definition."""
        return self.files[0].header.view

    @property
    def sources(self) -> tuple[str, ...]:
        """The addresses of the versions that the rows come from."""
        return self.files[-1].header.sources

    @property
    def schema(self) -> pa.Schema:
        """The features and their types."""
        return self.files[0].schema

    @property
    def num_rows(self) -> int:
        """How many rows the files have."""
        return sum(file.num_rows for file in self.files)

    @property
    def num_bytes(self) -> int:
        """How large the files are."""
        return sum(file.num_bytes for file in self.files)

    @property
    def num_changes(self) -> int:
        """How many files lie over the first one."""
        return len(self.files) - 1

    @property
    def cells(self) -> FeatureCells:
        """Each feature's values in a batch without any."""
        return self._batch([]).cells

    def column(self, feature: str) -> pa.Array:
        """Return a feature's values in a batch without any."""
        return self._batch([]).column(feature)

    def over(self, pushed: PushedRows) -> "StoredReader":
        """Return the same files below what was pushed."""
        return StoredReader(self.store, self.files, pushed)

    def latest(self, key: Key) -> tuple[int, int] | None:
        """Return the event and created time of the newest row that the files have of a checked key."""
        text = self._hasher.encode(key)
        found = self._newest(text, self._ask([digest(text)], _END), 0)
        return None if found is None else (found.event, found.created)

    def search(self, keys: Sequence[Sequence[Any]], at: int, count: int | None = None) -> FoundMany:
        """Look several entities up, in their order; one question to the store, as a rule."""
        asked = self.ask(keys, at, count)
        return self.answer(asked, self._base.find_over(*asked.question))

    def ask(self, keys: Sequence[Sequence[Any]], at: int, count: int | None = None) -> "Asked":
        """Return the question of a lookup, for `answer`."""
        self.files[0].header.check_reach(at)
        checked = self._hasher.check_columns(keys, count)
        texts = {key: self._hasher.encode(key) for key in checked if key is not None}
        return Asked(checked, texts, at, self._question([digest(text) for text in texts.values()], at))

    def answer(self, asked: "Asked", over: FoundOver) -> FoundMany:
        """Return what a lookup finds, from what the store answered."""
        if not over.complete:
            raise OutdatedError
        if self.pushed is not None:
            self.pushed.check(over.state)
        texts = asked.texts.items()
        known = {key: self._choose(key, text, over, place) for place, (key, text) in enumerate(texts)}
        return self._answer([None if key is None else known[key] for key in asked.checked], asked.at)

    def prepare_row(self, columns: Sequence[str], features: Sequence[str]) -> RowLookup:
        """Return a lookup of the values of one entity, by the named entries of a mapping."""

        def get(entity: Mapping[str, Any], at: int) -> FoundRow:
            found = self.search([[read_key(entity, column)] for column in columns], at, count=1)
            return read_one(self, found, features)

        return get

    @cached_property
    def _hasher(self) -> KeyHasher:
        return KeyHasher(self.view.keys, "")

    @cached_property
    def _codec(self) -> RowCodec:
        return RowCodec(self.schema)

    @cached_property
    def _ids(self) -> list[bytes]:
        return [file.id for file in self.files]

    @cached_property
    def _view_id(self) -> bytes:
        return identify(self.view) if self.pushed is None else self.pushed.view_id

    @property
    def _base(self) -> BaseStore:
        assert self.store.base is not None  # noqa: S101  # the files were found in it
        return self.store.base

    def _question(self, entities: Sequence[bytes], at: int) -> OverQuestion:
        return OverQuestion(self._ids, self._view_id, entities, above(at))

    def _ask(self, entities: Sequence[bytes], at: int) -> FoundOver:
        over = self._base.find_over(*self._question(entities, at))
        if not over.complete:
            raise OutdatedError
        return over

    def _newest(self, text: bytes, over: FoundOver, place: int) -> _Row | None:
        """Return the row that counts of what the files have of an entity, whatever its age."""
        while True:
            best: _Row | None = None
            for rows in over.rows:
                row = _read(rows[place], text)
                if row is not None and (best is None or row.event >= best.event):
                    best = row
            if best is None or not best.gone:
                return best
            if best.event == -_END - 1:
                return None
            over, place = self._ask([digest(text)], best.event - 1), 0

    def _choose(self, key: Key, text: bytes, over: FoundOver, place: int) -> _Row | PushedRow | None:
        found, stored = self._newest(text, over, place), over.pushed[place]
        if self.pushed is None or stored is None:
            return found
        pushed = self.pushed.first_that_counts(stored, key, text, self.latest)
        if pushed is None or (found is not None and (pushed.event, pushed.created) < (found.event, found.created)):
            return found
        return pushed

    def _answer(self, found: Sequence[_Row | PushedRow | None], at: int) -> FoundMany:
        ttl = self.view.ttl_nanoseconds
        rows, times, statuses, values = [], [], [], list[_Row | PushedRow]()
        for each in found:
            if each is None or (isinstance(each, PushedRow) and each.is_delete):
                event, status = None, _NOT_FOUND
            else:
                event, status = each.event, _EXPIRED if ttl and each.event < at - ttl else _PRESENT
            rows.append(len(values) if status is _PRESENT else NOWHERE)
            if each is not None and status is _PRESENT:
                values.append(each)
            times.append(event)
            statuses.append(status)
        pushed = frozenset(place for place, each in enumerate(found) if isinstance(each, PushedRow))
        return FoundMany(rows, times, statuses, (self._batch(values),), None, pushed)

    def _batch(self, rows: Sequence[_Row | PushedRow]) -> PushedBatch:
        """Return rows as a layer, in their order."""
        of_files = [place for place, row in enumerate(rows) if isinstance(row, _Row)]
        table = self._codec.table([rows[place].value for place in of_files]) if of_files else self.schema.empty_table()
        if len(of_files) == len(rows):
            return PushedBatch.of(table)
        assert self.pushed is not None  # noqa: S101  # the others come of it
        others = [(place, row) for place, row in enumerate(rows) if isinstance(row, PushedRow)]
        whole = pa.concat_tables([table, self.pushed.table([row for _, row in others])])
        order = [*of_files, *(place for place, _ in others)]
        back = sorted(range(len(order)), key=order.__getitem__)
        return PushedBatch.of(whole.take(pa.array(back, pa.int64())))


def search_together(
    lookups: Sequence[tuple[StoredReader, Sequence[Sequence[Any]]]], at: int, count: int | None
) -> list[FoundMany]:
    """Do what `search` does for several views of one store, in one round trip, as a rule."""
    asked = [reader.ask(keys, at, count) for reader, keys in lookups]
    base = lookups[0][0].store.base
    assert base is not None  # noqa: S101  # the files were found in it
    over = base.find_over_all([each.question for each in asked])
    return [reader.answer(each, found) for (reader, _), each, found in zip(lookups, asked, over, strict=True)]


def _read(row: StoredRow | None, key: bytes) -> _Row | None:
    """Return a stored row, or None when another key has the same digest."""
    if row is None:
        return None
    gone, size = _HEAD.unpack_from(row.value)
    end = _HEAD.size + size
    if row.value[_HEAD.size : end] != key:
        return None
    event, created = unpack_times(row.order)
    return _Row(event, created, gone, row.value[end:])

"""Indexes of feature tables in files: built once, mapped by every process, in parts where a table is large.

A file is a row of Arrow IPC streams, one a part. A stream has one row, each cell of which is a whole array, so that
every array is mapped as it lies. Its header holds checksums: nothing waits for the disk when a file is written, and
one that was torn is told by them and built again. A part has the rows of some keys alone, those whose hash falls on
it, and is sorted in memory while the others wait on the disk.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import xxhash

from foldstore.errors import CorruptObjectError
from foldstore.views.features.found_rows import NOWHERE, FoundRows
from foldstore.views.features.key_parts import cut_by_key, number_parts
from foldstore.views.features.removed_places import IndexedRows
from foldstore.views.features.sorted_index import IndexParts, Integers, Lookback, SortedIndex
from foldstore.views.time_column import Instants, to_nanoseconds

FORMAT: Final = 1
_SEVERAL: Final = 2  # of a file with parts, which who knows of none takes for something else
# A part of so many rows is sorted in some 400 MB.
ROWS_IN_MEMORY: Final = 12_000_000
_HEADER: Final = "header"
_OFFSET: Final = 4
_HEX: Final = 16
_SUMS: Final = "sums"
_SAID: Final = "said"


class AsOfIndex(Protocol):
    """What finds the rows of a feature table that were in force when somebody asks."""

    table: pa.Table

    def find_visible(
        self, columns: Sequence[pa.ChunkedArray], at: Instants, lookback: Lookback, order: Integers | None = None
    ) -> FoundRows:
        """Find the rows whose values may be given; see `SortedIndex.find_visible`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedColumns:
    """The columns that an index is made of.

    Attributes
    ----------
    keys : mapping of str to str
        The entity's key columns and their types.
    event_time : str
        The column of event times.
    created_time : str or None
        The column of created times.
    """

    keys: Mapping[str, str]
    event_time: str
    created_time: str | None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.keys, self.event_time, *([self.created_time] if self.created_time else [])]

    def read(self, table: pa.Table, rows: Integers) -> IndexedRows:
        """Return rows of a table as an index knows them.

        Parameters
        ----------
        rows : ndarray of int64
            Which rows they are of the table that is indexed.
        """
        created = self.created_time
        return IndexedRows(
            [table.column(key) for key in self.keys],
            to_nanoseconds(table.column(self.event_time), where=f"Event time {self.event_time!r}"),
            None if created is None else to_nanoseconds(table.column(created), where=f"Created time {created!r}"),
            rows,
        )

    def build(self, table: pa.Table, rows: Integers | None = None) -> SortedIndex:
        """Sort a table, or some rows of a larger one."""
        return SortedIndex(table, keys=self.keys, event_time=self.event_time, created_time=self.created_time, rows=rows)


class PartitionedIndex:
    """An index in parts by the hash of the key; each is asked for its own keys alone.

    Parameters
    ----------
    table : pyarrow.Table
        The feature table.
    keys : mapping of str to str
        The entity's key columns and their types.
    parts : sequence of SortedIndex
        The parts, by number.
    """

    __slots__ = ("_keys", "_parts", "table")

    def __init__(self, table: pa.Table, keys: Mapping[str, str], parts: Sequence[SortedIndex]) -> None:
        self.table = table
        self._keys = dict(keys)
        self._parts = tuple(parts)

    @property
    def num_parts(self) -> int:
        """How many parts there are."""
        return len(self._parts)

    def without(self, gone: IndexedRows) -> "PartitionedIndex":
        """Return the index without some of its rows; see `SortedIndex.without`."""
        numbers = number_parts(gone.keys, self._keys, len(self._parts))
        own = [np.flatnonzero(numbers == number) for number in range(len(self._parts))]
        return PartitionedIndex(
            self.table, self._keys, [part.without(gone.take(at)) for part, at in zip(self._parts, own, strict=True)]
        )

    def find_visible(
        self,
        columns: Sequence[pa.ChunkedArray],
        at: Instants,
        lookback: Lookback,
        order: Integers | None = None,  # noqa: ARG002  # each part has another order
    ) -> FoundRows:
        """Find the rows whose values may be given, part by part; see `SortedIndex.find_visible`."""
        numbers = number_parts(columns, self._keys, len(self._parts))
        answer = np.full(len(at.values), NOWHERE, dtype=np.int64)
        for number, part in enumerate(self._parts):
            asked = np.flatnonzero(numbers == number)
            if len(asked):
                own = [column.take(pa.array(asked)) for column in columns]
                found = part.find_visible(own, at.take(asked), lookback)
                answer[asked[found.askers]] = found.rows
        return FoundRows(answer, np.arange(len(answer)))


# What a file holds; over it others may be laid.
BuiltIndex: TypeAlias = SortedIndex | PartitionedIndex


def write_index(table: pa.Table, columns: IndexedColumns, path: Path, *, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
    """Build the index of a table and write it; more rows than fit in memory are sorted part by part.

    Parameters
    ----------
    path : pathlib.Path
        A new file; rows that wait are put into a folder beside it.
    rows_in_memory : int
        How many rows a part may have, about.
    """
    count = 1 if not columns.keys else -(-max(table.num_rows, 1) // rows_in_memory)
    with pa.OSFile(str(path), "wb") as sink:
        for batch in _parts(table.select(columns.names), columns, count, path.parent):
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)


def open_index(table: pa.Table, keys: Mapping[str, str], path: Path, *, num_rows: int | None = None) -> BuiltIndex:
    """Map an index that `write_index` wrote.

    Parameters
    ----------
    table : pyarrow.Table
        What it was made of; it is not looked at where its number of rows is given.
    num_rows : int, optional
        How many rows it was made of; those of the table unless given.

    Raises
    ------
    CorruptObjectError
        When the file is no index, was torn, or is of another table.
    """
    try:
        found = _read_streams(path)
        headers = [each.plain for each in found]
        parts = [SortedIndex.from_parts(table, keys, each) for each in found]
        fits = bool(parts) and all(header["format"] == FORMAT for header in headers)
        fits = fits and headers[0]["num_rows"] == (table.num_rows if num_rows is None else num_rows)
        fits = fits and headers[0]["num_parts"] == len(parts)
    except (OSError, pa.ArrowException, LookupError, ValueError, TypeError) as error:
        raise _not_ours(path) from error
    if not fits:
        raise _not_ours(path)
    return parts[0] if len(parts) == 1 else PartitionedIndex(table, keys, parts)


def write_parts(
    parts: Iterable[IndexParts],
    path: Path,
    *,
    count: int,
    check: Callable[[IndexParts], bool] = lambda _: True,
    said: Any = None,
) -> bool:
    """Write plain data and arrays, part by part; `read_parts` maps them.

    Parameters
    ----------
    count : int
        How many parts there are.
    check : callable
        Says of a part whether it may be written.
    said : plain data, optional
        What `read_said` gives.

    Returns
    -------
    bool
        False as soon as a part may not.
    """
    whole = {"format": FORMAT} if count == 1 else {"format": _SEVERAL, "num_parts": count}
    whole[_SAID] = said
    with pa.OSFile(str(path), "wb") as sink:
        for each in parts:
            if not check(each):
                return False
            batch = _to_batch(each, whole)
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
    return True


def read_parts(path: Path) -> list[IndexParts]:
    """Map what `write_parts` wrote.

    Raises
    ------
    CorruptObjectError
        When the file is something else, or was torn.
    """
    try:
        found = _read_streams(path)
        count = found[0].plain.get("num_parts", 1)
        fits = len(found) == count and found[0].plain["format"] == (FORMAT if count == 1 else _SEVERAL)
    except (OSError, pa.ArrowException, LookupError, ValueError, TypeError) as error:
        raise _not_ours(path) from error
    if not fits:
        raise _not_ours(path)
    return found


def read_said(path: Path) -> Any:
    """Return what was said to `write_parts` of a file; no array of it is looked at.

    Raises
    ------
    CorruptObjectError
        When the file is something else, or was torn.
    """
    try:
        with pa.memory_map(str(path)) as source:
            return _read_header(pa.ipc.open_stream(source).read_next_batch())[_SAID]
    except (OSError, pa.ArrowException, LookupError, ValueError, TypeError) as error:
        raise _not_ours(path) from error


def _read_streams(path: Path) -> list[IndexParts]:
    found = []
    with pa.memory_map(str(path)) as source:
        while source.tell() < source.size():
            header, arrays = _read_batch(pa.ipc.open_stream(source).read_all().to_batches()[0])
            found.append(IndexParts(header, arrays))
    return found


def may_be_written(parts: IndexParts) -> bool:
    """Say whether all arrays are of types that a file of parts holds."""
    return all(
        pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind)
        for kind in (array.type for array in parts.arrays.values())
    )


def _parts(table: pa.Table, columns: IndexedColumns, count: int, folder: Path) -> Iterator[pa.RecordBatch]:
    whole = {"format": FORMAT, "num_rows": table.num_rows, "num_parts": count}
    for own, rows in cut_by_key(table, columns.keys, count, folder):
        yield _to_batch(columns.build(own, rows if count > 1 else None).to_parts(), whole)


def _to_batch(parts: IndexParts, whole: Mapping[str, Any]) -> pa.RecordBatch:
    sums = {name: _sum(array) for name, array in parts.arrays.items()}
    body = json.dumps({**whole, **parts.plain, _SUMS: sums}, sort_keys=True)
    header = f"{xxhash.xxh3_64_hexdigest(body.encode())}{body}"
    cells = {name: _cell(array) for name, array in parts.arrays.items()}
    return pa.RecordBatch.from_pydict({_HEADER: pa.array([header]), **cells})


def _cell(array: pa.Array) -> pa.Array:
    """Return an array of one row that holds a whole array."""
    return pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), array)


def _read_batch(batch: pa.RecordBatch) -> tuple[dict[str, Any], dict[str, pa.Array]]:
    header = _read_header(batch)
    arrays = {name: batch.column(name).values for name in batch.schema.names if name != _HEADER}
    if header[_SUMS] != {name: _sum(array) for name, array in arrays.items()}:
        raise ValueError("a checksum differs")
    return header, arrays


def _read_header(batch: pa.RecordBatch) -> dict[str, Any]:
    text = batch.column(_HEADER)[0].as_py()
    body = text[_HEX:]
    if xxhash.xxh3_64_hexdigest(body.encode()) != text[:_HEX]:
        raise ValueError("the header's checksum differs")
    header: dict[str, Any] = json.loads(body)
    return header


def _sum(array: pa.Array) -> int:
    """Return the checksum of an array's values, of what they say and not of how a buffer ends."""
    kind = array.type
    if pa.types.is_boolean(kind):
        array, kind = array.cast(pa.uint8()), pa.uint8()
    if not len(array):
        return 0
    if pa.types.is_primitive(kind):
        return xxhash.xxh3_64_intdigest(_bytes(array, kind.bit_width // 8, len(array)))
    ends = np.frombuffer(_bytes(array, _OFFSET, len(array) + 1), dtype=np.int32)
    text = memoryview(array.buffers()[2] or b"")
    return xxhash.xxh3_64_intdigest(ends.tobytes() + text[int(ends[0]) : int(ends[-1])].tobytes())


def _bytes(array: pa.Array, width: int, count: int) -> memoryview:
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + count) * width]


def _not_ours(path: Path) -> CorruptObjectError:
    return CorruptObjectError(
        f"{path.name} is no index of this table, or was torn.", hint="It can be removed: it is built again."
    )

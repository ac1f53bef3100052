"""What judgement needs of the data it judges; the layer that composes versions and views supplies it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from typing import Final, Protocol, runtime_checkable

import pyarrow as pa

from foldstore.datastore.arrow_schema import holds_text_views, storage_type
from foldstore.datastore.exact_cast import cast_exactly
from foldstore.datastore.keys import DuplicateKeys, find_repeated_keys
from foldstore.datastore.statistics.pinned import (
    GridCounts,
    PinnedGrid,
    count_batches,
    counts_from_column,
)
from foldstore.datastore.statistics.profile import Profile, check_sound, defer_profile, profile_batches
from foldstore.datastore.statistics.row_source import JoinedRows, RowSource, StreamedRows
from foldstore.errors import UsageError, column_not_found

_PIECE: Final = 131_072


class Subject(Protocol):
    """Rows that can be judged: a version, a view, or a table not yet committed."""

    @property
    def address(self) -> str:
        """What the rows are called in messages, such as ``trial@2``."""
        ...

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        ...

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def seals(self) -> Sequence[Sequence[str]]:
        """The columns that read as null together in rows of a test pool, for each pool; these rows are not shown."""
        ...

    def profile(self) -> Profile:
        """Return the statistics of all columns."""
        ...

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Return exact counts on pinned grids, by column."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate the named columns in row order."""
        ...

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once, with at most `limit` examples."""
        ...

    def last_before(self, column: str) -> pa.Array | None:
        """Return the last value of a column in the rows that these were put behind; None where there is none."""
        ...


@runtime_checkable
class KeptRows(Protocol):
    """Rows in parts of which something may be kept."""

    def row_source(self) -> RowSource:
        """Return the rows in parts."""
        ...


def source_of(subject: Subject) -> RowSource:
    """Return the rows of a subject in parts: of files what was found before is kept, others are read again.

    Examples
    --------
    >>> source_of(TableSubject(pa.table({"x": [1]}), "t")).parts
    1
    """
    if isinstance(subject, KeptRows):
        return subject.row_source()
    return StreamedRows(subject.arrow_schema, subject.batches)


def sealed_columns(*subjects: Subject) -> list[str]:
    """Return the columns in which cells read as null that are none, since a test pool holds them.

    Examples
    --------
    >>> sealed_columns(TableSubject(pa.table({"x": [1]}), "t"))
    []
    """
    return list(dict.fromkeys(name for subject in subjects for names in subject.seals for name in names))


class TableSubject:
    """One table in memory as a `Subject`; its columns are profiled when somebody asks for them.

    Parameters
    ----------
    table : pyarrow.Table
    address : str
        What the rows are called.
    sound : bool
        Whether it was looked at before whether the table holds what its types say; else that is done here.

    Examples
    --------
    >>> TableSubject(pa.table({"id": [1, 1, 2]}), "draft").duplicate_keys(["id"], 10).examples
    ({'id': 1, 'count': 2},)
    """

    seals: Sequence[Sequence[str]] = ()

    def __init__(self, table: pa.Table, address: str, *, sound: bool = False) -> None:
        self._given = table
        self._address = address
        self._is_sound = sound

    @property
    def address(self) -> str:
        """What the rows are called in messages."""
        return self._address

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns and their Arrow types."""
        return self._table.schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self._given.num_rows)

    @cached_property
    def _table(self) -> pa.Table:
        kinds = {
            place: storage_type(field.type)
            for place, field in enumerate(self._given.schema)
            if holds_text_views(field.type) and storage_type(field.type) != field.type
        }
        if kinds:
            self._check_sound()  # what is copied is read
        return _copy_views(self._given, kinds)

    def _check_sound(self) -> None:
        if not self._is_sound:
            check_sound(self._given)
            self._is_sound = True

    @cached_property
    def _profile(self) -> Profile:
        self._check_sound()
        return defer_profile(self._table)

    def profile(self) -> Profile:
        """Return the statistics of all columns, each made once when it is asked for."""
        return self._profile

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the values of a column."""
        return self._table[name]

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return some columns."""
        return self._table.select(list(names))

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> dict[str, GridCounts]:
        """Return exact counts on pinned grids: from the profile where it suffices, else from the rows."""
        profile = self.profile()
        counts = {}
        for name, grid in grids.items():
            if name not in profile.columns:
                raise column_not_found(name, profile.columns, where=self.address)
            known = counts_from_column(profile.columns[name], grid)
            if known is None:  # in pieces: different texts may be as many as rows
                pieces = self._table.select([name]).to_batches(max_chunksize=_PIECE)
                known = count_batches(pieces, {name: grid})[name]
            counts[name] = known
        return counts

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate the named columns in row order."""
        return iter(self._table.select(list(columns)).to_batches())

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once; a null key equals no other."""
        return find_repeated_keys(keys, self.batches(keys), limit)

    def last_before(self, column: str) -> None:  # noqa: ARG002  (rows of no dataset stand behind nothing)
        """Return None: these rows are looked at alone."""
        return


def _copy_views(table: pa.Table, kinds: Mapping[int, pa.DataType]) -> pa.Table:
    """Copy columns of string views and the like into plain arrays: Arrow neither filters nor takes from them."""
    for place, kind in kinds.items():
        field = table.schema.field(place)
        pieces = table.select([place]).to_batches(max_chunksize=_PIECE)  # an array of texts holds no more than 2 GB
        cells = [cast_exactly(piece.column(0), kind, name=field.name) for piece in pieces]
        table = table.set_column(place, field.with_type(kind), pa.chunked_array(cells, kind))
    return table


class StreamSubject:
    """Rows that are read batch by batch, such as a view's or a part's, as a `Subject`.

    Parameters
    ----------
    arrow_schema : pyarrow.Schema
        The columns that are looked at.
    read : callable
        Begins a pass over the named columns.
    address : str
        What the rows are called.
    num_rows : int, optional
        How many there are; counted by the profile unless given.
    seals : sequence of sequence of str
        Columns that read as null together in rows that are not shown; `read` knows them.

    Examples
    --------
    >>> table = pa.table({"x": [1, 2, None]})
    >>> rows = StreamSubject(table.schema, lambda names: iter(table.select(names).to_batches()), "mine")
    >>> rows.num_rows, rows.profile().columns["x"].nulls
    (3, 1)
    """

    def __init__(
        self,
        arrow_schema: pa.Schema,
        read: Callable[[list[str]], Iterator[pa.RecordBatch]],
        address: str,
        num_rows: int | None = None,
        seals: Sequence[Sequence[str]] = (),
    ) -> None:
        self.seals = seals
        self.arrow_schema = arrow_schema
        self.address = address
        self._read = read
        self._num_rows = num_rows

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._profile.rows if self._num_rows is None else self._num_rows

    @cached_property
    def _profile(self) -> Profile:
        return profile_batches(self.arrow_schema, self.batches(self.arrow_schema.names))

    def profile(self) -> Profile:
        """Return the statistics of the columns, made once."""
        return self._profile

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Return exact counts on pinned grids: from the profile where it suffices, else from the rows."""
        known = {name: counts_from_column(self._profile.columns[name], grid) for name, grid in grids.items()}
        unknown = {name: grid for name, grid in grids.items() if known[name] is None}
        counted = count_batches(self.batches(list(unknown)), unknown) if unknown else {}
        return {name: counts if counts is not None else counted[name] for name, counts in known.items()}

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in row order."""
        return self._read(list(columns)) if columns else iter(())

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once."""
        return find_repeated_keys(keys, self.batches(keys), limit)

    def last_before(self, column: str) -> None:  # noqa: ARG002  (rows of no version stand behind nothing)
        """Return None: these rows are looked at alone."""
        return


class ChosenSubject:
    """Some columns of a subject, as if it had no others; names that it lacks are left out.

    Examples
    --------
    >>> rows = TableSubject(pa.table({"x": [1], "y": [2]}), "t")
    >>> ChosenSubject(rows, ["y", "z"]).profile().columns.keys()
    dict_keys(['y'])
    """

    def __init__(self, subject: Subject, names: Sequence[str]) -> None:
        held = subject.arrow_schema
        self._subject = subject
        self.arrow_schema = pa.schema([held.field(name) for name in names if name in held.names])
        self.seals = subject.seals

    @property
    def address(self) -> str:
        """What the rows are called."""
        return self._subject.address

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._subject.num_rows

    def profile(self) -> Profile:
        """Return the statistics of the columns."""
        return self._subject.profile().select(self.arrow_schema.names)

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Return exact counts on pinned grids."""
        return self._subject.grid_counts(grids)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate the named columns in row order."""
        return self._subject.batches(columns)

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once."""
        return self._subject.duplicate_keys(keys, limit)

    def last_before(self, column: str) -> pa.Array | None:
        """Return the last value of a column in the rows that these were put behind."""
        return self._subject.last_before(column)


class JoinedSubject:
    """The rows of several subjects as one: a window of versions, each with a profile of its own.

    Examples
    --------
    >>> parts = [TableSubject(pa.table({"x": values}), "t") for values in ([1, 2], [3])]
    >>> JoinedSubject(parts, "both").profile().columns["x"].maximum
    3
    """

    def __init__(self, parts: Sequence[Subject], address: str) -> None:
        if not parts:
            raise UsageError("There are no rows to join.")
        self._parts = list(parts)
        self.seals = self._parts[-1].seals
        self.address = address

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns of the last part."""
        return self._parts[-1].arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are in all."""
        return sum(part.num_rows for part in self._parts)

    @cached_property
    def _profile(self) -> Profile:
        names = [
            name for name in self.arrow_schema.names if all(name in part.profile().columns for part in self._parts)
        ]
        return Profile.merge(*(part.profile().select(names) for part in self._parts))

    def row_source(self) -> RowSource:
        """Return the rows of the parts, each in parts of its own."""
        return JoinedRows(tuple(source_of(part) for part in self._parts))

    def profile(self) -> Profile:
        """Return the statistics of the columns that all parts have, merged."""
        return self._profile

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Return exact counts on pinned grids."""
        counted = [part.grid_counts(grids) for part in self._parts]
        return {name: reduce(GridCounts.merge, (each[name] for each in counted)) for name in grids}

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the named columns of one part after the other."""
        for part in self._parts:
            yield from part.batches(columns)

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once."""
        return find_repeated_keys(keys, self.batches(keys), limit)

    def last_before(self, column: str) -> pa.Array | None:
        """Return the last value of a column in the rows that the first part was put behind."""
        return self._parts[0].last_before(column)

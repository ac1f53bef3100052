"""The profile of a table: one row of mergeable statistics a column, whatever way the rows were cut.

`Profile.id` covers the exact part only; floating moments and the counters of sketches stay out of it.
Travels as one Arrow table that SQL can read, in an Arrow IPC stream.
"""

import html
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakKeyDictionary

import pyarrow as pa
from blake3 import blake3

from foldstore.datastore.statistics.column import ColumnProfile, empty_column, merge_columns, profile_array
from foldstore.datastore.statistics.deferred_columns import DeferredColumns
from foldstore.datastore.statistics.grid import Grid, Scale
from foldstore.datastore.statistics.nested import ITEMS
from foldstore.datastore.statistics.reading import parse_type, value_type
from foldstore.datastore.statistics.record import read_columns, write_columns
from foldstore.datastore.statistics.row_source import cut_rows
from foldstore.errors import SchemaMismatchError, UsageError, column_not_found
from foldstore.types import Progress

# Rows are cut here, wherever the batches end, so that moments too do not depend on batches.
_CHUNK_ROWS: Final = 131_072
# Below it a column is done sooner than threads have handed it over.
_FEW_ROWS: Final = 32_768


# A column's profile never changes, and stands in those of many versions: its digest is made once.
_DIGESTS: WeakKeyDictionary[ColumnProfile, bytes] = WeakKeyDictionary()


def _digest(column: ColumnProfile) -> bytes:
    known = _DIGESTS.get(column)
    if known is None:
        known = _DIGESTS[column] = column.digest
    return known


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The statistics of a table.

    Attributes
    ----------
    rows : int
    columns : Mapping[str, ColumnProfile]
        By name, in the order of the table.

    Examples
    --------
    >>> profile = profile_table(pa.table({"x": [1, 2, None]}))
    >>> profile.columns["x"].null_fraction == 1 / 3
    True
    """

    rows: int
    columns: Mapping[str, ColumnProfile]

    def __post_init__(self) -> None:
        if not isinstance(self.columns, DeferredColumns):  # which nobody can change either
            object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    @property
    def id(self) -> str:
        """BLAKE3 of everything that no cut of the rows and no order of the columns can change."""
        digest = blake3(f"profile/v1 {self.rows}\n".encode())
        for name, column in sorted(self.columns.items(), key=lambda each: each[0]):
            encoded = name.encode()
            digest.update(len(encoded).to_bytes(8, "little") + encoded + _digest(column))
        return str(digest.hexdigest())

    def __repr__(self) -> str:
        return f"Profile({self.rows} rows, {len(self.columns)} columns, id={self.id[:12]})"

    def _repr_html_(self) -> str:
        heads = ("column", "type", "nulls", "distinct", "minimum", "maximum", "mean", "std")
        rows = "".join(f"<tr>{_cells('td', _summary(name, c))}</tr>" for name, c in self.columns.items())
        return f"<table><caption>{self.rows} rows</caption><tr>{_cells('th', heads)}</tr>{rows}</table>"

    def merge(self, *others: "Profile") -> "Profile":
        """Join profiles of ranges of rows, in their order: these rows, then those of the others.

        A column that a part lacks counts as null in all rows of that part.

        Raises
        ------
        SchemaMismatchError
            When a column has different types in two parts.

        Examples
        --------
        >>> table = pa.table({"x": [1, 2, 3]})
        >>> halves = profile_table(table.slice(0, 1)), profile_table(table.slice(1))
        >>> halves[0].merge(halves[1]).id == profile_table(table).id
        True
        >>> Profile.merge(*halves).id == profile_table(table).id
        True
        """
        parts = (self, *others)
        examples = {name: part.columns[name] for part in parts for name in part.columns}
        merged: dict[str, ColumnProfile] = {}
        for name, example in examples.items():
            for part in parts:
                column = part.columns.get(name) or _absent(example, part.rows)
                merged[name] = merge_columns(merged[name], column) if name in merged else column
        return Profile(sum(part.rows for part in parts), merged)

    @classmethod
    def beside(cls, *groups: "Profile") -> "Profile":
        """Join profiles of different columns of the same rows."""
        columns: dict[str, ColumnProfile] = {}
        for group in groups:
            if group.rows != groups[0].rows or columns.keys() & group.columns.keys():
                raise SchemaMismatchError(
                    "Profiles stand beside each other when they have the same rows and no column in common.",
                    rows=[each.rows for each in groups],
                    columns=sorted(columns.keys() & group.columns.keys()),
                )
            columns |= group.columns
        return cls(groups[0].rows if groups else 0, columns)

    def walk(self) -> Iterator[tuple[str, ColumnProfile]]:
        """Yield every column, and after it what is inside of it, by path; a column's own name goes before a path.

        Examples
        --------
        >>> [path for path, _ in profile_table(pa.table({"stops": [[{"code": "EWR"}]]})).walk()]
        ['stops', 'stops[]', 'stops[].code']
        """
        for name, column in self.columns.items():
            yield name, column
            yield from ((path, found) for path, found in column.inside(name) if path not in self.columns)

    @property
    def types(self) -> Mapping[str, str]:
        """The type of each column's values, as text.

        Examples
        --------
        >>> defer_profile(pa.table({"x": pa.array(["a"]).dictionary_encode()})).types
        {'x': 'string'}
        """
        if isinstance(self.columns, DeferredColumns):
            return self.columns.types
        return {name: column.type for name, column in self.columns.items()}

    @property
    def nested(self) -> dict[str, ColumnProfile]:
        """What is inside of nested columns, by path: ``stops[].code``; its rows are the items of lists.

        Examples
        --------
        >>> profile_table(pa.table({"stops": [[{"code": "EWR"}, {"code": None}], []]})).nested["stops[].code"].nulls
        1
        """
        return {path: column for path, column in self.walk() if path not in self.columns}

    def select(self, names: Sequence[str]) -> "Profile":
        """Return the profile of some columns, in the order named."""
        for name in names:
            if name not in self.columns:
                raise column_not_found(name, self.columns, where="the profile")
        return Profile(self.rows, {name: self.columns[name] for name in names})

    def rename(self, mapping: Mapping[str, str]) -> "Profile":
        """Return the profile under new names; columns that are not mapped keep theirs."""
        for name in mapping:
            if name not in self.columns:
                raise column_not_found(name, self.columns, where="the profile")
        renamed = {mapping.get(name, name): column for name, column in self.columns.items()}
        if len(renamed) != len(self.columns):
            raise SchemaMismatchError("Two columns would have one name.", mapping=dict(mapping))
        return Profile(self.rows, renamed)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures a person asks for as plain, JSON-safe data."""
        columns = {name: column.to_dict() for name, column in self.columns.items()}
        return {"id": self.id, "rows": self.rows, "columns": columns}

    def to_arrow(self) -> pa.Table:
        """Return one table with a row per column; it holds everything, and `from_arrow` reads it back."""
        return write_columns(self.rows, self.columns)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "Profile":
        """Read what `to_arrow` wrote."""
        return cls(*read_columns(table))

    def to_bytes(self) -> bytes:
        """Return the table of `to_arrow` as an Arrow IPC stream, zstd-compressed."""
        table = self.to_arrow()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, data: bytes | pa.Buffer) -> "Profile":
        """Read what `to_bytes` wrote."""
        with pa.ipc.open_stream(data) as reader:
            return cls.from_arrow(reader.read_all())


def empty_profile(schema: pa.Schema) -> Profile:
    """Return the profile of no rows."""
    return Profile(0, {field.name: empty_column(field.type) for field in schema})


def profile_table(table: pa.Table) -> Profile:
    """Profile a table in memory, which may come from anywhere: it is looked at before it is used.

    Raises
    ------
    UsageError
        When a column does not hold what its type says (code ``unsound-data``), or text is not UTF-8
        (code ``invalid-text``).
    """
    check_sound(table)
    return profile_batches(table.schema, table.to_batches())


def check_sound(table: pa.Table) -> None:
    """Refuse a table whose columns do not hold what their types say: a use of it could end the process.

    Raises
    ------
    UsageError
        Code ``unsound-data``.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        _check_sound(name, column)


def defer_profile(table: pa.Table) -> Profile:
    """Return the profile of a table that is sound, made column by column as these are asked for; its id needs all.

    It holds the table. A name that occurs twice is refused at once.

    Examples
    --------
    >>> table = pa.table({"x": [1, 2, None]})
    >>> defer_profile(table).id == profile_table(table).id
    True
    """
    _check_names(table.schema)
    types = {field.name: str(value_type(field.type)) for field in table.schema}

    def make(names: Sequence[str]) -> Mapping[str, ColumnProfile]:
        part = table.select(list(names))
        return profile_batches(part.schema, part.to_batches()).columns

    return Profile(table.num_rows, DeferredColumns(types, make))


def _check_sound(name: str, column: pa.ChunkedArray) -> None:
    """Refuse offsets and indices that point outside of their data, which would end the process."""
    try:
        column.validate(full=True)
    except (pa.ArrowException, ValueError, IndexError) as error:
        if "UTF8" in str(error):  # offsets were looked at before the text, whose own error says what to do
            return
        raise UsageError(
            f"Column {name!r} holds what is not {column.type}: {error}.",
            hint="Mend the data where it is made.",
            code="unsound-data",
            column=name,
        ) from error


def profile_batches(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, progress: Progress | None = None
) -> Profile:
    """Profile a stream of batches in bounded memory, the columns side by side on all cores.

    Parameters
    ----------
    schema : pa.Schema
        What the batches hold.
    batches : Iterable[pa.RecordBatch]
    progress : Callable, optional
        Told the rows done after each chunk.
    """
    _check_names(schema)
    columns = list(empty_profile(schema).columns.values())
    rows = 0
    with ThreadPoolExecutor(max_workers=min(len(schema) or 1, os.cpu_count() or 1)) as pool:
        for chunk in cut_rows(schema, batches, _CHUNK_ROWS):
            arrays = [chunk.column(place) for place in range(len(columns))]
            side_by_side = map if chunk.num_rows < _FEW_ROWS else pool.map
            columns = list(side_by_side(_extend, schema.names, columns, arrays))
            rows += chunk.num_rows
            if progress is not None:
                progress(rows, None)
    return Profile(rows, dict(zip(schema.names, columns, strict=True)))


def _check_names(schema: pa.Schema) -> None:
    duplicates = [name for name in schema.names if schema.names.count(name) > 1]
    if duplicates:
        raise SchemaMismatchError(f"The column {duplicates[0]!r} occurs twice.", columns=duplicates)


def _extend(name: str, column: ColumnProfile, array: pa.ChunkedArray) -> ColumnProfile:
    try:
        return merge_columns(column, profile_array(array))
    except UsageError as error:
        raise type(error)(f"Column {name!r}: {error.message}", hint=error.hint, code=error.code, column=name) from error
    except pa.ArrowNotImplementedError as error:
        raise UsageError(
            f"Column {name!r}: no statistics are made of {array.type}.",
            hint="Decode dictionaries and runs that are inside of other values first.",
            column=name,
        ) from error


def _absent(example: ColumnProfile, rows: int) -> ColumnProfile:
    """Return the profile of a column of the same type in which every row is null."""
    kind = parse_type(example.type)
    if kind is not None:
        return empty_column(kind, rows)
    valency = None if example.valency is None else Grid.empty(Scale.INTEGER)
    # Where there is no struct its fields are null, where there is no list there is no item.
    children = {step: _absent(child, 0 if step == ITEMS else rows) for step, child in example.children.items()}
    return ColumnProfile(type=example.type, rows=rows, nulls=rows, valency=valency, children=children)


def _summary(name: str, column: ColumnProfile) -> tuple[object, ...]:
    mean, std = ("" if x is None else f"{x:.6g}" for x in (column.mean, column.std))
    return name, column.type, column.nulls, column.distinct, column.minimum, column.maximum, mean, std


def _cells(tag: str, values: Iterable[object]) -> str:
    return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)

"""Columns of a schema that stand for values inside of another column: ``stops[].code`` beside ``stops``.

They are judged as columns are; only what is asked of whole rows, such as a key, is not asked of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.keys import DuplicateKeys
from foldstore.datastore.statistics.nested import find_path, take_inside, take_step
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, count_array, counts_from_column
from foldstore.datastore.statistics.profile import Profile
from foldstore.validation.subject import Subject

_NESTED: Final = ("struct<", "list<", "large_list<", "fixed_size_list<", "list_view<", "large_list_view<", "map<")


def is_inside(path: str, column: str, type_text: str) -> bool:
    """Whether a path leads into a column of a type, given as text.

    Examples
    --------
    >>> is_inside("stops[].code", "stops", "list<item: struct<code: string>>"), is_inside("a.b", "a", "int64")
    (True, False)
    """
    return type_text.startswith(_NESTED) and path.startswith((f"{column}.", f"{column}[]"))


def is_of(path: str | None, columns: Collection[str]) -> bool:
    """Whether a column is one of some, or may be inside of one: where something is withheld, rather too much is.

    Examples
    --------
    >>> is_of("label", {"label"}), is_of("label.delay", {"label"}), is_of("labels", {"label"})
    (True, True, False)
    """
    return path is not None and any(path == name or path.startswith((f"{name}.", f"{name}[]")) for name in columns)


def nested_names(types: Mapping[str, str]) -> frozenset[str]:
    """Return which columns, given with their types as text, are inside of others.

    Examples
    --------
    >>> sorted(nested_names({"a": "struct<b: int64>", "a.b": "int64", "c.d": "int64"}))
    ['a.b']
    """
    outer = [(name, kind) for name, kind in types.items() if kind.startswith(_NESTED)]
    return frozenset(path for path in types for name, kind in outer if path != name and is_inside(path, name, kind))


def items_of(path: str, held: pa.Schema) -> pa.Schema | None:
    """Return the columns of the values at the end of a path; None where it leads nowhere.

    Examples
    --------
    >>> items_of("stops[]", pa.schema({"stops": pa.list_(pa.struct({"code": pa.string()}))})).names
    ['code']
    """
    found = find_path(path, held)
    if found is None:
        return None
    column, steps = found
    return as_rows(take_inside(pa.array([], held.field(column).type), steps)[0]).schema


def as_rows(values: pa.Array) -> pa.RecordBatch:
    """Return the fields of structs as columns; values that have none as a column ``item``.

    Examples
    --------
    >>> as_rows(pa.array([{"code": "EWR"}, None])).to_pydict(), as_rows(pa.array([7])).to_pydict()
    ({'code': ['EWR', None]}, {'item': [7]})
    """
    if not pa.types.is_struct(values.type):
        return pa.record_batch({"item": values})
    fields = {field.name: take_step(values, f".{field.name}")[0] for field in values.type}
    return pa.record_batch(fields)


def with_nested(subject: Subject, names: Sequence[str]) -> Subject:
    """Return a subject whose profile also has the values inside of columns that are named by paths."""
    held = subject.arrow_schema
    columns = frozenset(held.names)
    paths = [name for name in names if name not in columns and find_path(name, held) is not None]
    return NestedSubject(subject, paths) if paths else subject


class NestedSubject:
    """Rows whose statistics and counts are known for some paths too, as if these were columns.

    Examples
    --------
    >>> from foldstore.validation.subject import TableSubject
    >>> rows = TableSubject(pa.table({"stops": [[{"code": "EWR"}], []]}), "t")
    >>> with_nested(rows, ["stops[].code"]).profile().columns["stops[].code"].rows
    1
    """

    def __init__(self, subject: Subject, paths: Sequence[str]) -> None:
        self._subject = subject
        self.seals = subject.seals
        nested = subject.profile().nested
        self._nested = {path: nested[path] for path in paths if path in nested}

    @property
    def address(self) -> str:
        """What the rows are called in messages."""
        return self._subject.address

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns and their Arrow types, without paths."""
        return self._subject.arrow_schema

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self._subject.num_rows

    def profile(self) -> Profile:
        """Return the statistics of all columns and of the paths."""
        profile = self._subject.profile()
        return Profile(profile.rows, dict([*profile.columns.items(), *self._nested.items()]))

    def grid_counts(self, grids: Mapping[str, PinnedGrid]) -> Mapping[str, GridCounts]:
        """Return exact counts on pinned grids, by column or path."""
        outer = {name: grid for name, grid in grids.items() if name not in self._nested}
        counted = dict(self._subject.grid_counts(outer)) if outer else {}
        for path, grid in grids.items():
            if path in self._nested:
                known = counts_from_column(self._nested[path], grid)
                counted[path] = self._count(path, grid) if known is None else known
        return counted

    def _count(self, path: str, grid: PinnedGrid) -> GridCounts:
        found = find_path(path, self.arrow_schema)
        assert found is not None  # noqa: S101  # the profile has the path
        name, steps = found
        counted = GridCounts((0,) * grid.cells)
        for batch in self.batches([name]):
            counted = counted.merge(count_array(take_inside(batch.column(0), steps)[0], grid))
        return counted

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Iterate the named columns in row order; paths are taken out of them by whoever looks."""
        return self._subject.batches(columns)

    def duplicate_keys(self, keys: Sequence[str], limit: int) -> DuplicateKeys:
        """Return which values of a key occur more than once."""
        return self._subject.duplicate_keys(keys, limit)

    def last_before(self, column: str) -> pa.Array | None:
        """Return the last value of a column in the rows that these were put behind."""
        return self._subject.last_before(column)


def without_nested(columns: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cut the columns of a schema, as plain data, into those of rows and those inside of others."""
    inner = nested_names({name: str(each.get("type", "")) for name, each in columns.items()})
    return (
        {name: each for name, each in columns.items() if name not in inner},
        {name: each for name, each in columns.items() if name in inner},
    )

"""What a catalog table is: a name, typed columns, and words for each of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.errors import CorruptObjectError

# What a table is filled from: plain values, or Arrow arrays, by the name of the column.
Filling: TypeAlias = Mapping[str, Sequence[Any] | pa.Array | pa.ChunkedArray]

TEXT: Final = pa.string()
WHOLE: Final = pa.int64()
REAL: Final = pa.float64()
TRUTH: Final = pa.bool_()
TEXTS: Final = pa.list_(pa.string())
# Filled from RFC 3339 text.
TIME: Final = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class ColumnDeclaration:
    """A column of a catalog table: its name, its type, and what it says."""

    name: str
    type: pa.DataType
    words: str


@dataclass(frozen=True, slots=True)
class TableDeclaration:
    """A catalog table.

    Attributes
    ----------
    name : str
        Without the schema: ``versions`` is asked for as ``foldstore.versions``.
    words : str
        What a row is.
    columns : tuple of ColumnDeclaration
        In the order of ``SELECT *``.
    """

    name: str
    words: str
    columns: tuple[ColumnDeclaration, ...]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns; what each says is its metadata."""
        return pa.schema(
            [pa.field(each.name, each.type, metadata={"description": each.words}) for each in self.columns]
        )

    def to_table(self, names: Sequence[str], filling: Filling) -> pa.Table:
        """Make the table of some columns, in the types that are declared."""
        schema = self.arrow_schema.remove_metadata()
        fields = [schema.field(name).remove_metadata() for name in names]
        return pa.Table.from_arrays(
            [_to_array(filling[field.name], field.type) for field in fields], schema=pa.schema(fields)
        )


def declare(name: str, words: str, /, **columns: tuple[pa.DataType, str]) -> TableDeclaration:
    """Declare a table.

    Examples
    --------
    >>> declare("cities", "A row per city.", name=(TEXT, "What it is called.")).arrow_schema.names
    ['name']
    """
    return TableDeclaration(name, words, tuple(ColumnDeclaration(each, *said) for each, said in columns.items()))


def columns_of(rows: Sequence[Sequence[Any]], *names: str) -> dict[str, Sequence[Any]]:
    """Turn rows into columns by name, in the order of the names.

    Examples
    --------
    >>> columns_of([(1, "a"), (2, "b")], "number", "letter")
    {'number': (1, 2), 'letter': ('a', 'b')}
    """
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


def gather(rows: Sequence[Mapping[str, Any]]) -> Filling:
    """Turn rows by name into columns by name; no rows fill any column with nothing.

    Examples
    --------
    >>> gather([{"number": 1}, {"number": 2}])["number"], gather([])["number"]
    ([1, 2], ())
    """
    columns: defaultdict[str, Sequence[Any]] = defaultdict(tuple)
    for name in rows[0] if rows else ():
        columns[name] = [row[name] for row in rows]
    return columns


def _to_array(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    if kind != TIME:
        return pa.array(values, kind)
    try:
        return pa.array(values, pa.string()).cast(TIME)
    except pa.ArrowInvalid as error:
        raise CorruptObjectError(
            f"A time in the catalog is damaged: {error}.", hint="Restore the catalog from a backup."
        ) from error

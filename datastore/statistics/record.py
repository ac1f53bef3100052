"""The stored form of a profile: one Arrow table, a row per column, typed so that SQL can ask it.

What nested columns hold stands below them, each in a row of its own that names the row it is inside of.

Numbers are int64 and float64, sparse arrays lists, extremes and frequent values exact text.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.distinct import DistinctHashes
from foldstore.datastore.statistics.frequent import ValueCounts, Values
from foldstore.datastore.statistics.grid import Grid, Scale
from foldstore.datastore.statistics.moments import Moments
from foldstore.datastore.statistics.reading import Kind, read_raw, write_raw
from foldstore.errors import CorruptObjectError, StoreFormatError

FORMAT: Final = 4
_HEADER: Final = b"foldstore.profile"
_COUNTS: Final = ("rows", "nulls", "nan", "pos_inf", "neg_inf", "zero", "negative", "empty")
_MOMENTS: Final = ("mean", "m2", "m3", "m4")
_GRIDS: Final = ("grid", "log_grid", "lengths")
_GRIDS_2: Final = ("byte_lengths", "valency")
_PLACES: Final = ("low_at", "high_at")
_TALLIES: Final = ("classes", "hours", "weekdays")
_TALLIES_4: Final = ("week",)
_INTS: Final = pa.list_(pa.int64())


def _grid_fields(grids: Iterable[str]) -> list[pa.Field]:
    return [
        field
        for grid in grids
        for field in (
            pa.field(f"{grid}_level", pa.int64()),
            pa.field(f"{grid}_bins", _INTS),
            pa.field(f"{grid}_counts", _INTS),
        )
    ]


_FIRST: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
        pa.field("minimum", pa.large_string()),
        pa.field("maximum", pa.large_string()),
        pa.field("finite", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in _MOMENTS),
        *_grid_fields(_GRIDS),
        pa.field("distinct_count", pa.int64()),
        pa.field("hashes_exact", pa.bool_()),
        pa.field("hashes", pa.list_(pa.uint64())),
        pa.field("values_exact", pa.bool_()),
        pa.field("values_missed", pa.int64()),
        pa.field("values", pa.list_(pa.large_string())),
        pa.field("value_counts", _INTS),
    ]
)
# What the second format added stands behind, so that queries over the first go on.
_SECOND: Final = pa.schema(
    [
        *_FIRST,
        *(pa.field(name, pa.int64()) for name in _PLACES),
        pa.field("skewness", pa.float64()),
        pa.field("kurtosis", pa.float64()),
        *_grid_fields(_GRIDS_2),
        *(pa.field(name, _INTS) for name in _TALLIES),
        pa.field("masks_exact", pa.bool_()),
        pa.field("masks_missed", pa.int64()),
        pa.field("masks", pa.list_(pa.large_string())),
        pa.field("mask_counts", _INTS),
    ]
)
_THIRD: Final = pa.schema([*_SECOND, pa.field("inside", pa.int64())])
SCHEMA: Final = pa.schema([*_THIRD, *(pa.field(name, _INTS) for name in _TALLIES_4)])
_FORMS: Final = {1: _FIRST, 2: _SECOND, 3: _THIRD, FORMAT: SCHEMA}


def write_columns(rows: int, columns: Mapping[str, ColumnProfile]) -> pa.Table:
    """Return the table of a profile; the header says which form it has."""
    records: list[dict[str, Any]] = []
    for name, column in columns.items():
        _append(records, name, column, None)
    arrays = [_column_of([record[field.name] for record in records], field.type) for field in SCHEMA]
    header = json.dumps({"format": FORMAT, "rows": rows}).encode()
    return pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata({_HEADER: header}))


def read_columns(table: pa.Table) -> tuple[int, dict[str, ColumnProfile]]:
    """Read rows and columns back from the table of a profile.

    Raises
    ------
    CorruptObjectError
        When the table is not a profile.
    StoreFormatError
        When a newer Foldstore wrote it.
    """
    metadata = table.schema.metadata or {}
    if _HEADER not in metadata:
        raise CorruptObjectError("This Arrow table is not a profile.", hint="Its schema lacks the profile header.")
    header = json.loads(metadata[_HEADER])
    if header["format"] > FORMAT:
        raise StoreFormatError(
            f"The profile has format {header['format']}; this Foldstore reads up to {FORMAT}.",
            hint="Upgrade Foldstore.",
        )
    if not table.schema.equals(_FORMS.get(header["format"], SCHEMA)):
        raise CorruptObjectError("The columns of this profile are not those of its format.", format=header["format"])
    whole = table.combine_chunks()
    for field in SCHEMA:
        if field.name not in whole.schema.names:  # an older format, which knew nothing of it
            whole = whole.append_column(field, pa.nulls(whole.num_rows, field.type))
    return header["rows"], _read_all(whole)


def _append(records: list[dict[str, Any]], name: str, column: ColumnProfile, inside: int | None) -> None:
    place = len(records)
    records.append({**_write(name, column), "inside": inside})
    for step, child in column.children.items():
        _append(records, name + step, child, place)


def _read_all(table: pa.Table) -> dict[str, ColumnProfile]:
    names, inside = table["name"].to_pylist(), table["inside"].to_pylist()
    children: list[dict[str, ColumnProfile]] = [{} for _ in names]
    columns: dict[str, ColumnProfile] = {}
    for row in range(len(names) - 1, -1, -1):  # what is inside comes first
        held = MappingProxyType(dict(reversed(children[row].items())))
        column = replace(_read(table, row), children=held)
        parent = inside[row]
        if parent is None:
            columns[names[row]] = column
        elif 0 <= parent < row:
            children[parent][names[row][len(names[parent]) :]] = column
        else:
            raise CorruptObjectError("A row of this profile is inside of none.", row=row)
    return dict(reversed(columns.items()))


def _write(name: str, column: ColumnProfile) -> dict[str, Any]:
    record: dict[str, Any] = {"name": name, "type": column.type, "finite": column.moments.n}
    record |= {field: getattr(column, field) for field in _COUNTS}
    record |= {field: getattr(column.moments, field) for field in _MOMENTS}
    record |= {"minimum": write_raw(column.low), "maximum": write_raw(column.high), "distinct_count": column.distinct}
    record |= {name: getattr(column, name) for name in (*_PLACES, *_TALLIES, *_TALLIES_4, "skewness", "kurtosis")}
    for field in (*_GRIDS, *_GRIDS_2):
        grid: Grid | None = getattr(column, field)
        record[f"{field}_level"] = None if grid is None else grid.level
        record[f"{field}_bins"] = None if grid is None else grid.bins
        record[f"{field}_counts"] = None if grid is None else grid.counts
    hashes, values = column.hashes, column.values
    record["hashes"] = None if hashes is None else hashes.hashes
    record["hashes_exact"] = None if hashes is None else hashes.exact
    record["values"] = None if values is None else _values_to_text(values.values)
    record["value_counts"] = None if values is None else values.counts
    record["values_exact"] = None if values is None else values.exact
    record["values_missed"] = None if values is None else values.missed
    masks = column.masks
    record["masks"] = None if masks is None else masks.values
    record["mask_counts"] = None if masks is None else masks.counts
    record["masks_exact"] = None if masks is None else masks.exact
    record["masks_missed"] = None if masks is None else masks.missed
    return record


def _read(table: pa.Table, row: int) -> ColumnProfile:
    kind_text = table["type"][row].as_py()
    kind = ColumnProfile(type=kind_text).kind
    moments = Moments(table["finite"][row].as_py(), *(table[name][row].as_py() for name in _MOMENTS))
    float_scale = Scale.INTEGER if kind.has_integer_grid else Scale.FLOAT
    values = _list(table["values"][row])
    hashes = _list(table["hashes"][row])
    masks = _list(table["masks"][row])
    return ColumnProfile(
        type=kind_text,
        **{name: table[name][row].as_py() for name in _COUNTS},
        low=read_raw(table["minimum"][row].as_py(), kind),
        high=read_raw(table["maximum"][row].as_py(), kind),
        moments=moments,
        grid=_read_grid(table, row, "grid", float_scale),
        log_grid=_read_grid(table, row, "log_grid", Scale.LOG),
        lengths=_read_grid(table, row, "lengths", Scale.INTEGER),
        low_at=table["low_at"][row].as_py(),
        high_at=table["high_at"][row].as_py(),
        byte_lengths=_read_grid(table, row, "byte_lengths", Scale.INTEGER),
        valency=_read_grid(table, row, "valency", Scale.INTEGER),
        classes=_read_tally(table, row, "classes"),
        hours=_read_tally(table, row, "hours"),
        weekdays=_read_tally(table, row, "weekdays"),
        week=_read_tally(table, row, "week"),
        masks=None if masks is None else _read_counts(table, row, "mask", masks),
        values=None if values is None else _read_counts(table, row, "value", _values_from_text(values, kind)),
        hashes=None if hashes is None else DistinctHashes(hashes.to_numpy(), table["hashes_exact"][row].as_py()),
    )


def _read_counts(table: pa.Table, row: int, name: str, values: Values) -> ValueCounts:
    return ValueCounts(
        values,
        _list(table[f"{name}_counts"][row]).to_numpy(),
        table[f"{name}s_exact"][row].as_py(),
        table[f"{name}s_missed"][row].as_py(),
    )


def _read_tally(table: pa.Table, row: int, name: str) -> tuple[int, ...] | None:
    tally = table[name][row].as_py()
    return None if tally is None else tuple(tally)


def _read_grid(table: pa.Table, row: int, field: str, scale: Scale) -> Grid | None:
    level = table[f"{field}_level"][row].as_py()
    if level is None:
        return None
    bins, counts = _list(table[f"{field}_bins"][row]), _list(table[f"{field}_counts"][row])
    return Grid(scale, level, bins.to_numpy(), counts.to_numpy())


def _list(scalar: pa.Scalar) -> pa.Array:
    """Return the items of a list cell, None for null."""
    return scalar.values


def _column_of(cells: list[Any], kind: pa.DataType) -> pa.Array:
    """Build one column; lists come as whole arrays, which are joined and not walked."""
    if not pa.types.is_list(kind):
        return pa.array(cells, kind)
    items = [pa.array([], kind.value_type) if cell is None else pa.array(cell, kind.value_type) for cell in cells]
    ends = np.cumsum([0, *(len(item) for item in items)])
    mask = pa.array([cell is None for cell in cells], pa.bool_())
    joined = pa.concat_arrays(items) if items else pa.array([], kind.value_type)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), joined, type=kind, mask=mask)


def _values_to_text(values: Values) -> pa.Array:
    if not isinstance(values, pa.Array):
        # Arrow writes the shortest digits that read back as the same double.
        return pa.array(values).cast(pa.large_string())
    if pa.types.is_large_binary(values.type):
        return pa.array([value.hex() for value in values.to_pylist()], pa.large_string())
    return values


def _values_from_text(texts: pa.Array, kind: Kind) -> Values:
    if kind is Kind.TEXT:
        return texts
    if kind is Kind.BINARY:
        return pa.array(map(bytes.fromhex, _texts(texts)), pa.large_binary())
    target = {Kind.UNSIGNED: pa.uint64(), Kind.FLOAT: pa.float64(), Kind.DECIMAL: pa.float64()}
    return np.asarray(texts.cast(target.get(kind, pa.int64())).to_numpy(zero_copy_only=False))


def _texts(array: pa.Array) -> Iterable[str]:
    texts: list[str] = array.to_pylist()
    return texts

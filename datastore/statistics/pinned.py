"""Counts on a pinned grid: the cells that a schema fixes, so that every later version counts alike.

Counting is exact and independent of the cut. Null and NaN stand apart; infinities fall into the
outermost cells.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.clock import HOURS, WEEK, WEEKDAYS, count_week, count_weekdays, has_weekdays
from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.grid import Scale
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, read_numbers
from foldstore.errors import InvalidSchemaError, SchemaMismatchError, column_not_found

Category: TypeAlias = str | int | bool


@dataclass(frozen=True, slots=True)
class NumericGrid:
    """Cells ``(-inf, e0], (e0, e1], ..., (en, inf)``.

    Attributes
    ----------
    edges : tuple of int or float
        Strictly ascending; for dates and times, whole ticks of the column's unit.

    Examples
    --------
    >>> NumericGrid((0, 10)).labels
    ('<= 0', '(0, 10]', '> 10')
    """

    edges: tuple[int | float, ...]

    def __post_init__(self) -> None:
        numbers = all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in self.edges)
        if not numbers or not all(math.isfinite(edge) for edge in self.edges):
            raise InvalidSchemaError("The edges of a grid are finite numbers.", edges=list(self.edges))
        if any(a >= b for a, b in pairwise(self.edges)):
            raise InvalidSchemaError("The edges of a grid ascend, each above the one before.", edges=list(self.edges))

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.edges) + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """What each cell holds, for people."""
        if not self.edges:
            return ("any",)
        texts = [f"{edge:.10g}" if isinstance(edge, float) else str(edge) for edge in self.edges]
        inner = (f"({a}, {b}]" if a != b else b for a, b in pairwise(texts))
        return (f"<= {texts[0]}", *inner, f"> {texts[-1]}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"edges": list(self.edges)}


@dataclass(frozen=True, slots=True)
class CategoryGrid:
    """A cell for each value, and a last one for every other value.

    Examples
    --------
    >>> CategoryGrid(("EWR", "JFK")).labels
    ("'EWR'", "'JFK'", 'other')
    """

    values: tuple[Category, ...]

    def __post_init__(self) -> None:
        if len({type(value) for value in self.values}) > 1 or not all(
            isinstance(value, str | int | bool) for value in self.values
        ):
            raise InvalidSchemaError("Categories are all text, all whole numbers or all booleans.")
        if len(set(self.values)) != len(self.values):
            raise InvalidSchemaError("A category occurs twice.", values=list(self.values))

    @property
    def cells(self) -> int:
        """How many cells there are, the last for other values included."""
        return len(self.values) + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """What each cell holds, for people."""
        return (*map(repr, self.values), "other")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"values": list(self.values)}


@dataclass(frozen=True, slots=True)
class WeekGrid:
    """A cell for each hour of the week, or for each weekday of dates, from Monday on; and the time that is covered.

    Attributes
    ----------
    first, last : int
        The first hour (or day) that is covered as a whole, and the one after the last, since 1970-01-01 00:00 on the
        clock of the column's zone.
    by_hour : bool
        False for dates.
    hours_vary, days_vary : float or None
        The square of the coefficient of variation of the rows of an hour, from day to day, and of a weekday, from week
        to week, beyond that of independent rows; None where that is not known.

    Examples
    --------
    >>> WeekGrid(0, 14, by_hour=False).labels[:2]
    ('Monday', 'Tuesday')
    """

    first: int
    last: int
    by_hour: bool = True
    hours_vary: float | None = None
    days_vary: float | None = None

    def __post_init__(self) -> None:
        whole = all(isinstance(each, int) and not isinstance(each, bool) for each in (self.first, self.last))
        varies = [each for each in (self.hours_vary, self.days_vary) if each is not None]
        is_sound = isinstance(self.by_hour, bool) and all(
            isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) and each >= 0
            for each in varies
        )
        if not whole or not is_sound or self.first > self.last or max(abs(self.first), abs(self.last)) >= 2**53:
            raise InvalidSchemaError(
                "The grid of a week has whole numbers first <= last, and what varies is 0 or more.",
                hint="Infer the column, or take the grid away.",
            )

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return WEEK if self.by_hour else WEEKDAYS

    @property
    def labels(self) -> tuple[str, ...]:
        """What each cell holds, for people."""
        if not self.by_hour:
            return DAY_NAMES
        return tuple(f"{day} {hour}" for day in DAY_NAMES for hour in HOUR_NAMES)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        plain: dict[str, Any] = {"week": "hours" if self.by_hour else "days", "first": self.first, "last": self.last}
        varies = {"hours_vary": self.hours_vary, "days_vary": self.days_vary}
        return plain | {name: each for name, each in varies.items() if each is not None}


DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOUR_NAMES: Final = tuple(f"{hour:02}:00" for hour in range(HOURS))
# Cells of values.
ValueGrid: TypeAlias = NumericGrid | CategoryGrid
PinnedGrid: TypeAlias = ValueGrid | WeekGrid


@dataclass(frozen=True, slots=True)
class GridCounts:
    """How many rows fell into each cell of a pinned grid.

    Attributes
    ----------
    cells : tuple of int
    nulls, nan : int
        Counted apart from the cells.
    """

    cells: tuple[int, ...]
    nulls: int = 0
    nan: int = 0

    @property
    def total(self) -> int:
        """How many values fell into cells."""
        return sum(self.cells)

    def merge(self, other: "GridCounts") -> "GridCounts":
        """Add the counts of other rows on the same grid."""
        cells = tuple(a + b for a, b in zip(self.cells, other.cells, strict=True))
        return GridCounts(cells, self.nulls + other.nulls, self.nan + other.nan)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"cells": list(self.cells), "nulls": self.nulls, "nan": self.nan}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "GridCounts":
        """Read what `to_dict` gave."""
        numbers = [*data.get("cells", ()), data.get("nulls", 0), data.get("nan", 0)]
        if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
            raise InvalidSchemaError("Counts on a grid are whole numbers, 0 or more.")
        return cls(tuple(numbers[:-2]), numbers[-2], numbers[-1])


_OF_WEEK: Final = {"week", "first", "last", "hours_vary", "days_vary"}


def grid_from_dict(data: Mapping[str, Any]) -> PinnedGrid:
    """Read a grid from plain JSON data: ``{"edges": [...]}``, ``{"values": [...]}`` or that of a week."""
    if set(data) == {"edges"} and isinstance(data["edges"], list):
        return NumericGrid(tuple(data["edges"]))
    if set(data) == {"values"} and isinstance(data["values"], list):
        return CategoryGrid(tuple(data["values"]))
    if {"week", "first", "last"} <= set(data) <= _OF_WEEK and data["week"] in ("hours", "days"):
        fields = {name: value for name, value in data.items() if name != "week"}
        return WeekGrid(**fields, by_hour=data["week"] == "hours")
    raise InvalidSchemaError(
        "A grid has either 'edges' or 'values', as a list, or is that of a week.", keys=sorted(map(str, data))
    )


def count_batches(batches: Iterable[pa.RecordBatch], grids: Mapping[str, PinnedGrid]) -> dict[str, GridCounts]:
    """Count a stream of batches on pinned grids, by column.

    Examples
    --------
    >>> batch = pa.record_batch({"x": [1, 5, None]})
    >>> count_batches([batch], {"x": NumericGrid((3,))})
    {'x': GridCounts(cells=(1, 1), nulls=1, nan=0)}
    """
    totals = {name: GridCounts((0,) * grid.cells) for name, grid in grids.items()}
    for batch in batches:
        for name, grid in grids.items():
            if name not in batch.schema.names:
                raise column_not_found(name, batch.schema.names, where="the batch")
            totals[name] = totals[name].merge(count_array(batch.column(name), grid))
    return totals


def count_array(array: pa.Array | pa.ChunkedArray, grid: PinnedGrid) -> GridCounts:
    """Count one array on a pinned grid."""
    plain = plain_array(array)
    kind = kind_of(plain.type)
    if isinstance(grid, CategoryGrid):
        return _count_categories(plain, kind, grid)
    if isinstance(grid, WeekGrid):
        return _count_week(plain, kind, grid)
    if not kind.is_numeric:
        raise SchemaMismatchError(f"Values of type {plain.type} have no place on a grid of numbers.")
    ordered = np.sort(read_numbers(plain, kind))
    nan = int(np.isnan(ordered).sum()) if ordered.dtype.kind == "f" else 0
    ordered = ordered[: len(ordered) - nan]  # numpy sorts NaN last
    up_to = _places(ordered, grid)
    return GridCounts(_differences(up_to, len(ordered)), plain.null_count, nan)


def counts_from_column(column: ColumnProfile, grid: PinnedGrid) -> GridCounts | None:
    """Count on a pinned grid from a profile alone, where that is exact; None where it is not.

    It is exact while the profile counts values exactly, and for edges that are ends of the free
    grid's bins, as those of an inferred schema are for the profile it came from.
    """
    if column.values is None:
        return None
    if isinstance(grid, CategoryGrid):
        return _categories_from_column(column, grid)
    if isinstance(grid, WeekGrid):
        tally = column.week if grid.by_hour else column.weekdays
        return None if tally is None else GridCounts(tally, column.nulls)
    if not column.kind.is_numeric:
        return None
    ends, counts = column.mass()
    places = _places(ends, grid)
    if not column.values.exact and not _ends_at(column, grid, places):
        return None
    up_to = np.concatenate([[0], np.cumsum(counts)])[places]
    cells = list(_differences(up_to, int(counts.sum())))
    cells[0] += column.neg_inf
    cells[-1] += column.pos_inf
    return GridCounts(tuple(cells), column.nulls, column.nan)


def _count_week(array: pa.Array, kind: Kind, grid: WeekGrid) -> GridCounts:
    if not (pa.types.is_timestamp(array.type) if grid.by_hour else has_weekdays(array.type)):
        raise SchemaMismatchError(f"Values of type {array.type} have no place in a week.")
    ticks, counts = np.unique(read_numbers(array, kind), return_counts=True)
    tally = (count_week if grid.by_hour else count_weekdays)(ticks, counts, array.type)
    return GridCounts(tally or (0,) * grid.cells, array.null_count)


def _ends_at(column: ColumnProfile, grid: NumericGrid, places: NDArray[np.intp]) -> bool:
    """Whether no non-empty bin straddles an edge: the next bin begins above it."""
    free = column.grid
    assert free is not None  # noqa: S101  (a numeric column has a grid)
    starts = free.bins << free.level if free.scale is Scale.INTEGER else free.lower_bounds()
    return all(
        place >= len(starts) or starts[place].item() > edge for place, edge in zip(places, grid.edges, strict=True)
    )


def _places(ordered: NDArray[Any], grid: NumericGrid) -> NDArray[np.intp]:
    """Return how many of the ascending values are at most each edge."""
    if ordered.dtype.kind == "f":
        return np.searchsorted(ordered, np.array(grid.edges, dtype=np.float64), side="right")
    # For whole numbers x <= e exactly when x <= floor(e); beyond the type an edge holds all or none.
    info = np.iinfo(ordered.dtype)
    floors = [math.floor(edge) for edge in grid.edges]
    edges = np.array([min(max(edge, int(info.min)), int(info.max)) for edge in floors], dtype=ordered.dtype)
    places = np.searchsorted(ordered, edges, side="right")
    places[[edge < info.min for edge in floors]] = 0
    return places


def _differences(up_to: NDArray[np.integer[Any]], total: int) -> tuple[int, ...]:
    return tuple(np.diff(up_to, prepend=0, append=total).tolist())


def _count_categories(array: pa.Array, kind: Kind, grid: CategoryGrid) -> GridCounts:
    _check_categories(kind, grid, str(array.type))
    target = _target(kind)
    values = array.drop_null().cast(target)
    return GridCounts(_place(values, None, grid, target), array.null_count)


def _categories_from_column(column: ColumnProfile, grid: CategoryGrid) -> GridCounts | None:
    _check_categories(column.kind, grid, column.type)
    if column.values is None or not column.values.exact:
        return None
    target = _target(column.kind)
    held = column.values.values
    values = held if isinstance(held, pa.Array) else pa.array(held).cast(target)
    return GridCounts(_place(values, column.values.counts, grid, target), column.nulls, column.nan)


def _target(kind: Kind) -> pa.DataType:
    return {Kind.TEXT: pa.large_string(), Kind.BOOLEAN: pa.bool_(), Kind.UNSIGNED: pa.uint64()}.get(kind, pa.int64())


def _place(values: pa.Array, counts: NDArray[Any] | None, grid: CategoryGrid, target: pa.DataType) -> tuple[int, ...]:
    """Count values in cells, each as often as `counts` says, or once."""
    try:
        categories = pa.array(grid.values, target)
    except (pa.ArrowInvalid, OverflowError):  # a category the type cannot hold, such as -1 among uint64
        whole = [value for value in grid.values if isinstance(value, int) and 0 <= value < 2**64]
        found = dict(zip(whole, _place(values, counts, CategoryGrid(tuple(whole)), target), strict=False))
        known = [found.get(value, 0) if isinstance(value, int) else 0 for value in grid.values]
        return (*known, (len(values) if counts is None else int(counts.sum())) - sum(known))
    places = pc.index_in(values, value_set=categories).fill_null(len(grid.values)).to_numpy()
    if counts is None:
        return tuple(np.bincount(places, minlength=grid.cells).tolist())
    cells = np.zeros(grid.cells, np.int64)
    np.add.at(cells, places, counts)
    return tuple(cells.tolist())


def _check_categories(kind: Kind, grid: CategoryGrid, type_text: str) -> None:
    expected = {Kind.TEXT: str, Kind.INTEGER: int, Kind.UNSIGNED: int, Kind.BOOLEAN: bool}.get(kind)
    if expected is None or any(type(value) is not expected for value in grid.values):
        held = type(next(iter(grid.values), "")).__name__
        raise SchemaMismatchError(
            f"Values of type {type_text} have no place in a vocabulary of {held}.",
            hint="Text, whole numbers and booleans have vocabularies of their own kind.",
        )

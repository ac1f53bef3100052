"""Tables of feature against label: exact counts of cells, and how much one says of the other."""

import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.pinned import Category, CategoryGrid, NumericGrid, ValueGrid
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, read_numbers
from foldstore.datastore.statistics.row_source import Batches, RowSource, Scan, cut_rows
from foldstore.errors import SchemaMismatchError, UsageError, column_not_found

BINS: Final = 10
# As many values of a column have a cell of their own; the others share one.
MAX_VALUES: Final = 50
_CHUNK_ROWS: Final = 131_072
_KIND: Final = "against/1"
_CATEGORICAL: Final = (Kind.TEXT, Kind.BOOLEAN, Kind.INTEGER, Kind.UNSIGNED)


@dataclass(frozen=True, eq=False)
class CrossTable:
    """How many rows fall into each cell of a feature and of the label.

    Attributes
    ----------
    feature, label : str
    rows, columns : tuple of str
        What the cells of the feature and of the label hold; ``null`` and ``NaN`` are cells too.
    counts : ndarray of int64, shape (rows, columns)

    Notes
    -----
    The measures leave rows without a label out, and keep those without a feature: that a value is
    missing may say much. Cells without rows count for nothing.
    """

    feature: str
    label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: Ints

    @cached_property
    def _labelled(self) -> Ints:
        known = [place for place, name in enumerate(self.columns) if name not in ("null", "NaN")]
        table = self.counts[:, known]
        held: Ints = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
        return held

    @property
    def labelled(self) -> int:
        """How many rows have a label."""
        return int(self._labelled.sum())

    @property
    def mutual_information(self) -> float:
        """How many bits feature and label tell of each other: ``sum p log2(p / (p_row p_column))``.

        The plug-in estimate (Shannon 1948). From few rows it is too large, by about `information_bias`.
        """
        table, n = self._labelled, self.labelled
        if not n:
            return 0.0
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
        held = table > 0
        return max(0.0, float(np.sum(table[held] * np.log2(table[held] / expected[held])) / n))

    @property
    def information_bias(self) -> float:
        """What independent columns with these cells would show: ``(R - 1)(C - 1) / (2 n ln 2)`` (Miller 1955)."""
        (r, c), n = self._labelled.shape, self.labelled
        return (r - 1) * (c - 1) / (2 * n * math.log(2)) if n else 0.0

    @property
    def chi_squared(self) -> float:
        """Pearson's statistic against independence (1900), without a correction."""
        table, n = self._labelled, self.labelled
        if not n:
            return 0.0
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
        return float(np.sum((table - expected) ** 2 / expected))

    @property
    def cramers_v(self) -> float | None:
        """``sqrt(chi2 / (n min(R - 1, C - 1)))``, from 0 to 1 (Cramér 1946); None where one does not vary."""
        smaller = min(self._labelled.shape) - 1
        return math.sqrt(min(1.0, self.chi_squared / (self.labelled * smaller))) if smaller > 0 else None

    @property
    def cramers_v_corrected(self) -> float | None:
        """Cramér's V after Bergsma (2013), about 0 for independent columns however few rows there are."""
        (r, c), n = self._labelled.shape, self.labelled
        if min(r, c) < 2 or n < 2:
            return None
        phi = max(0.0, self.chi_squared / n - (r - 1) * (c - 1) / (n - 1))
        smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
        return math.sqrt(min(1.0, phi / smaller)) if smaller > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "feature": self.feature,
            "label": self.label,
            "mutual_information": self.mutual_information,
            "information_bias": self.information_bias,
            "chi_squared": self.chi_squared,
            "cramers_v": self.cramers_v,
            "cramers_v_corrected": self.cramers_v_corrected,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "counts": self.counts.tolist(),
        }

    def to_arrow(self) -> pa.Table:
        """Return a table with a row a cell: ``feature``, ``label``, ``count``."""
        names = [(row, column) for row in self.rows for column in self.columns]
        kinds = [pa.array([pair[i] for pair in names], pa.string()) for i in (0, 1)]
        return pa.table([*kinds, pa.array(self.counts.ravel())], names=["feature", "label", "count"])

    def __repr__(self) -> str:
        v = self.cramers_v_corrected
        shown = "none" if v is None else f"{v:.3f}"
        return f"CrossTable({self.feature} x {self.label}: {self.labelled} rows, V {shown})"

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in (self.feature, *self.columns))
        lines = "".join(
            f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{count}</td>' for count in row)}</tr>"
            for name, row in zip(self.rows, self.counts.tolist(), strict=True)
        )
        return f"<table><tr>{heads}</tr>{lines}</table>"


@dataclass(frozen=True, slots=True, eq=False)
class LabelTables(Mapping[str, CrossTable]):
    """The table of each feature against one label.

    Attributes
    ----------
    label : str
    tables : Mapping
        By feature.
    """

    label: str
    tables: Mapping[str, CrossTable]

    def __getitem__(self, feature: str) -> CrossTable:
        if feature not in self.tables:
            raise column_not_found(feature, self.tables, where=f"the tables against {self.label}")
        return self.tables[feature]

    def __contains__(self, feature: object) -> bool:
        return feature in self.tables

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __repr__(self) -> str:
        return f"LabelTables({len(self)} features x {self.label})"

    def strongest(self, n: int = 10) -> list[tuple[str, float]]:
        """Return the features that say most of the label, with Cramér's V after Bergsma."""
        found = [(name, v) for name, table in self.items() if (v := table.cramers_v_corrected) is not None]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:n]

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"label": self.label, "tables": [table.to_dict() for table in self.values()]}

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{table.mutual_information:.4f}</td>"
            f"<td>{'' if table.cramers_v_corrected is None else f'{table.cramers_v_corrected:.3f}'}</td></tr>"
            for name, table in self.items()
        )
        return f"<table><tr><th>against {html.escape(self.label)}</th><th>bits</th><th>V</th></tr>{lines}</table>"


def tabulate(
    rows: RowSource, profile: Profile, label: str, features: Sequence[str] | None = None, bins: int = BINS
) -> LabelTables:
    """Count features against a label, on cells that the profile of the rows suggests.

    A column with at most 50 different values has a cell for each; of texts with more, the 50 most
    frequent have one. Other numbers and times are cut at their quantiles.

    Raises
    ------
    SchemaMismatchError
        When the label has no cells: bytes and nested values have none. Such features are left out,
        unless they were named.
    """
    if not 2 <= bins <= MAX_VALUES:
        raise UsageError(f"bins is {bins}; there are 2 to {MAX_VALUES}.", hint="Leave it out for 10.")
    for name in (label, *(features or ())):
        if name not in profile.columns:
            raise column_not_found(name, profile.columns, where="the rows")
    names = [name for name in (features or profile.columns) if name != label]
    grids = {name: choose_cells(profile.columns[name], bins) for name in dict.fromkeys([label, *names])}
    for name in (label, *(features or ())):
        if grids[name] is None:
            raise SchemaMismatchError(
                f"Column {name!r} holds {profile.columns[name].type} values, which have no cells to count in.",
                hint="Numbers, texts, booleans, dates and times have.",
                column=name,
            )
    chosen = {name: grid for name, grid in grids.items() if grid is not None}
    counted = _count(rows, chosen)
    return LabelTables(label, dict(_tables(label, chosen, counted)))


def choose_cells(column: ColumnProfile, bins: int = BINS) -> ValueGrid | None:
    """Return the cells that a column's values are counted in; None for bytes and nested values."""
    values = column.values
    if values is None or column.kind is Kind.BINARY:
        return None
    if column.kind is Kind.TEXT or (column.kind in _CATEGORICAL and values.exact and len(values) <= MAX_VALUES):
        most = [raw for raw, _ in values.top(MAX_VALUES)]
        categories: list[Category] = [bool(raw) for raw in most] if column.kind is Kind.BOOLEAN else most
        return CategoryGrid(tuple(sorted(categories)))
    if values.exact and len(column.finite_values()[0]) <= MAX_VALUES:
        return NumericGrid(tuple(column.finite_values()[0].tolist()[:-1]))
    cuts = (column.quantile(k / bins) for k in range(1, bins))
    edges = sorted({cut for cut in cuts if cut is not None})
    return NumericGrid(tuple(int(edge) if column.kind.has_integer_grid else edge for edge in edges))


def _count(rows: RowSource, grids: Mapping[str, ValueGrid]) -> list[Ints]:
    """Return the table of each feature against the label, which comes first among the grids."""
    in_order = list(grids.values())

    def compute(schema: pa.Schema, batches: Batches) -> list[Ints]:
        return _count_batches(schema, batches, in_order)

    scan: Scan[list[Ints]] = Scan(_KIND, tuple(grids), compute, _encode, _decode, [grid.to_dict() for grid in in_order])
    total = _no_counts(in_order)
    for part in range(rows.parts):
        found = rows.scan(part, scan)
        total = [a + b for a, b in zip(total, found, strict=True)]
    return total


def _no_counts(grids: Sequence[ValueGrid]) -> list[Ints]:
    return [np.zeros((grid.cells + 2, grids[0].cells + 2), np.int64) for grid in grids[1:]]


def _count_batches(schema: pa.Schema, batches: Batches, grids: Sequence[ValueGrid]) -> list[Ints]:
    total = _no_counts(grids)
    for chunk in cut_rows(schema, batches, _CHUNK_ROWS):
        width = grids[0].cells + 2
        label = place_in_cells(chunk.column(0), grids[0])
        for place, grid in enumerate(grids[1:], 1):
            cells = place_in_cells(chunk.column(place), grid) * width + label
            shape = total[place - 1].shape
            total[place - 1] += np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    return total


def place_in_cells(array: pa.ChunkedArray | pa.Array, grid: ValueGrid) -> NDArray[np.int64]:
    """Return the cell of each row: those of the grid, then one for null and one for NaN."""
    plain = plain_array(array)
    kind = kind_of(plain.type)
    places = np.full(len(plain), grid.cells)
    there = plain.is_valid().to_numpy(zero_copy_only=False) if plain.null_count else np.ones(len(plain), bool)
    if isinstance(grid, CategoryGrid):
        target = pa.large_string() if kind is Kind.TEXT else plain.type
        present = plain.cast(target).drop_null()
        found = pc.index_in(present, value_set=pa.array(grid.values, target))
        places[there] = found.fill_null(len(grid.values)).to_numpy()
        return places
    numbers = read_numbers(plain, kind)
    cells = np.searchsorted(_edges(grid, numbers), numbers, side="left")
    if numbers.dtype.kind == "f":
        cells = np.where(np.isnan(numbers), grid.cells + 1, cells)
    places[there] = cells
    return places


def _edges(grid: NumericGrid, numbers: NDArray[Any]) -> NDArray[Any]:
    whole = all(isinstance(edge, int) for edge in grid.edges)
    return np.array(grid.edges, np.int64 if whole and numbers.dtype.kind == "i" else np.float64)


def _tables(label: str, grids: Mapping[str, ValueGrid], counted: Sequence[Ints]) -> Iterator[tuple[str, CrossTable]]:
    columns = _labels(grids[label])
    for (feature, grid), counts in zip(list(grids.items())[1:], counted, strict=True):
        rows = _labels(grid)
        held = [place for place in range(len(rows)) if counts[place].any()]
        across = [place for place in range(len(columns)) if counts[:, place].any()]
        shown = tuple(rows[place] for place in held), tuple(columns[place] for place in across)
        yield feature, CrossTable(feature, label, *shown, counts[held][:, across])


def _labels(grid: ValueGrid) -> tuple[str, ...]:
    shown = (*map(str, grid.values), "other") if isinstance(grid, CategoryGrid) else grid.labels
    return (*shown, "null", "NaN")


def _encode(tables: list[Ints]) -> bytes:
    return json.dumps([table.tolist() for table in tables]).encode()


def _decode(data: bytes) -> list[Ints]:
    return [np.array(table, np.int64) for table in json.loads(data)]

"""The cell of a pinned grid that each value falls into, and tables of two columns at once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.pinned import CategoryGrid, NumericGrid, ValueGrid
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, read_numbers
from foldstore.errors import SchemaMismatchError

NULL = -1


def cell_numbers(array: pa.Array, grid: ValueGrid) -> NDArray[np.int64]:
    """Return for each value the number of its cell; ``grid.cells`` for NaN and -1 for null.

    Examples
    --------
    >>> from foldstore.datastore.statistics.pinned import NumericGrid
    >>> cell_numbers(pa.array([0, 5, None, 10.0, float("nan"), 11]), NumericGrid((0, 10))).tolist()
    [0, 1, -1, 1, 3, 2]
    """
    plain = plain_array(array)
    kind = kind_of(plain.type)
    present = plain.drop_null()
    cells = _categories(present, kind, grid) if isinstance(grid, CategoryGrid) else _numbers(present, kind, grid)
    if not plain.null_count:
        return cells
    numbers = np.full(len(plain), NULL, np.int64)
    numbers[plain.is_valid().to_numpy(zero_copy_only=False)] = cells
    return numbers


def count_pairs(
    batches: Iterable[pa.RecordBatch], first: tuple[str, ValueGrid], second: tuple[str, ValueGrid]
) -> NDArray[np.int64]:
    """Count rows by the cells of two columns.

    Returns
    -------
    ndarray of int64, shape (cells of the first + 2, cells of the second + 2)
        Of each column the last two cells are NaN and null.
    """
    shape = (first[1].cells + 2, second[1].cells + 2)
    table = np.zeros(shape, np.int64)
    for batch in batches:
        places = [_folded(batch.column(name), grid) for name, grid in (first, second)]
        table += np.bincount(places[0] * shape[1] + places[1], minlength=table.size).reshape(shape)
    return table


def _folded(array: pa.Array, grid: ValueGrid) -> NDArray[np.int64]:
    numbers = cell_numbers(array, grid)
    return np.where(numbers == NULL, grid.cells + 1, numbers)


def _numbers(present: pa.Array, kind: Kind, grid: NumericGrid) -> NDArray[np.int64]:
    if not kind.is_numeric:
        raise SchemaMismatchError(f"Values of type {present.type} have no place on a grid of numbers.")
    values: NDArray[Any] = read_numbers(present, kind)
    if values.dtype.kind != "f":
        # For whole numbers x <= e exactly when x <= floor(e), as in counts; beyond the type an edge holds all or none.
        info = np.iinfo(values.dtype)
        floors = [int(np.floor(edge)) if not isinstance(edge, int) else edge for edge in grid.edges]
        below = sum(edge < info.min for edge in floors)
        inside = np.array([min(edge, int(info.max)) for edge in floors[below:]], dtype=values.dtype)
        return np.asarray(np.searchsorted(inside, values, side="left") + below, np.int64)
    cells = np.searchsorted(np.array(grid.edges, np.float64), values, side="left")
    return np.where(np.isnan(values), grid.cells, cells).astype(np.int64)


def _categories(present: pa.Array, kind: Kind, grid: CategoryGrid) -> NDArray[np.int64]:
    expected = {Kind.TEXT: str, Kind.INTEGER: int, Kind.UNSIGNED: int, Kind.BOOLEAN: bool}.get(kind)
    if expected is None or any(type(value) is not expected for value in grid.values):
        raise SchemaMismatchError(f"Values of type {present.type} have no place in this vocabulary.")
    kept = [(place, value) for place, value in enumerate(grid.values) if kind is not Kind.UNSIGNED or int(value) >= 0]
    target = {Kind.TEXT: pa.large_string(), Kind.BOOLEAN: pa.bool_(), Kind.UNSIGNED: pa.uint64()}.get(kind, pa.int64())
    known = pa.array([value for _, value in kept], target)
    found = pc.index_in(present.cast(target), value_set=known).fill_null(len(kept)).to_numpy()
    places = np.array([*(place for place, _ in kept), len(grid.values)], np.int64)
    return np.asarray(places[found])

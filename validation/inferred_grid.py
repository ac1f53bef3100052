"""The cells that an inferred schema compares distributions on, and the columns that it compares none of."""

import math
import re
import sys
from typing import Final

import numpy as np

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.pinned import Category, CategoryGrid, NumericGrid, PinnedGrid
from foldstore.datastore.statistics.reading import Kind, parse_type

# Cells of equal mass, and what a value must hold to have a cell of its own.
GRID_CELLS: Final = 20
POINT_MASS: Final = 0.05
_VOCABULARY: Final = 1_000
_VOCABULARY_MASS: Final = 0.99
# Share of different values above which whole numbers are taken for identifiers.
_IDENTIFIER: Final = 0.95
# Share of texts that must read as dates.
_DATED: Final = 0.9
_GREATEST: Final = sys.float_info.max
_CALENDAR: Final = frozenset(
    ("year", "quarter", "month", "week", "weekday", "day", "dow", "doy", "date", "yyyymm", "yyyymmdd", "epoch")
)
_DAY_OF: Final = re.compile(r"day_of_(week|month|year)")


def is_calendar(name: str, column: ColumnProfile) -> bool:
    """Whether a column tells when a row is from, and so moves with every batch.

    Dates and timestamps do, texts that read as such, and whole numbers with a name such as ``year`` or ``order_month``;
    hours and minutes are not counted, since batches rarely span less than a day.
    """
    if column.kind is Kind.TEXT:
        return column.present > 0 and column.text_classes.get("date", 0) >= _DATED * column.present
    kind = parse_type(column.type)
    if column.kind is Kind.TEMPORAL:
        return kind is not None and not column.type.startswith(("time32", "time64", "duration"))
    if column.kind not in (Kind.INTEGER, Kind.UNSIGNED):
        return False
    if (column.low, column.high) == (0, 1):
        return False  # whether something was so that day
    lowered = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    *before, last = lowered.split("_")
    return (last in _CALENDAR and before[-1:] != ["per"]) or _DAY_OF.search(lowered) is not None


def infer_grid(
    name: str, column: ColumnProfile, *, is_key: bool = False, is_categorical: bool = False
) -> PinnedGrid | None:
    """Choose the cells to compare distributions on; None where a comparison would say nothing.

    Numbers: 20 cells of equal mass, ties joined, and a cell of its own for each value with more than
    5 % of the mass. The edges are values, or ends of the free grid's bins, so that the reference
    counts follow from the profile exactly. Text: the most frequent values that cover 99 %, at most
    1,000; so too whole numbers that are names. Identifiers, calendar columns and constants have none; for a constant
    see `constant_grid`.
    """
    if column.values is None or not column.present or is_calendar(name, column):
        return None
    if column.kind is Kind.BOOLEAN:
        return CategoryGrid((False, True))
    if column.kind is Kind.TEXT or is_categorical:
        return _vocabulary(column)
    if not column.kind.is_numeric or is_key or is_identifier(column):
        return None
    return _equal_mass(column)


def constant_grid(name: str, column: ColumnProfile) -> PinnedGrid | None:
    """Return cells that set the one value of a column apart from all others; one cell where it has none.

    Infinities are apart from all numbers, as NaN is.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.datastore.statistics.column import profile_array
    >>> constant_grid("fee", profile_array(pa.array([7] * 20))).labels
    ('<= 6', '(6, 7]', '> 7')
    """
    if is_calendar(name, column):
        return None
    if column.kind is Kind.BOOLEAN or not column.kind.is_numeric:
        return infer_grid(name, column) if column.present else CategoryGrid(())
    ends, _ = column.mass()
    if not len(ends):
        return NumericGrid((-_GREATEST, _GREATEST) if column.present else ())
    value = ends[0].item()
    below = value - 1 if isinstance(value, int) else math.nextafter(value, -math.inf)
    return NumericGrid((below, value) if math.isfinite(below) else (value,))


def _vocabulary(column: ColumnProfile) -> CategoryGrid | None:
    if column.values is None or not column.values.exact:  # a reference must be exact
        return None
    top = column.top(_VOCABULARY)
    cumulated = np.cumsum([count for _, count in top])
    needed = int(np.searchsorted(cumulated, _VOCABULARY_MASS * column.present)) + 1
    # A value that covers little is no cell of its own in what is mostly other values: identifiers, free text.
    if needed > len(top) or needed > 0.1 * column.present:
        return None
    return CategoryGrid(tuple(category(value) for value, _ in top[:needed]))


def category(value: object) -> Category:
    """Return a counted value as one that a list of categories may hold."""
    return value if isinstance(value, bool | int) else str(value)


def is_identifier(column: ColumnProfile) -> bool:
    """Whether whole numbers are so different that they tell rows apart."""
    whole = column.kind in (Kind.INTEGER, Kind.UNSIGNED)
    return whole and column.present >= 100 and (column.distinct or 0) > _IDENTIFIER * column.present


def _equal_mass(column: ColumnProfile) -> NumericGrid | None:
    ends, counts = column.mass()
    total = int(counts.sum())
    if len(ends) < 2:
        return None
    targets = np.arange(1, GRID_CELLS) * (total / GRID_CELLS)
    places = set(np.searchsorted(np.cumsum(counts), targets).tolist())
    for heavy in np.flatnonzero(counts > POINT_MASS * total).tolist():
        places |= {heavy - 1, heavy}
    # Above the greatest value there is nothing to set apart.
    edges = [ends[place].item() for place in sorted(places) if 0 <= place < len(ends) - 1]
    return NumericGrid(tuple(edges)) if edges else None

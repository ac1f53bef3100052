"""How the values of a column become cells: each value one, ranges of numbers, or the two sides of a threshold.

Null and NaN have no cell. A column is placed batch by batch; cells of values are found on the way.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.pinned import NumericGrid
from foldstore.datastore.statistics.reading import Kind, kind_of, read_numbers, value_type
from foldstore.datastore.statistics.short_texts import encode_texts
from foldstore.errors import UsageError
from foldstore.views.values import display_values

Codes: TypeAlias = NDArray[np.int64]

MISSING: Final = -1
_NAN: Final = -2
NUMBERS: Final = frozenset({Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL})
_COMPARISON: Final = re.compile(
    r"\s*(<=|>=|<>|!=|==|=|<|>)\s*([+-]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,4})?)\s*", re.ASCII
)
_HOLDS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "<>": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_OPPOSITE: Final = {"<": ">=", "<=": ">", "=": "<>", "<>": "=", ">=": "<", ">": "<="}
_SPELLED: Final = {"!=": "<>", "==": "="}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the values of a batch belong.

    Attributes
    ----------
    codes : array of int
        The cell of each value; -1 for null and NaN.
    nan : int
        How many are NaN.
    """

    codes: Codes
    nan: int = 0


class Cells(Protocol):
    """The cells of a column."""

    @property
    def names(self) -> Sequence[str]:
        """What each cell holds, for people; it may grow with each batch."""

    @property
    def values(self) -> Sequence[Any]:
        """The value of each cell, or its name where it holds many."""

    def place(self, column: pa.Array) -> Placed:
        """Say which cell each value of a batch belongs to."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison with a number, such as ``> 15``.

    Examples
    --------
    >>> str(Threshold("<=", 25)), Threshold("<=", 25).hold(np.array([25, 26])).tolist()
    ('<= 25', [True, False])
    """

    operator: str
    number: int | float

    def __str__(self) -> str:
        return f"{self.operator} {self.number}"

    @property
    def opposite(self) -> "Threshold":
        """What holds where this does not."""
        return Threshold(_OPPOSITE[self.operator], self.number)

    def hold(self, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Say for each number whether the comparison holds; whole numbers are compared exactly."""
        try:
            return np.asarray(_HOLDS[self.operator](numbers, self.number), np.bool_)
        except OverflowError:  # a whole number beyond the type of the column
            return np.asarray(_HOLDS[self.operator](numbers.astype(np.float64), float(self.number)), np.bool_)


def read_threshold(text: object) -> Threshold | None:
    """Read a comparison; None when the text is not one.

    Examples
    --------
    >>> read_threshold(">= 15"), read_threshold("late")
    (Threshold(operator='>=', number=15), None)
    """
    found = _COMPARISON.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    sign, number = found.groups()
    return Threshold(_SPELLED.get(sign, sign), int(number) if number.lstrip("+-").isdigit() else float(number))


class ValueCells:
    """A cell for each value of a column, found as it is read.

    Parameters
    ----------
    column : str
        Its name, for messages.
    limit : int
        How many values there may be.
    hint : str
        What to do when there are more.
    """

    def __init__(self, column: str, limit: int, hint: str) -> None:
        self._column = column
        self._limit = limit
        self._hint = hint
        self._codes: dict[Any, int] = {}
        self.names: list[str] = []
        self.values: list[Any] = []

    def place(self, column: pa.Array) -> Placed:
        """Say which cell each value belongs to, with new cells for new values.

        Raises
        ------
        UsageError
            When there are more values than the limit.
        """
        column = _storage(column)
        if not pa.types.is_dictionary(column.type):
            column = encode_texts(column)
        places = _indices(column)
        counts = np.bincount(places + 1, minlength=len(column.dictionary) + 1)[1:]
        used = np.flatnonzero(counts)  # a dictionary may hold values that no row has
        table = np.full(len(counts) + 1, MISSING, np.int64)  # its last place is that of -1
        nan = 0
        found = column.dictionary
        if pa.types.is_string_view(found.type):  # views of text have no kernel that takes
            found = found.cast(pa.large_string())
        for place, value in zip(used.tolist(), display_values(found.take(pa.array(used))), strict=True):
            if isinstance(value, float) and value != value:  # noqa: PLR0124  (NaN)
                nan += int(counts[place])
            elif value is not None:
                table[place] = self._code(value)
        return Placed(table[places], nan)

    def _code(self, value: Any) -> int:
        if value == 0 and isinstance(value, float):
            value = 0.0  # -0 is the same number
        if value not in self._codes:
            if len(self._codes) >= self._limit:
                raise UsageError(
                    f"{self._column!r} has more than {self._limit:,} values.",
                    hint=self._hint,
                    code="too-many-values",
                    column=self._column,
                    limit=self._limit,
                )
            self._codes[value] = len(self._codes)
            self.values.append(value)
            self.names.append(name_value(value))
        return self._codes[value]


class BinCells:
    """Ranges of numbers: ``<= e0``, ``(e0, e1]``, ..., ``> en``."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self.names: Sequence[str] = NumericGrid(tuple(edges)).labels
        self.values: Sequence[Any] = self.names

    def place(self, column: pa.Array) -> Placed:
        """Say which range each number lies in."""
        return _place_numbers(column, self._ranges)

    def _ranges(self, numbers: NDArray[Any]) -> Codes:
        # A whole number is at most 15.5 where it is at most 15.
        floors = [floor(edge) for edge in self._edges]
        if numbers.dtype.kind == "i" and all(abs(edge) < 2**63 for edge in floors):
            return np.searchsorted(np.array(floors, np.int64), numbers).astype(np.int64)
        return np.searchsorted(np.array(self._edges, np.float64), numbers.astype(np.float64)).astype(np.int64)


class ThresholdCells:
    """Two cells: the numbers that a comparison holds for, and the others."""

    def __init__(self, threshold: Threshold) -> None:
        self._threshold = threshold
        self.names: Sequence[str] = (str(threshold), str(threshold.opposite))
        self.values: Sequence[Any] = self.names

    def place(self, column: pa.Array) -> Placed:
        """Say on which side each number lies."""
        return _place_numbers(column, lambda numbers: (~self._threshold.hold(numbers)).astype(np.int64))


def check_countable(column: str, kind: pa.DataType) -> Kind:
    """Return how a column's values are read, when they are values that can be counted.

    Raises
    ------
    UsageError
        For lists, structs, bytes and other types whose values are no categories.
    """
    reading = kind_of(kind)
    if reading is Kind.BINARY or (reading is Kind.OPAQUE and not pa.types.is_null(value_type(kind))):
        raise UsageError(
            f"Column {column!r} has type {kind}: its values are neither categories nor numbers.",
            hint="Compute a column of texts, numbers or booleans in a view: select(name='expression').",
            code="unsupported-type",
            column=column,
            type=str(kind),
        )
    return reading


def hold_values(column: pa.Array, threshold: Threshold) -> NDArray[np.bool_]:
    """Say for each value whether it is a number that a comparison holds for."""
    placed = _place_numbers(column, lambda numbers: threshold.hold(numbers).astype(np.int64))
    return np.asarray(placed.codes == 1, np.bool_)


def name_value(value: Any) -> str:
    """Write a value as the name of its cell.

    Examples
    --------
    >>> name_value(True), name_value("F"), name_value(1.5)
    ('true', 'F', '1.5')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _place_numbers(column: pa.Array, place: Callable[[NDArray[Any]], Codes]) -> Placed:
    codes = _number_codes(_storage(column), place)
    missing = codes == _NAN
    nan = int(missing.sum())
    if nan:
        codes[missing] = MISSING
    return Placed(codes, nan)


def _number_codes(column: pa.Array, place: Callable[[NDArray[Any]], Codes]) -> Codes:
    """Return the code of each number, -1 for null, -2 for NaN."""
    if pa.types.is_dictionary(column.type):
        # By hand: decoding looks at the index under a null, which pandas leaves outside the dictionary.
        table = np.append(_number_codes(column.dictionary, place), MISSING)
        return np.asarray(table[_indices(column)])
    numbers = read_numbers(column, kind_of(column.type))
    codes = place(numbers)
    if numbers.dtype.kind == "f":
        codes[np.isnan(numbers)] = _NAN
    if not column.null_count:
        return codes
    placed = np.full(len(column), MISSING, np.int64)
    placed[column.is_valid().to_numpy(zero_copy_only=False)] = codes
    return placed


def _indices(column: pa.DictionaryArray) -> Codes:
    """Return the place of each value in the dictionary; -1 for null."""
    indices = column.indices.cast(pa.int64(), safe=False)  # polars has unsigned ones, which hold no -1
    places: Codes = (indices.fill_null(MISSING) if indices.null_count else indices).to_numpy()
    return places


def _storage(column: pa.Array) -> pa.Array:
    while isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column

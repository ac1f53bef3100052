"""Entity keys as small integers: the same key has the same code in a feature table and in whatever asks it.

A key that the feature table does not hold, and a key with a null, has the code -1 and matches nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import SchemaMismatchError

Codes: TypeAlias = NDArray[np.int64]

NO_MATCH: Final = -1
_LIMIT: Final = 2**62
_TABLE: Final = 2**20  # values
_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "binary": (bytes,), "bool": (bool,)}


class _ColumnCodes(Protocol):
    width: int

    @property
    def low(self) -> int:
        """The least value, where codes count from one."""

    @property
    def values(self) -> pa.Array | None:
        """The values in the order of their codes, where they do not count."""

    def encode(self, column: pa.Array) -> Codes:
        """Return each value's code."""

    def encode_one(self, value: Any) -> int:
        """Return one value's code."""


class KeyEncoder:
    """Codes for the keys that a feature table holds.

    Parameters
    ----------
    columns : sequence of ChunkedArray
        The key columns of the feature table.
    types : mapping of str to str
        The entity's keys and their types, in the same order; without any all rows have one code.
    num_rows : int
        How many rows there are.

    Attributes
    ----------
    codes : ndarray of int64
        Each row's code.
    width : int
        All codes are below it.
    """

    __slots__ = ("_columns", "_dense", "_final", "_types", "codes", "width")

    def __init__(self, columns: Sequence[pa.ChunkedArray], types: Mapping[str, str], num_rows: int) -> None:
        self._types = dict(types)
        arrays = [key_column(column, name, kind) for column, (name, kind) in zip(columns, types.items(), strict=True)]
        self._columns = [_column_codes(array) for array in arrays]
        self._dense: list[Codes | None] = []
        self._final: Codes | None = None
        codes: Codes | None = None
        width = 1
        for array, column in zip(arrays, self._columns, strict=True):
            dense = None if codes is None or width * column.width < _LIMIT else _distinct(codes)
            self._dense.append(dense)
            if codes is not None and dense is not None:
                codes, width = _find(dense, codes), len(dense)
            codes, width = _combine(codes, column.encode(array), column.width), width * column.width
        self.codes = np.zeros(num_rows, dtype=np.int64) if codes is None else codes
        self.width = max(width, 1)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, pa.Array]]:
        """Return what codes depend on: plain data, and arrays by name."""
        arrays = {}
        for number, (column, dense) in enumerate(zip(self._columns, self._dense, strict=True)):
            if column.values is not None:
                arrays[f"values{number}"] = column.values
            if dense is not None:
                arrays[f"dense{number}"] = pa.array(dense)
        if self._final is not None:
            arrays["final"] = pa.array(self._final)
        columns = [{"low": column.low, "width": column.width} for column in self._columns]
        return {"columns": columns, "width": self.width}, arrays

    @classmethod
    def from_parts(cls, types: Mapping[str, str], plain: Mapping[str, Any], arrays: Mapping[str, pa.Array]) -> Self:
        """Make an encoder of what `to_parts` gave; it has no rows of its own."""
        encoder = cls.__new__(cls)
        encoder._restore(types, plain, arrays)  # noqa: SLF001  # its own class
        return encoder

    def _restore(self, types: Mapping[str, str], plain: Mapping[str, Any], arrays: Mapping[str, pa.Array]) -> None:
        self._types = dict(types)
        self._columns = [
            _restored(kind, said["low"], said["width"], arrays.get(f"values{number}"))
            for number, (kind, said) in enumerate(zip(types.values(), plain["columns"], strict=True))
        ]
        places = [f"dense{number}" for number in range(len(self._types))]
        self._dense = [arrays[place].to_numpy() if place in arrays else None for place in places]
        self._final = arrays["final"].to_numpy() if "final" in arrays else None
        self.codes, self.width = np.empty(0, dtype=np.int64), plain["width"]

    def make_dense(self) -> None:
        """Number the codes without gaps, when every bit counts."""
        self._final = _distinct(self.codes)
        self.codes, self.width = _find(self._final, self.codes), max(len(self._final), 1)

    def encode(self, columns: Sequence[pa.ChunkedArray], num_rows: int) -> Codes:
        """Return the code of each key, -1 where the feature table does not hold it."""
        arrays = [
            key_column(column, name, kind) for column, (name, kind) in zip(columns, self._types.items(), strict=True)
        ]
        codes: Codes | None = None
        for array, column, dense in zip(arrays, self._columns, self._dense, strict=True):
            before = codes if codes is None or dense is None else _find(dense, codes)
            codes = _combine(before, column.encode(array), column.width)
        if codes is None:
            codes = np.zeros(num_rows, dtype=np.int64)
        return codes if self._final is None else _find(self._final, codes)

    def encode_one(self, key: Mapping[str, Any]) -> int:
        """Return the code of one key, given as plain values."""
        code = 0
        for (name, kind), column, dense in zip(self._types.items(), self._columns, self._dense, strict=True):
            part = column.encode_one(_key_value(key, name, kind))
            code = code if dense is None else _find_one(dense, code)
            if NO_MATCH in (code, part):
                return NO_MATCH
            code = code * column.width + part
        return code if self._final is None else _find_one(self._final, code)


def key_column(column: pa.ChunkedArray | pa.Array, name: str, kind: str) -> pa.Array:
    """Read a key column in the entity's type; text and integers of other widths are taken as they are.

    Raises
    ------
    SchemaMismatchError
        When the column is of another type, or a value does not fit.
    """
    wanted = pa.type_for_alias(kind)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not fits_key(array.type, kind):
        raise SchemaMismatchError(
            f"Key column {name!r} is {array.type}, the entity says {kind}.", hint="Cast the column.", column=name
        )
    if pa.types.is_integer(wanted):
        return _as_int64(array, name, wanted)
    return array.cast(wanted)


def fits_key(given: pa.DataType, kind: str) -> bool:
    """Say whether a column of a type can be a key of another one: text, bytes and integers may be of other widths.

    Examples
    --------
    >>> fits_key(pa.int16(), "int64"), fits_key(pa.string(), "int64")
    (True, False)
    """
    wanted = pa.type_for_alias(kind)
    given = given.value_type if pa.types.is_dictionary(given) else given
    if given == wanted or pa.types.is_null(given):
        return True
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(given))
    if wanted == pa.string():
        return bool(pa.types.is_large_string(given) or pa.types.is_string_view(given))
    if wanted == pa.binary():
        return bool(pa.types.is_large_binary(given) or pa.types.is_binary_view(given))
    return False


def _as_int64(array: pa.Array, name: str, wanted: pa.DataType) -> pa.Array:
    """Compare integers of every width as int64; uint64 alone keeps its own."""
    try:
        return array.cast(pa.uint64() if wanted == pa.uint64() else pa.int64())
    except pa.ArrowInvalid as error:
        raise SchemaMismatchError(
            f"Key column {name!r} holds values that are no {wanted}: {error}.", hint="Cast the column.", column=name
        ) from None


class _IntegerCodes:
    """Integers: their distance from the smallest where they lie close together, else their rank."""

    __slots__ = ("_distinct", "_ranks", "low", "width")

    def __init__(self, low: int, width: int, distinct: NDArray[Any] | None) -> None:
        self.low = low
        self.width = width
        self._distinct = distinct
        self._ranks: Codes | None = None

    @classmethod
    def of(cls, array: pa.Array) -> Self:
        """Make the codes of a column."""
        values = array.drop_null().to_numpy(zero_copy_only=False)
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, -1)
        width = high - low + 1
        if width <= 8 * len(values) + 1_024:
            return cls(low, width, None)
        distinct = np.unique(values)
        return cls(low, len(distinct), distinct)

    @property
    def values(self) -> pa.Array | None:
        """The values in the order of their codes, where they do not count."""
        return None if self._distinct is None else pa.array(self._distinct)

    def encode(self, column: pa.Array) -> Codes:
        values = (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)
        codes = self._distances(values, self.width) if self._distinct is None else self._find(self._distinct, values)
        if column.null_count:
            codes[column.is_null().to_numpy(zero_copy_only=False)] = NO_MATCH
        return codes

    def _distances(self, values: NDArray[Any], width: int) -> Codes:
        """Return the distance of each value from the smallest, -1 for those that are beyond a width."""
        # What lies below wraps around, to beyond every width.
        distances: Codes = (values - np.asarray(self.low, values.dtype)).view(np.int64)
        distances |= -(distances.view(np.uint64) >= np.uint64(width)).astype(np.int64)  # all bits set are NO_MATCH
        return distances

    def _find(self, distinct: NDArray[Any], values: NDArray[Any]) -> Codes:
        """Return the rank of each value; of many ones by a table of all that may be, where it is small."""
        span = int(distinct[-1]) - self.low + 1 if len(distinct) else _TABLE
        if span >= _TABLE or len(values) < span:
            return _find(distinct, values)
        if self._ranks is None:
            self._ranks = np.full(span + 1, NO_MATCH, dtype=np.int64)
            self._ranks[self._distances(distinct, span)] = np.arange(len(distinct))
        return self._ranks[self._distances(values, span)]  # the last one is of what is not there

    def encode_one(self, value: Any) -> int:
        if value is None:
            return NO_MATCH
        if self._distinct is not None:
            return _find_one(self._distinct, value)
        return value - self.low if self.low <= value < self.low + self.width else NO_MATCH


class _ValueCodes:
    """Text, bytes, booleans, dates: the place in a dictionary."""

    __slots__ = ("_dictionary", "_places", "width")

    def __init__(self, values: pa.Array) -> None:
        self._dictionary = values
        self._places: dict[Any, int] | None = None
        self.width = len(self._dictionary)

    @property
    def low(self) -> int:
        """The least value, where codes count from one."""
        return 0

    @property
    def values(self) -> pa.Array | None:
        """The values in the order of their codes."""
        return self._dictionary

    def encode(self, column: pa.Array) -> Codes:
        # Null is not in the dictionary, so it finds nothing.
        found = pc.index_in(column, value_set=self._dictionary).fill_null(NO_MATCH)
        codes: Codes = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return codes

    def encode_one(self, value: Any) -> int:
        if self._places is None:
            self._places = {item: place for place, item in enumerate(self._dictionary.to_pylist())}
        return self._places.get(value, NO_MATCH)


def _column_codes(array: pa.Array) -> _ColumnCodes:
    return _IntegerCodes.of(array) if pa.types.is_integer(array.type) else _ValueCodes(array.drop_null().unique())


def _restored(kind: str, low: int, width: int, values: pa.Array | None) -> _ColumnCodes:
    if not pa.types.is_integer(pa.type_for_alias(kind)):
        return _ValueCodes(pa.array([], pa.type_for_alias(kind)) if values is None else values)
    return _IntegerCodes(low, width, None if values is None else values.to_numpy())


def _combine(codes: Codes | None, part: Codes, width: int) -> Codes:
    """Put another column's codes behind those so far; where either has no match, so has the key."""
    if codes is None:
        return part
    combined = codes * width + part
    combined |= -((codes | part) < 0).astype(np.int64)  # all bits set are NO_MATCH
    return combined


def _distinct(codes: Codes) -> Codes:
    distinct = np.unique(codes)
    return distinct[distinct >= 0]


def _find(distinct: NDArray[Any], values: NDArray[Any]) -> Codes:
    """Return each value's rank, -1 where it is not there."""
    if not len(distinct):
        return np.full(len(values), NO_MATCH, dtype=np.int64)
    places = np.searchsorted(distinct, values)
    places[places == len(distinct)] = 0
    return np.where(distinct[places] == values, places, NO_MATCH)


def _find_one(distinct: NDArray[Any], value: int) -> int:
    bounds = np.iinfo(distinct.dtype)
    if not bounds.min <= value <= bounds.max:
        return NO_MATCH
    place = int(np.searchsorted(distinct, distinct.dtype.type(value)))
    return place if place < len(distinct) and distinct[place] == value else NO_MATCH


def _key_value(key: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in key:
        raise SchemaMismatchError(f"The key {name!r} is missing.", hint=f"Give {name}, a value of type {kind}.")
    value = key[name]
    expected = _PYTHON_TYPES.get(kind)
    if value is None:
        return None
    if expected is None:
        right = type(value).__name__ == "date" if kind == "date32" else type(value) is int
    else:
        right = isinstance(value, expected)
    if not right:
        raise SchemaMismatchError(
            f"Key {name!r} is {ascii(value)[:60]}, not a value of type {kind}.", hint="Give the key in its own type."
        )
    return value

"""Running totals of one column, row by row in the order of an index: a window is the difference of two of them.

Sums are exact integers (`exact_sum`), so that a window's sum depends on its rows alone: on no row before it, on no
order, and not on where the rows were cut into tiles.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.views.features.exact_sum import Floats, Integers, split_floats, split_integers

_SPLITTER: Final = 2.0**27 + 1  # Dekker's: it cuts a double into halves whose products are exact
_WHOLE: Final = ("sum", "mean", "std")


@dataclass(frozen=True, slots=True)
class ColumnTotals:
    """What windows need of a column, over its rows in the order of an index.

    Attributes
    ----------
    values : pyarrow.Array
        The values, nulls left out.
    before : ndarray of int64 or None
        How many values stand before each row, and before the end; None where each row has one.
    digits : mapping of int to ndarray of int64
        Of each digit the sum over all values before each; see `exact_sum`. None of a column that is not added.
    squares : mapping of int to ndarray of int64
        The same of squares.
    odd : mapping of str to ndarray of int64
        How many NaN, infinities (``inf``), negative ones (``-inf``) and values whose squares are beyond all doubles
        (``wide``) stand before each value, where there are any.
    steps : ndarray of int64 or None
        How often a value before each differs from the one before that; only with squares.
    """

    values: pa.Array
    before: Integers | None
    digits: Mapping[int, Integers]
    squares: Mapping[int, Integers]
    odd: Mapping[str, Integers]
    steps: Integers | None

    @classmethod
    def of(cls, column: pa.ChunkedArray, rows: Integers, functions: frozenset[str]) -> Self:
        """Add up a column in an order of its rows."""
        taken = column.take(pa.array(rows)).combine_chunks()
        values = taken.chunk(0) if isinstance(taken, pa.ChunkedArray) and taken.num_chunks else taken
        if isinstance(values, pa.ChunkedArray):
            values = pa.array([], column.type)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        before = None
        if values.null_count:
            before = _running(values.is_valid().to_numpy(zero_copy_only=False))
            values = values.drop_null()
        digits: dict[int, Integers] = {}
        squares: dict[int, Integers] = {}
        odd: dict[str, Integers] = {}
        steps = None
        if functions & {*_WHOLE, "quantile"} and pa.types.is_floating(values.type):
            odd = _find_odd(to_floats(values))
        if functions & {*_WHOLE}:
            digits = {place: _running(part) for place, part in _split(values)}
        if "std" in functions:
            floats = _finite(to_floats(values))
            squares, wide = _running_squares(floats)
            odd |= {"wide": wide} if wide[-1] else {}
            steps = _running(np.concatenate([[False], floats[1:] != floats[:-1]])[: len(floats)])
        return cls(values, before, digits, squares, odd, steps)

    def span(self, first: Integers, past: Integers) -> tuple[Integers, Integers]:
        """Return which values stand in ranges of rows."""
        return (first, past) if self.before is None else (self.before[first], self.before[past])

    def values_at(self, rows: Integers) -> pa.Array:
        """Return the value of each row, null where it has none."""
        if self.before is None:
            return self.values.take(pa.array(rows))
        places = self.before[rows]
        return self.values.take(pa.array(places, mask=self.before[rows + 1] == places))

    def to_parts(self, name: str) -> tuple[dict[str, Any], dict[str, pa.Array]]:
        """Return the totals as plain data, and arrays whose names begin with one."""
        arrays = {f"{name}.values": self.values}
        for part in ("before", "steps"):
            if getattr(self, part) is not None:
                arrays[f"{name}.{part}"] = pa.array(getattr(self, part))
        plain: dict[str, Any] = {"type": str(self.values.type)}
        for part in ("digits", "squares", "odd"):
            held = getattr(self, part)
            plain[part] = list(held)
            arrays |= {f"{name}.{part}.{place}": pa.array(each) for place, each in held.items()}
        return plain, arrays

    @classmethod
    def from_parts(cls, name: str, plain: Mapping[str, Any], arrays: Mapping[str, pa.Array]) -> Self:
        """Make the totals of what `to_parts` gave; arrays stay where they are."""

        def find(part: str) -> Integers | None:
            held = arrays.get(f"{name}.{part}")
            return None if held is None else held.to_numpy()

        def find_all(part: str) -> dict[Any, Integers]:
            return {place: arrays[f"{name}.{part}.{place}"].to_numpy() for place in plain[part]}

        totals = find_all("digits"), find_all("squares"), find_all("odd")
        return cls(arrays[f"{name}.values"], find("before"), *totals, find("steps"))


def to_floats(values: pa.Array) -> Floats:
    """Return numbers as doubles."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    floats: Floats = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return floats


def to_ordered(values: pa.Array) -> tuple[NDArray[Any], pa.Array | None]:
    """Return values as numbers that sort as they do, and the values by number where the numbers are ranks."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return values.cast(pa.uint8()).to_numpy(), None
    if pa.types.is_floating(kind):
        # Minus zero is zero, and NaN is one value.
        return to_floats(values) + 0.0, None
    if pa.types.is_integer(kind):
        return values.to_numpy(), None
    if pa.types.is_primitive(kind):
        return values.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_numpy(), None
    distinct = values.unique()
    with suppress(pa.ArrowNotImplementedError, pa.ArrowInvalid):  # it need not sort to be told apart
        distinct = distinct.take(pc.array_sort_indices(distinct))
    return pc.index_in(values, value_set=distinct).to_numpy(zero_copy_only=False).astype(np.int64), distinct


def from_ordered(numbers: NDArray[Any], empty: NDArray[np.bool_], values: pa.Array, names: pa.Array | None) -> pa.Array:
    """Return numbers of `to_ordered` as values again, null where there is none."""
    kind = values.type
    if names is not None:
        return names.take(pa.array(numbers.astype(np.int64), mask=empty))
    if pa.types.is_boolean(kind):
        return pa.array(numbers.astype(np.bool_), mask=empty)
    if pa.types.is_floating(kind):
        return pa.array(numbers, pa.float64(), mask=empty, from_pandas=False).cast(kind)
    if pa.types.is_integer(kind):
        return pa.array(numbers, kind, mask=empty)
    plain = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(numbers, plain, mask=empty).view(kind)


def _split(values: pa.Array) -> Any:
    if pa.types.is_floating(values.type):
        return split_floats(_finite(to_floats(values)))
    whole = values.cast(pa.uint8()) if pa.types.is_boolean(values.type) else values
    numbers = whole.to_numpy(zero_copy_only=False)
    return split_integers(numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64))


def _finite(floats: Floats) -> Floats:
    fine = np.isfinite(floats)
    return floats if fine.all() else np.where(fine, floats, 0.0)


def _find_odd(floats: Floats) -> dict[str, Integers]:
    found = {"nan": np.isnan(floats), "inf": floats == np.inf, "-inf": floats == -np.inf}
    return {name: _running(each) for name, each in found.items() if each.any()}


def _running_squares(floats: Floats) -> tuple[dict[int, Integers], Integers]:
    """Add up exact squares, each a double and what that leaves out (Dekker 1971); count those beyond all doubles."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = floats * floats
        half = floats * _SPLITTER
        high = half - (half - floats)
        low = floats - high
        rest = ((high * high - squares) + 2 * high * low) + low * low
    parts: dict[int, Integers] = {}
    for each in (_finite(squares), _finite(rest)):
        for place, digits in split_floats(each):
            parts[place] = parts[place] + digits if place in parts else digits
    return {place: _running(digits) for place, digits in parts.items()}, _running(~np.isfinite(squares))


def _running(values: NDArray[Any]) -> Integers:
    """Return the sum of the values before each, and of all."""
    total = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=total[1:])
    return total

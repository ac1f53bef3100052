"""Arrow values as Python has them, and as text where Python has none: far dates, nanoseconds."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pyarrow as pa

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS: Final = 86_400
# What converting a value that Python cannot hold may raise.
NO_VALUE: Final = (ValueError, OverflowError, LookupError, pa.ArrowException)


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values as the standard library has them, whether pandas is installed or not.

    Raises
    ------
    ValueError, OverflowError, LookupError, pyarrow.ArrowException
        When Python has none for a value (`NO_VALUE`): a year beyond 9999, nanoseconds that are no whole microseconds.
    """
    # pyarrow makes pandas' Timestamp of nanoseconds once pandas is there, and refuses some without it.
    kind = _microseconds(column.type)
    values: list[Any] = (column if kind == column.type else column.cast(kind)).to_pylist()
    return values


def display_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values for people to read: Python's, and text for those that Python cannot hold.

    Examples
    --------
    >>> display_values(pa.array([0, 1_500], pa.timestamp("ns")))
    [datetime.datetime(1970, 1, 1, 0, 0), '1970-01-01T00:00:00.000001500']
    """
    try:
        return python_values(column)
    except NO_VALUE:
        return [_display(scalar) for scalar in column]


def value_reader(kind: pa.DataType) -> Callable[[pa.Scalar], Any]:
    """Return what reads single values of a type, exactly, as lookups give them.

    Nanoseconds are numpy's, and so are durations that Python cannot hold; other values that it cannot hold are text.

    Examples
    --------
    >>> read = value_reader(pa.date32())
    >>> [read(day) for day in pa.array([0, None, 2**31 - 1], pa.int32()).view(pa.date32())]
    [datetime.date(1970, 1, 1), None, '5881580-07-11']
    >>> value_reader(pa.time64("ns"))(pa.array([1], pa.int64()).view(pa.time64("ns"))[0])
    '00:00:00.000000001'
    """
    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return lambda scalar: np.datetime64(scalar.value, "ns") if scalar.is_valid else None
    if types.is_duration(kind):
        return _read_duration
    return _read_plain if _microseconds(kind) == kind else _display


def _read_duration(scalar: pa.Scalar) -> Any:
    if scalar.type.unit != "ns":
        with suppress(*NO_VALUE):
            return scalar.as_py()
    return np.timedelta64(scalar.value, scalar.type.unit) if scalar.is_valid else None


def _read_plain(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except NO_VALUE:
        return _text(scalar)


def first_without_python_value(columns: Iterable[tuple[str, pa.ChunkedArray]]) -> tuple[str, str] | None:
    """Return the first column that `to_pylist` cannot convert, and one such value as text."""
    for name, column in columns:
        for scalar in column:
            try:
                _python_value(scalar)
            except NO_VALUE:
                return name, str(_display(scalar))
    return None


def _display(scalar: pa.Scalar) -> Any:
    try:
        return _python_value(scalar)
    except NO_VALUE:
        return _text(scalar)


def _python_value(scalar: pa.Scalar) -> Any:
    kind = _microseconds(scalar.type)
    return (scalar if kind == scalar.type else scalar.cast(kind)).as_py()


def _microseconds(kind: pa.DataType) -> pa.DataType:
    """Return the type with microseconds in place of nanoseconds, however deep."""
    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if types.is_dictionary(kind):
        values = _microseconds(kind.value_type)
        return kind if values == kind.value_type else values
    if types.is_struct(kind):
        return pa.struct([field.with_type(_microseconds(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_microseconds(kind.key_type), _microseconds(kind.item_type))
    return _list_of(kind)


def _list_of(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return kind
    inner = kind.value_field.with_type(_microseconds(kind.value_type))
    if inner.type == kind.value_type:
        return kind
    if types.is_fixed_size_list(kind):
        return pa.list_(inner, kind.list_size)
    return pa.large_list(inner) if types.is_large_list(kind) else pa.list_(inner)


def _text(scalar: pa.Scalar) -> Any:
    kind, types = scalar.type, pa.types
    if types.is_timestamp(kind):
        return _instant(scalar.value, kind.unit) + ("Z" if kind.tz else "")
    if types.is_date32(kind):
        return _date(scalar.value)
    if types.is_date64(kind):
        return _date(scalar.value // (_DAY_SECONDS * 1_000))
    if types.is_time(kind):
        return _clock(scalar.value, kind.unit)
    if types.is_duration(kind):
        return f"{scalar.value} {kind.unit}"
    return _nested(scalar)


def _nested(scalar: pa.Scalar) -> Any:
    kind, types = scalar.type, pa.types
    if types.is_struct(kind):
        return {name: _display(value) for name, value in scalar.items()}
    if types.is_map(kind):
        return [(_display(entry["key"]), _display(entry["value"])) for entry in scalar.values]
    if hasattr(scalar, "values") and scalar.values is not None:
        return [_display(value) for value in scalar.values]
    inner = getattr(scalar, "value", None)
    return _display(inner) if isinstance(inner, pa.Scalar) else str(scalar)


def _instant(ticks: int, unit: str) -> str:
    days, rest = divmod(ticks, _DAY_SECONDS * _PER_SECOND[unit])
    return f"{_date(days)}T{_clock(rest, unit)}"


def _clock(ticks: int, unit: str) -> str:
    seconds, fraction = divmod(ticks, _PER_SECOND[unit])
    digits = len(str(_PER_SECOND[unit])) - 1
    tail = f".{fraction:0{digits}}" if digits else ""
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{tail}"


def _date(days: int) -> str:
    """Write a day counted from 1970-01-01, of any year.

    Howard Hinnant's civil_from_days: eras of 400 years, years that begin in March.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{'-' if year < 0 else ''}{abs(year):04}-{month:02}-{day_of_year - (153 * shifted + 2) // 5 + 1:02}"

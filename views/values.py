"""Arrow values as Python has them, and as text where Python has none: far dates, nanoseconds."""

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS: Final = 86_400
# What converting a value that Python cannot hold may raise.
NO_VALUE: Final = (ValueError, OverflowError, LookupError, pa.ArrowException)


def display_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values for people to read: Python's, and text for those that Python cannot hold.

    Examples
    --------
    >>> display_values(pa.array([0, 1_500], pa.timestamp("ns")))
    [datetime.datetime(1970, 1, 1, 0, 0), '1970-01-01T00:00:00.000001500']
    """
    try:
        values: list[Any] = column.to_pylist()
    except NO_VALUE:
        return [_display(scalar) for scalar in column]
    return values


def first_without_python_value(columns: Iterable[tuple[str, pa.ChunkedArray]]) -> tuple[str, str] | None:
    """Return the first column that `to_pylist` cannot convert, and one such value as text."""
    for name, column in columns:
        for scalar in column:
            try:
                scalar.as_py()
            except NO_VALUE:
                return name, str(_display(scalar))
    return None


def _display(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except NO_VALUE:
        return _text(scalar)


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

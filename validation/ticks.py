"""Times as whole ticks of their types, counted from 1970: so no instant is too far away to be compared.

Microseconds overflow in year 294,247 and Python's own times in year 9999, where seconds and days go on.
"""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Final

import pyarrow as pa

from foldstore.datastore.statistics.reading import parse_type

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY: Final = 86_400 * 10**6
_UNITS: Final = {"s": Fraction(10**6), "ms": Fraction(10**3), "us": Fraction(1), "ns": Fraction(1, 10**3)}


def tick_size(type_text: str) -> Fraction | None:
    """Return how many microseconds a tick of a type has; None for what is no instant.

    Examples
    --------
    >>> str(tick_size("timestamp[ns, tz=UTC]")), str(tick_size("date32[day]")), tick_size("duration[s]")
    ('1/1000', '86400000000', None)
    """
    kind = parse_type(type_text)
    if kind is None:
        return None
    if pa.types.is_timestamp(kind):
        return _UNITS[kind.unit]
    if pa.types.is_date(kind):
        return Fraction(DAY) if kind.bit_width == 32 else _UNITS["ms"]
    return None


def to_microseconds(moment: datetime) -> int:
    """Return how many microseconds an instant lies after the first of 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_moment(microseconds: int) -> datetime | None:
    """Return the instant; None where it lies before year 1 or after year 9999.

    Examples
    --------
    >>> to_moment(to_microseconds(datetime(2013, 1, 1, tzinfo=UTC))).isoformat(), to_moment(10**18)
    ('2013-01-01T00:00:00+00:00', None)
    """
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def least_tick(microseconds: int, size: Fraction) -> int:
    """Return the first tick that lies at or after an instant."""
    return ceil(microseconds / size)


def greatest_tick(microseconds: int, size: Fraction) -> int:
    """Return the last tick that lies at or before an instant."""
    return floor(microseconds / size)

"""Columns of time, read as int64 nanoseconds in UTC; a time without a zone is UTC."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.instant import LIMIT, UNITS


@dataclass(frozen=True, slots=True)
class Instants:
    """A column of instants.

    Attributes
    ----------
    values : ndarray of int64
        Nanoseconds since 1970 in UTC, 0 under nulls.
    nulls : ndarray of bool or None
        Where there is none; None when there are all.
    """

    values: NDArray[np.int64]
    nulls: NDArray[np.bool_] | None

    def take(self, places: NDArray[np.int64]) -> "Instants":
        """Return those at some places."""
        return Instants(self.values[places], None if self.nulls is None else self.nulls[places])


def to_nanoseconds(column: pa.Array | pa.ChunkedArray, *, where: str = "the column") -> Instants:
    """Read timestamps or dates as nanoseconds since 1970; a time without a zone is UTC.

    Raises
    ------
    UsageError
        When it is no column of time, or a value is outside the years 1677 to 2262.
    """
    kind = column.type
    if not is_time(kind):
        raise UsageError(f"{where} is {kind}, not a time.", hint="Cast it to a timestamp.", type=str(kind))
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    try:
        whole = array.cast(pa.timestamp("us" if pa.types.is_date(kind) else kind.unit)).view(pa.int64())
    except pa.ArrowInvalid as error:  # days beyond what 64 bits of microseconds hold
        raise _too_far(where) from error
    raw = (whole.fill_null(0) if nulls is not None else whole).to_numpy(zero_copy_only=False)
    factor = 1_000 if pa.types.is_date(kind) else UNITS[kind.unit]
    limit = LIMIT // factor
    if len(raw) and (int(raw.max()) >= limit or int(raw.min()) <= -limit):
        raise _too_far(where)
    return Instants(raw * factor, nulls)


def is_time(kind: pa.DataType) -> bool:
    """Say whether a type is of instants: timestamps and dates."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _too_far(where: str) -> UsageError:
    return UsageError(
        f"{where} holds instants outside the years 1677 to 2262.", hint="Replace stand-ins for 'never' by null."
    )

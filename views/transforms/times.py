"""Parts of times: the hour, the weekday ..., as whole numbers or as points on a circle."""

import datetime as dt
import math
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.views.transforms.operation import (
    Columns,
    Kinds,
    Operation,
    RowKernel,
    State,
    add_kinds,
    find_kind,
    refuse_kind,
    refuse_parameter,
)

# Each part: how it is read from a column, how from one time, its first value and how many there are (0: no circle).
_Part = tuple[Callable[[Any], Any], Callable[[dt.datetime], int], int, int]
PARTS: Final[dict[str, _Part]] = {
    "year": (pc.year, lambda t: t.year, 0, 0),
    "quarter": (pc.quarter, lambda t: (t.month + 2) // 3, 1, 4),
    "month": (pc.month, lambda t: t.month, 1, 12),
    "week": (pc.iso_week, lambda t: t.isocalendar().week, 1, 53),
    "day": (pc.day, lambda t: t.day, 1, 31),
    "day_of_year": (pc.day_of_year, lambda t: t.timetuple().tm_yday, 1, 366),
    "weekday": (pc.day_of_week, lambda t: t.weekday(), 0, 7),
    "hour": (pc.hour, lambda t: t.hour, 0, 24),
    "minute": (pc.minute, lambda t: t.minute, 0, 60),
}
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND: Final = dt.timedelta(seconds=1)
_CYCLE: Final = 146_097 * 86_400
_FIRST: Final = (dt.datetime(1, 1, 3, tzinfo=dt.UTC) - _EPOCH) // _SECOND
_LAST: Final = (dt.datetime(9999, 12, 29, tzinfo=dt.UTC) - _EPOCH) // _SECOND
_FARTHEST: Final = 970_000_000_000  # the year 32,707: Arrow's calendar ends soon after
_CLOCK: Final = ("hour", "minute")


@dataclass(frozen=True, slots=True)
class DateParts(Operation):
    """Make columns ``<column>_<part>`` of a time, in place of the column; null stays null.

    A time after the year 32,707, or so long before 1970, has no parts: they are null.

    Parameters
    ----------
    column : str
        Of times (those without a zone are in UTC) or dates.
    parts : list of str
        Of year, quarter, month, week (ISO), day, day_of_year, weekday (Monday is 0), hour, minute.
    timezone : str
        Where the clock hangs, such as ``America/New_York``.
    cyclical : bool
        Two columns instead, ``<column>_<part>_sin`` and ``_cos``: 23 h lies beside 0 h.
    keep : bool
        Keep the column itself too.
    """

    OP: ClassVar[str] = "dateparts"

    parts: Sequence[str] = ("month", "weekday", "hour")
    timezone: str = "UTC"
    cyclical: bool = False
    keep: bool = False

    def check(self) -> None:
        """Refuse parts and zones that are none."""
        parts = tuple(self.parts) if isinstance(self.parts, list | tuple) else ()
        strange = [part for part in parts if not isinstance(part, str) or part not in PARTS]
        if not parts or strange or len(set(parts)) != len(parts):
            raise refuse_parameter(self, f"{strange or self.parts!r} are no parts", f"Parts: {', '.join(PARTS)}.")
        if self.cyclical and "year" in parts:
            raise refuse_parameter(self, "a year does not come again", "Leave it out of the cyclical parts.")
        object.__setattr__(self, "parts", parts)
        if not isinstance(self.timezone, str) or self.timezone not in zoneinfo.available_timezones():
            raise refuse_parameter(self, f"{ascii(self.timezone)[:60]} is no time zone", 'Write "America/New_York".')

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """A column or two for each part come out."""
        kind = find_kind(self, kinds)
        if pa.types.is_date(kind):
            if set(self.parts) & set(_CLOCK):
                raise refuse_kind(self, kind, "times, for an hour or a minute")
        elif not pa.types.is_timestamp(kind):
            raise refuse_kind(self, kind, "times and dates")
        if not self.keep:
            del kinds[self.column]
        new = pa.float64() if self.cyclical else pa.int64()
        add_kinds(self, kinds, dict.fromkeys(self._names(), new))

    def _names(self) -> list[str]:
        ends = ("_sin", "_cos") if self.cyclical else ("",)
        return [f"{self.column}_{part}{end}" for part in self.parts for end in ends]

    def apply(self, state: State, columns: Columns) -> int:  # noqa: ARG002
        """Take the parts."""
        array = columns[self.column] if self.keep else columns.pop(self.column)
        columns.update(self._columns(array))
        return 0

    def _columns(self, array: pa.Array) -> dict[str, pa.Array]:
        zone = zoneinfo.ZoneInfo(self.timezone)
        local = _to_local(array, zone) if pa.types.is_timestamp(array.type) else _to_seconds(array)
        made = {}
        for part in self.parts:
            numbers = PARTS[part][0](local).cast(pa.int64())
            if not self.cyclical:
                made[f"{self.column}_{part}"] = numbers
                continue
            first, circle = PARTS[part][2], _circle(part)
            places = pc.subtract(numbers, first)
            for place, end in enumerate(("sin", "cos")):
                made[f"{self.column}_{part}_{end}"] = pa.array([point[place] for point in circle]).take(places)
        return made

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name, keep, zone, kind = self.column, self.keep, zoneinfo.ZoneInfo(self.timezone), kinds[self.column]
        blank: dict[str, Any] = dict.fromkeys(self._names())
        readers = [(f"{name}_{part}", PARTS[part][1], PARTS[part][2], _circle(part)) for part in self.parts]
        cyclical = self.cyclical

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name] if keep else row.pop(name)
            if x is None:
                row.update(blank)
                return False
            try:
                time = _local(x, zone)
            except (OverflowError, ValueError):  # beyond what Python's times hold: as a column of one
                row.update({key: made[0].as_py() for key, made in self._columns(_one(x, kind)).items()})
                return False
            for key, read, first, circle in readers:
                number = read(time)
                if cyclical:
                    row[f"{key}_sin"], row[f"{key}_cos"] = circle[number - first]
                else:
                    row[key] = number
            return False

        return kernel


def _to_local(array: pa.Array, zone: zoneinfo.ZoneInfo) -> pa.Array:
    """Return what the clocks of a zone show, as times without a zone.

    Offsets are Python's: Arrow reads zones by a library of its own, which ends the summer times after 2037.
    """
    per_second = _PER_SECOND[array.type.unit]
    ticks = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    seconds = ticks // per_second
    hours, places = np.unique(seconds // 3_600, return_inverse=True)
    first = np.array([_offset(hour * 3_600, zone) for hour in hours.tolist()], np.int64)
    last = np.array([_offset(hour * 3_600 + 3_599, zone) for hour in hours.tolist()], np.int64)
    offsets = first[places]
    for place in np.flatnonzero((first != last)[places]).tolist():  # the clocks were put within the hour
        offsets[place] = _offset(int(seconds[place]), zone)
    # Whole seconds: no part is finer, and the last nanoseconds that there are would run over.
    return _known(seconds + offsets, array)


def _to_seconds(dates: pa.Array) -> pa.Array:
    """Return dates as times without a zone."""
    whole_days = dates.type.bit_width == 32
    ticks = pc.fill_null(dates.cast(pa.int32() if whole_days else pa.int64()), 0).to_numpy(zero_copy_only=False)
    return _known(ticks.astype(np.int64) * 86_400 if whole_days else ticks // 1_000, dates)


def _known(seconds: Any, array: pa.Array) -> pa.Array:
    """Return times without a zone; those beyond Arrow's calendar are null."""
    nulls = pc.is_null(array).to_numpy(zero_copy_only=False) | (np.abs(seconds) > _FARTHEST)
    return pa.array(seconds, pa.int64(), mask=nulls).view(pa.timestamp("s"))


def _one(value: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(value, dt.datetime):
        return pa.array([_ticks(value, kind.unit)], pa.int64()).view(kind)
    if not isinstance(value, np.datetime64):
        return pa.array([value], kind)
    wide = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array([int(value.astype(np.int64))], wide).view(kind)


def _ticks(value: dt.datetime, unit: str) -> int:
    """Return a time as ticks since 1970 in UTC, by whole numbers: at the ends of Python's years UTC may lie beyond."""
    offset = value.utcoffset() or dt.timedelta(0)
    microseconds = (value.replace(tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1)
    microseconds -= offset // dt.timedelta(microseconds=1)
    return microseconds * _PER_SECOND[unit] // _PER_SECOND["us"]


def _offset(seconds: int, zone: zoneinfo.ZoneInfo) -> int:
    """Return by how many seconds a zone's clocks are ahead of UTC at an instant, in seconds since 1970."""
    while seconds < _FIRST:  # beyond Python's years: the calendar, and with it the rule, repeats after 400 years
        seconds += _CYCLE
    while seconds > _LAST:
        seconds -= _CYCLE
    offset = (_EPOCH + dt.timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // _SECOND


def _circle(part: str) -> list[tuple[float, float]]:
    size = PARTS[part][3]
    angles = [2 * math.pi * place / size for place in range(size)]
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


def _local(value: Any, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    if isinstance(value, np.datetime64):
        if np.datetime_data(value.dtype)[0] != "ns":
            raise ValueError("beyond Python's times")
        value = _EPOCH + dt.timedelta(microseconds=int(value.astype(np.int64)) // 1000)
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
        return aware.astimezone(zone)
    return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)

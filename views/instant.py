"""Instants and durations: every text of time is read and written here, as nanoseconds in UTC.

A time without a zone is UTC. Nothing reads the clock, and nothing but the standard library is needed.
"""

import datetime as dt
import re
from functools import lru_cache
from typing import Any, Final

from foldstore.errors import UsageError

UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_PIECE: Final = re.compile(r"([0-9]{1,18})(ns|us|ms|s|m|h|d|w)", re.ASCII)
_DURATION: Final = re.compile(r"(?:[0-9]{1,18}(?:ns|us|ms|s|m|h|d|w))+", re.ASCII)
_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.ASCII,
)
# The least and the greatest int64 are no instants: an index uses them for 'unknown'.
LIMIT: Final = 2**63 - 1
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_TWO_DIGITS: Final = tuple(f"{number:02d}" for number in range(60))


def parse_duration(value: str | dt.timedelta) -> int:
    """Return a length of time in nanoseconds, from text such as ``"7d"`` or ``"1h30m"`` or a timedelta.

    Units are w, d (24 hours), h, m (minutes), s, ms, us, ns; ``"0"`` is nothing.

    Raises
    ------
    UsageError
        When it is negative, longer than 292 years, or not a length of time.

    Examples
    --------
    >>> parse_duration("1h30m")
    5400000000000
    """
    if isinstance(value, dt.timedelta):
        total = value // _MICROSECOND * 1_000
    elif isinstance(value, str) and value.strip() == "0":
        total = 0
    elif isinstance(value, str) and len(value) <= 200 and _DURATION.fullmatch(value.strip()):
        total = sum(int(number) * UNITS[unit] for number, unit in _PIECE.findall(value))
    else:
        raise UsageError(f"{_shown(value)} is not a length of time.", hint='Write "7d", "12h" or "1h30m".')
    if not 0 <= total < LIMIT:
        raise UsageError(f"{_shown(value)} is negative or longer than 292 years.", hint="Write a length such as 7d.")
    return total


def format_duration(nanoseconds: int) -> str:
    """Write a length of time with the fewest units, as `parse_duration` reads it.

    Examples
    --------
    >>> format_duration(5_400_000_000_000)
    '1h30m'
    """
    text, rest = "", nanoseconds
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        number, rest = divmod(rest, UNITS[unit])
        text += f"{number}{unit}" if number else ""
    return text or "0"


def parse_instant(value: str | dt.datetime | dt.date | int) -> int:
    """Return an instant in nanoseconds since 1970, from ISO 8601 text, a datetime or a date.

    Up to nine digits of a second are kept; an int is nanoseconds already.

    Raises
    ------
    UsageError
        When it is not an instant, or outside the years 1677 to 2262.

    Examples
    --------
    >>> parse_instant("2013-10-01") == parse_instant("2013-10-01T02:00:00+02:00")
    True
    """
    if type(value) is int and -LIMIT < value < LIMIT:
        return value
    if isinstance(value, bool):
        raise UsageError(f"{_shown(value)} is not an instant.", hint='Write "2013-10-01T00:00:00Z".')
    if isinstance(value, int):
        total = value
    elif isinstance(value, dt.datetime):
        total = _since_epoch(value)
    elif isinstance(value, dt.date):
        total = _since_epoch(dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC))
    else:
        total = _read_instant(value)
    if not -LIMIT < total < LIMIT:
        raise UsageError(f"{_shown(value)} is outside the years 1677 to 2262.", hint="Choose a nearer instant.")
    return total


def format_instant(nanoseconds: int) -> str:
    """Write an instant in UTC with as many digits as it needs: 0, 3, 6 or 9.

    Examples
    --------
    >>> format_instant(1_380_585_600_000_000_000)
    '2013-10-01T00:00:00Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    minute, second = divmod(seconds, 60)
    text = f"{_minute_text(minute)}{_TWO_DIGITS[second]}"
    if not rest:
        return f"{text}Z"
    digits = f"{rest:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


@lru_cache(maxsize=10_000)
def _minute_text(minute: int) -> str:
    return (_EPOCH + dt.timedelta(minutes=minute)).isoformat()[:17]


def _read_instant(value: Any) -> int:
    if not isinstance(value, str) or len(value) > 64:
        raise _no_instant(value)
    return _read_instant_text(value)


@lru_cache(maxsize=1_000)
def _read_instant_text(value: str) -> int:
    match = _INSTANT.fullmatch(value.strip())
    if match is None:
        raise _no_instant(value)
    date, time, fraction, zone = match.groups()
    text = f"{date}T{time or '00:00'}{'+00:00' if zone in (None, 'Z') else zone}"
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{_shown(value)} is not an instant: {error}.", hint="Check the calendar.") from None
    return _since_epoch(moment) + int((fraction or "").ljust(9, "0"))


def _no_instant(value: object) -> UsageError:
    return UsageError(f"{_shown(value)} is not an instant.", hint='Write "2013-10-01" or "2013-10-01T00:00:00Z".')


def _since_epoch(moment: dt.datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    since = aware - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""When a stream cuts a version, how much may wait, and what it keeps; ages and sizes as people write them."""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from foldstore.errors import UsageError

Durability = Literal["segment", "version"]
_DURABILITIES: Final = ("segment", "version")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES: Final = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 10**9, "TB": 10**12}
_BYTES_BINARY: Final = {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_TEXT: Final = re.compile(r"(\d{1,15})\s*([A-Za-z]{1,3})")
# How many versions' worth of rows may wait unless told otherwise.
_VERSIONS_WAITING: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """The numbers of a stream.

    Attributes
    ----------
    every_rows : int
        A version is cut when so many rows are there.
    every_seconds : float or None
        Or when its first row is so old.
    max_pending_rows : int
        How many rows may be acknowledged and in no version yet.
    keep_age : timedelta or None
        Rows older than that leave the newest version.
    keep_bytes : int or None
        The oldest rows leave the newest version when its files are larger.
    durability : {'segment', 'version'}
        What an acknowledged write has: a place in the log, or in a version.
    """

    every_rows: int
    every_seconds: float | None
    max_pending_rows: int
    keep_age: timedelta | None
    keep_bytes: int | None
    durability: Durability


def check_limits(
    *,
    every_rows: int,
    every_seconds: float | None,
    max_pending_rows: int | None,
    keep_age: str | timedelta | None,
    keep_bytes: str | int | None,
    durability: str,
) -> StreamLimits:
    """Read the numbers of a stream as a person gives them.

    Raises
    ------
    UsageError
        When one of them makes no sense.
    """
    _check_whole("every_rows", every_rows)
    if max_pending_rows is None:
        max_pending_rows = every_rows * _VERSIONS_WAITING
    _check_whole("max_pending_rows", max_pending_rows)
    if max_pending_rows < every_rows:
        raise _wrong("max_pending_rows", max_pending_rows, f"every_rows={every_rows} or more: a version must fit")
    if every_seconds is not None and not _is_positive(every_seconds):
        raise _wrong("every_seconds", every_seconds, "seconds above 0, or None")
    if durability not in _DURABILITIES:
        raise _wrong("durability", durability, "'segment' or 'version'")
    return StreamLimits(
        every_rows=every_rows,
        every_seconds=every_seconds,
        max_pending_rows=max_pending_rows,
        keep_age=None if keep_age is None else parse_age(keep_age),
        keep_bytes=None if keep_bytes is None else parse_size(keep_bytes),
        durability="segment" if durability == "segment" else "version",
    )


def parse_age(value: str | timedelta) -> timedelta:
    """Read an age, such as ``"36h"`` or ``"7d"``.

    Raises
    ------
    UsageError
        When it is none.

    Examples
    --------
    >>> parse_age("90m")
    datetime.timedelta(seconds=5400)
    """
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    seconds = int(found[1]) * _SECONDS.get(found[2], 0) if found else 0
    age = value if isinstance(value, timedelta) else timedelta(seconds=seconds) if seconds < 10**11 else timedelta(0)
    if age <= timedelta(0):
        raise _wrong("keep_age", value, "a whole number and s, m, h, d or w, such as '7d'")
    return age


def parse_size(value: str | int) -> int:
    """Read a number of bytes, such as ``"500MB"`` or ``"2GiB"``.

    Raises
    ------
    UsageError
        When it is none.

    Examples
    --------
    >>> parse_size("1GB"), parse_size("1 KiB")
    (1000000000, 1024)
    """
    found = _TEXT.fullmatch(value) if isinstance(value, str) else None
    size = int(found[1]) * {**_BYTES, **_BYTES_BINARY}.get(found[2].upper(), 0) if found else 0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    if size <= 0:
        raise _wrong("keep_bytes", value, "a whole number and B, KB, MB, GB, TB (or KiB ...), such as '1GB'")
    return size


def _check_whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(name, value, "a whole number above 0")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _wrong(name: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"{name}={value!r} does not fit a stream.", hint=f"Give {wanted}.", name=name)

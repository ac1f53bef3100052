"""Event times as small numbers, so that one and the code of an entity are one integer together."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foldstore.views.features.found_rows import NOWHERE
from foldstore.views.features.key_encoder import KeyEncoder
from foldstore.views.time_column import Instants

Integers = NDArray[np.int64]

_KEY_LIMIT: Final = 2**63
_AT_ONCE: Final = 32_768


class TimeScale:
    """Numbers of event times: in the coarsest unit that is exact, counted from the first; or their ranks.

    Parameters
    ----------
    events : Instants
        The event times.
    encoder : KeyEncoder
        The codes of the entities; numbered without gaps where there is no room for both.
    """

    __slots__ = ("_ranks", "_start", "_unit", "width")

    def __init__(self, events: Instants, encoder: KeyEncoder) -> None:
        values = events.values if events.nulls is None else events.values[~events.nulls]
        self._ranks: Integers | None = None
        self._unit = next(unit for unit in (10**9, 10**6, 10**3, 1) if _are_whole(values, unit))
        self._start = int(values.min()) // self._unit if len(values) else 0
        self.width = int(values.max()) // self._unit - self._start + 1 if len(values) else 1
        if encoder.width * self.width >= _KEY_LIMIT:
            encoder.make_dense()
        if encoder.width * self.width >= _KEY_LIMIT:
            self._ranks = np.unique(values)
            self.width = len(self._ranks)

    def offsets(self, values: Integers) -> Integers:
        """Return the number of each event time; what stands under a null is kept in bounds."""
        numbers = np.empty_like(values)
        for here in in_parts(len(values)):
            np.clip(self.floor(values[here]), 0, self.width - 1, out=numbers[here])
        return numbers

    def floor(self, instants: Integers) -> Integers:
        """Return the number of the last event time at or before each instant, below 0 when there is none."""
        if self._ranks is not None:
            return np.searchsorted(self._ranks, instants, side="right") - 1
        offsets = instants // self._unit
        # Both lie within int64, their difference need not: what is too early is marked before it is taken.
        early = offsets < self._start
        offsets = np.minimum(offsets, self._start + self.width - 1) - self._start
        offsets[early] = NOWHERE
        return offsets

    def offset(self, instant: int) -> int:
        """Return what `floor` does, for one instant."""
        if self._ranks is not None:
            return int(np.searchsorted(self._ranks, np.int64(instant), side="right")) - 1
        return max(min(instant // self._unit - self._start, self.width - 1), NOWHERE)

    def to_parts(self) -> tuple[dict[str, int], Integers | None]:
        """Return the scale as plain data, and the ranks."""
        return {"start": self._start, "unit": self._unit, "width": self.width}, self._ranks

    @classmethod
    def from_parts(cls, plain: Mapping[str, int], ranks: Integers | None) -> "TimeScale":
        """Make a scale of what `to_parts` gave."""
        scale = cls.__new__(cls)
        scale._restore(plain, ranks)  # noqa: SLF001  # its own class
        return scale

    def _restore(self, plain: Mapping[str, int], ranks: Integers | None) -> None:
        self._start, self._unit, self.width, self._ranks = plain["start"], plain["unit"], plain["width"], ranks

    def instants(self, offsets: Integers) -> Integers:
        """Return the event times in nanoseconds."""
        return self._ranks[offsets] if self._ranks is not None else (offsets + self._start) * self._unit

    def instant(self, offset: int) -> int:
        """Return one event time in nanoseconds."""
        return int(self._ranks[offset]) if self._ranks is not None else (offset + self._start) * self._unit


def _are_whole(values: Integers, unit: int) -> bool:
    """Say whether all values are whole numbers of a unit; the first that is not ends the search."""
    return unit == 1 or not any(bool(np.any(values[here] % unit)) for here in in_parts(len(values)))


def in_parts(count: int) -> Iterator[slice]:
    """Cut a count into parts whose arrays, and what is computed of them, stay in the cache."""
    return (slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE))

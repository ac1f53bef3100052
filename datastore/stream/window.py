"""The window of a stream: which of the oldest fragments leave the newest version.

The age of a fragment is that of its newest row: the time of the version that brought it. Versions carry these times
on in their properties, as marks: `[id, time]` says that fragments from that id on, up to the next mark, were there
at that time. A mark covers at most 1/64 of the window, so there are few. A fragment that something else wrote counts
from the first cut that meets it; one that was compacted is as old as the fragment behind it, at most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final

from foldstore.types import format_time, parse_time

_MARKS: Final = 64


@dataclass(frozen=True, slots=True)
class Mark:
    """Fragments from an id on were there at a time."""

    first_id: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """The marks of a version, and the fragment id that comes after all that it knows."""

    marks: tuple[Mark, ...] = ()
    next_id: int = 0

    def advance(self, fragment_ids: Sequence[int], now: datetime, keep: timedelta) -> "Window":
        """Return the window of a version that is cut now and has these fragments.

        Parameters
        ----------
        keep : timedelta
            How long rows stay.
        """
        marks = list(self.marks)
        seen = max([self.next_id, *(each + 1 for each in fragment_ids)])
        if not marks:
            return Window((Mark(0, now),), seen)
        before = marks[-2].time if len(marks) > 1 else None
        if before is not None and now - before < keep / _MARKS:
            marks[-1] = Mark(marks[-1].first_id, max(now, marks[-1].time))
        else:
            marks.append(Mark(self.next_id, now))
        # Of the marks that lie outside the newest one is enough.
        outside = len(list(takewhile(lambda mark: mark.time < now - keep, marks)))
        return Window(tuple(marks[max(outside - 1, 0) :]), seen)

    def cover(self, fragment_ids: Sequence[int]) -> "Window":
        """Return the window with fragments that were there when its last mark was made, under new ids."""
        return Window(self.marks, max([self.next_id, *(each + 1 for each in fragment_ids)]))

    def times(self, fragment_ids: Sequence[int]) -> list[datetime | None]:
        """Return when each fragment of a version was there at the latest known time; None when that is not known."""
        found: list[datetime | None] = [self._time_of(each) for each in fragment_ids]
        for place in range(len(found) - 2, -1, -1):
            behind, own = found[place + 1], found[place]
            if behind is not None and (own is None or behind < own):
                found[place] = behind
        return found

    def _time_of(self, fragment_id: int) -> datetime | None:
        covering = [mark for mark in self.marks if mark.first_id <= fragment_id]
        return (covering[-1] if covering else self.marks[0]).time if self.marks else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"marks": [[mark.first_id, format_time(mark.time)] for mark in self.marks], "next": self.next_id}


def window_from_dict(plain: Mapping[str, Any] | None) -> Window:
    """Read what `Window.to_dict` gave."""
    if not plain:
        return Window()
    return Window(tuple(Mark(first, parse_time(time)) for first, time in plain["marks"]), plain["next"])


def count_old(times: Sequence[datetime | None], oldest: datetime) -> int:
    """Return how many of the first fragments are older than a time."""
    return len(list(takewhile(lambda time: time is not None and time < oldest, times)))


def count_over(sizes: Sequence[int], keep_bytes: int) -> int:
    """Return how many of the first fragments must leave for the rest to have at most so many bytes.

    Examples
    --------
    >>> count_over([10, 10, 10], 25)
    1
    """
    total, leaving = sum(sizes), 0
    while total > keep_bytes and leaving < len(sizes):
        total -= sizes[leaving]
        leaving += 1
    return leaving

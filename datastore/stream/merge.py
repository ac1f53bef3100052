"""Merging: the many small fragments that cuts leave become few, so that an old stream reads as fast as a new one.

Neighbours at the end are merged when there are 32 below a size, of three sizes, so each row is written anew a few times
and no more. With a window by age only rows of one sixteenth of it come together: a fragment leaves when its newest row
is old enough, and must not hold on to rows that are much older.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from foldstore.datastore.commit import Transaction
from foldstore.datastore.compaction import Compact
from foldstore.datastore.draft import Draft
from foldstore.datastore.stream.window import Window
from foldstore.errors import ConflictError
from foldstore.types import Operation

FRAGMENTS: Final = 32
_SIZES: Final = (512 << 10, 8 << 20, 64 << 20)
_CELLS: Final = 16
# A merged fragment is at most this part of a window by size.
_PART: Final = 64


class MergeRun:
    """The step that makes one of neighbouring fragments, and of these alone.

    Parameters
    ----------
    fragment_ids : sequence of int
        Which, in their order.
    limit : int
        The size that each of them is below.
    window : Window
        The marks of the version that they are in.
    told : dict
        What the new version will say; the window with the new fragments is written there.
    """

    operation: ClassVar = Operation.COMPACT
    replays: ClassVar = True

    def __init__(self, fragment_ids: Sequence[int], limit: int, window: Window, told: dict[str, Any]) -> None:
        self._ids = list(fragment_ids)
        self._compact = Compact(2 * limit)  # it takes what is below half of its target
        self._window = window
        self._told = told

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Merge them.

        Raises
        ------
        ConflictError
            When they are not there any more, side by side.
        """
        ids = [each.id for each in draft.fragments]
        start = ids.index(self._ids[0]) if self._ids[0] in ids else 0
        end = start + len(self._ids)
        if ids[start:end] != self._ids:
            raise ConflictError("The fragments to merge have been changed meanwhile.", retry=True)
        merged = self._compact.apply(replace(draft, fragments=draft.fragments[start:end]), transaction)
        if self._window.marks:
            # Their time is that of the last mark, not that of the next cut, which comes later.
            self._told["window"] = self._window.cover([each.id for each in merged.fragments]).to_dict()
        return replace(merged, fragments=(*draft.fragments[:start], *merged.fragments, *draft.fragments[end:]))


def find_run(
    sizes: Sequence[int], times: Sequence[datetime | None], *, age: timedelta | None, most: int | None
) -> tuple[int, int]:
    """Return how many of the last fragments are worth merging, and the size that each is below; 0 when none are.

    Parameters
    ----------
    sizes, times : sequence
        The bytes of each fragment of a version, and when it was there at the latest.
    age, most : timedelta and int, optional
        The window.
    """
    for limit in _SIZES:
        if most is not None and limit > most // _PART:
            break
        count = 0
        for size, time in zip(reversed(sizes), reversed(times), strict=True):
            if size >= limit or (age is not None and _cell(time, age) != _cell(times[-1], age)):
                break
            count += 1
        if count >= FRAGMENTS:
            return count, limit
    return 0, 0


def _cell(time: datetime | None, age: timedelta) -> int | None:
    return None if time is None else int(time.timestamp() // (age / _CELLS).total_seconds())

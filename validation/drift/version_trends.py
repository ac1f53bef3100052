"""Trends of a dataset's columns over its versions, and of a version's over time."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError, column_not_found
from foldstore.validation.drift.trend import Change, date_change
from foldstore.validation.drift.trends import LEVEL_BEFORE, Trends, finite_numbers, trends_of_profiles
from foldstore.validation.drift.windows import list_windows, rows_added
from foldstore.validation.subject import Subject

_MOST: Final = 10_000


def trends_over_versions(
    storage: Storage,
    head: VersionRecord | None,
    name: str,
    columns: Sequence[str] | None,
    last: int | None,
    season: int,
    *,
    newest: Subject | None = None,
) -> Trends:
    """Return the trends of the rows that each published version added, from kept profiles.

    Parameters
    ----------
    newest : Subject, optional
        Rows that are no version yet, and come last.

    Raises
    ------
    ColumnNotFoundError
        When the newest version lacks a column.
    UsageError
        When `last` or `season` is no number of versions.
    """
    for value, role in ((last, "last"), (season, "season")):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST):
            raise UsageError(f"{role}={value!r} is not a number of versions from 1 to {_MOST:,}.")
    records = [] if head is None else list_windows(storage, head, last or _MOST, own=True)[::-1]
    added: list[Subject] = [rows_added(storage, record, name) for record in records]
    added += [] if newest is None else [newest]
    for column in columns or ():
        if not added or column not in added[-1].arrow_schema.names:
            raise column_not_found(column, added[-1].arrow_schema.names if added else [], where=name)

    def date(column: str, change: Change) -> tuple[int | None, str | None]:
        """Look for the row in the version and the one before, by the rows of those around up to the alarm."""
        first = max(0, change.start - LEVEL_BEFORE)
        parts = [_values(each, column) for each in added[first : change.alarm + 1]]
        ends = np.cumsum([0, *map(len, parts)]).tolist()
        begin, end = ends[change.start - first : change.start - first + 2]
        found = date_change(np.concatenate(parts), ends[max(0, change.start - first - 1)], end)
        return (None, None) if found is None or found < begin else (found - begin, None)

    labels = [each.address for each in added]
    return trends_of_profiles(name, labels, [each.profile() for each in added], columns, season, date)


def _values(rows: Subject, column: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return the finite numbers of a column that a version added; none where it lacks the column."""
    if column not in rows.arrow_schema.names:
        return np.zeros(0)
    parts = [finite_numbers(batch.column(column)) for batch in rows.batches([column])]
    values = np.concatenate(parts) if parts else np.zeros(0)
    return values[np.isfinite(values)]

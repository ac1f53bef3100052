"""Trends over a column of time, read from the rows themselves."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError, column_not_found
from foldstore.validation.drift.trend import Change, date_change
from foldstore.validation.drift.trends import (
    LEVEL_BEFORE,
    MEAN,
    Dated,
    TimeWindows,
    Trends,
    finite_numbers,
    make_trend,
    sort_trends,
)
from foldstore.validation.subject import Subject
from foldstore.views.instant import format_instant
from foldstore.views.time_column import to_nanoseconds

Ints: TypeAlias = NDArray[np.int64]


def trends_over_time(
    subject: Subject, time: str, every: int, columns: Sequence[str] | None = None, *, season: int = 1
) -> Trends:
    """Return the trends of columns over spans of a time column.

    Parameters
    ----------
    subject : Subject
    time : str
        A column of timestamps or dates; rows without one are left out.
    every : int
        The length of a span, in nanoseconds.
    columns : sequence of str, optional
        All others unless given.
    season : int
        Each span is compared with that so many before: 7 for days whose week repeats; 1 for none.

    Notes
    -----
    The rows are read once, and for each column that changed the rows around its changes once more; memory grows with
    the spans and those rows.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    UsageError
        When `time` is no time, or there are more than a million spans.

    Examples
    --------
    >>> from foldstore.validation.subject import TableSubject
    >>> hours = pa.array(np.arange(60 * 24) * 3_600_000, pa.timestamp("ms"))
    >>> price = np.where(np.arange(60 * 24) < 1_000, 5.0, 7.0)
    >>> rows = TableSubject(pa.table({"ts": hours, "price": price}), "prices")
    >>> (change,) = trends_over_time(rows, "ts", 86_400 * 10**9).of("price").changes
    >>> change.row, change.time
    (1000, '1970-02-11T16:00:00Z')
    """
    names = subject.arrow_schema.names
    for name in (time, *(columns or ())):
        if name not in names:
            raise column_not_found(name, names, where=subject.address)
    if isinstance(season, bool) or not isinstance(season, int) or season < 1:
        raise UsageError(f"season={season!r} is not a number of spans.", hint="Give 7 for days of weeks, 1 for none.")
    if every < 1:
        raise UsageError("A span is longer than nothing.", hint='Write every="1d".')
    chosen = [name for name in names if name != time] if columns is None else list(dict.fromkeys(columns))
    if not chosen:
        raise UsageError(f"There is no column beside {time}.", hint="Name one.")
    windows = TimeWindows(pa.schema([subject.arrow_schema.field(name) for name in chosen]), every)
    for instants, batch in _timed(subject, time, chosen):
        windows.add(instants[1], batch)
    starts = windows.starts()
    labels = [format_instant(start) for start in starts]
    dated = _dating(subject, time, starts, every)
    found = [
        make_trend(name, statistic, labels, values, season, dated if statistic == MEAN else None)
        for (name, statistic), values in windows.series().items()
    ]
    return sort_trends(f"{subject.address} by {time}", found)


def _timed(subject: Subject, time: str, columns: Sequence[str]) -> Iterator[tuple[tuple[Ints, Ints], pa.RecordBatch]]:
    """Yield the positions and the instants of the rows that have a time, and these rows' columns."""
    begin = 0
    names = list(dict.fromkeys([time, *columns]))
    for batch in subject.batches(names):
        found = to_nanoseconds(batch.column(time), where=time)
        positions = np.arange(begin, begin + batch.num_rows)
        begin += batch.num_rows
        if found.nulls is None:
            yield (positions, found.values), batch
        else:
            kept = ~found.nulls
            yield (positions[kept], found.values[kept]), batch.filter(pa.array(kept))


def _dating(subject: Subject, time: str, starts: Sequence[int], every: int) -> Dated:
    """Return what finds the row of a change: in its span or the one before, by the rows around up to its alarm."""

    def date(column: str, change: Change) -> tuple[int | None, str | None]:
        low, high = starts[max(0, change.start - LEVEL_BEFORE)], starts[change.alarm] + every
        places, instants, numbers = [], [], []
        for (position, instant), batch in _timed(subject, time, [column]):
            near = (instant >= low) & (instant < high)
            if near.any():
                places.append(position[near])
                instants.append(instant[near])
                numbers.append(finite_numbers(batch.column(column).filter(pa.array(near))))
        at, moment, values = (np.concatenate(each) for each in (places, instants, numbers))
        order = np.lexsort((at, moment))
        order = order[np.isfinite(values[order])]
        ends = np.searchsorted(moment[order], [starts[max(0, change.start - 1)], starts[change.start] + every])
        begin, end = ends.tolist()
        found = date_change(values[order].astype(np.float64, copy=False), begin, end)
        if found is None:
            return None, None
        return int(at[order[found]]), format_instant(int(moment[order[found]]))

    return date

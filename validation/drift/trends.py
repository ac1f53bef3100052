"""Trends: columns over many versions or spans of time, and the changes of level in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, read_numbers
from foldstore.errors import UsageError
from foldstore.validation.drift.trend import Change, find_changes

# So many spans or versions before a change tell of the level before it, where its row is looked for.
LEVEL_BEFORE: Final = 8
Floats: TypeAlias = NDArray[np.float64]

MEAN: Final = "mean"
NULLS: Final = "null_fraction"
# Windows of a time column that are held at once.
MOST_WINDOWS: Final = 1_000_000
# So many moves, all one way, are no chance and no steps of a level.
_STEPS: Final = 7
_READ_KINDS: Final = frozenset((Kind.BOOLEAN, Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendChange:
    """A change of a column's level.

    Attributes
    ----------
    at : str
        The first version, or the beginning of the first span of time, with the new level.
    alarm : str
        When it was certain enough.
    before, after : float
        The level before, from the change before on, and from here to the alarm.
    score : float
        In standard deviations, as `foldstore.validation.drift.trend.Change`; negative for a fall.
    row : int or None
        The position of the first row with the new level: in the version that is judged, in its order, or among the
        rows that `at` added. None for fractions of nulls, and where rows do not say.
    time : str or None
        The instant of that row, where a column of time is known.
    """

    at: str
    alarm: str
    before: float
    after: float
    score: float
    row: int | None = None
    time: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One statistic of a column over versions or spans of time.

    Attributes
    ----------
    column : str
    statistic : {'mean', 'null_fraction'}
    labels : tuple of str
        The versions, or the beginnings of the spans.
    values : tuple of float or None
        None where there was no value.
    changes : tuple of TrendChange

    Examples
    --------
    >>> rows = Trend(column="id", statistic="mean", labels=tuple("abcdefgh"), values=tuple(map(float, range(8))))
    >>> rows.steady
    'rises'
    """

    column: str
    statistic: str
    labels: tuple[str, ...]
    values: tuple[float | None, ...]
    changes: tuple[TrendChange, ...] = ()

    @property
    def steady(self) -> Literal["rises", "falls"] | None:
        """Whether the values only rise, or only fall, as row numbers and dates do: there is no level to change.

        Noise keeps one direction seven times in one of 40,320 series at most; a level that steps up moves less often.
        """
        values = [value for value in self.values if value is not None]
        steps = np.diff(np.array(values, np.float64))
        if np.count_nonzero(steps) < _STEPS:
            return None
        return "rises" if (steps >= 0).all() else "falls" if (steps <= 0).all() else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {
            "steady": self.steady,
            "labels": list(self.labels),
            "values": list(self.values),
            "changes": [change.to_dict() for change in self.changes],
        }


@dataclass(frozen=True, slots=True)
class Trends:
    """How columns went over versions or spans of time.

    Attributes
    ----------
    subject : str
        What was looked at.
    trends : tuple of Trend
        Those with the greatest change first.
    """

    subject: str
    trends: tuple[Trend, ...]

    def __repr__(self) -> str:
        return f"<Trends of {self.subject}: {len(self.trends)} series, changed: {', '.join(self.changed) or 'none'}>"

    def __str__(self) -> str:
        return "\n".join([f"{self.subject}: {len(self.trends)} series", *self._lines()])

    @property
    def changed(self) -> tuple[str, ...]:
        """The columns with a change, each once."""
        return tuple(dict.fromkeys(trend.column for trend in self.trends if trend.changes and not trend.steady))

    @property
    def steady(self) -> tuple[str, ...]:
        """The columns that only rise, or only fall; they have no level, and are told for themselves."""
        return tuple(dict.fromkeys(trend.column for trend in self.trends if trend.steady))

    def of(self, column: str, statistic: str = MEAN) -> Trend:
        """Return one series.

        Raises
        ------
        UsageError
            When there is none.
        """
        for trend in self.trends:
            if (trend.column, trend.statistic) == (column, statistic):
                return trend
        known = ", ".join(sorted({each.column for each in self.trends})) or "none"
        raise UsageError(f"There is no series of the {statistic} of {column!r}.", hint=f"There are: {known}.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"subject": self.subject, "trends": [trend.to_dict() for trend in self.trends]}

    def _lines(self) -> Iterator[str]:
        for trend in self.trends:
            for change in () if trend.steady else trend.changes:
                what = trend.column if trend.statistic == MEAN else f"{trend.column}, share of nulls"
                row = "" if change.row is None else f", row {change.row:,}"
                time = "" if change.time is None else f" ({change.time})"
                yield f"  {what}: {change.before:.6g} -> {change.after:.6g} at {change.at}{row}{time}"
        if self.steady:
            yield f"  only rise or fall: {', '.join(self.steady)}"


Dated: TypeAlias = Callable[[str, Change], tuple[int | None, str | None]]


def trends_of_profiles(
    subject: str,
    labels: Sequence[str],
    profiles: Sequence[Profile],
    columns: Sequence[str] | None,
    season: int,
    date: Dated,
) -> Trends:
    """Return the trends of the means and of the shares of nulls of profiles in their order.

    Parameters
    ----------
    subject : str
    labels : sequence of str
    profiles : sequence of Profile
    columns : sequence of str, optional
        Those of numbers and booleans for means, all for nulls, unless given.
    season : int
        The lag of a season: each value is compared with that so many before; 1 for none.
    date : callable
        Finds the row of a change of the mean of a column.
    """
    names = list(dict.fromkeys(name for profile in profiles for name in profile.columns))
    found = []
    for name in names if columns is None else columns:
        held = [profile.columns.get(name) for profile in profiles]
        if any(each is not None and each.kind in _READ_KINDS for each in held):
            means = [None if each is None or not each.present else each.mean for each in held]
            found.append(make_trend(name, MEAN, labels, means, season, date))
        shares = [None if each is None or not each.rows else each.null_fraction for each in held]
        found.append(make_trend(name, NULLS, labels, shares, season, None))
    return sort_trends(subject, found)


def make_trend(
    column: str, statistic: str, labels: Sequence[str], values: Sequence[float | None], season: int, date: Dated | None
) -> Trend:
    """Find the changes of one series."""
    plain = [None if value is None or not np.isfinite(value) else float(value) for value in values]
    changes = []
    for change in find_changes(_residuals(plain, season)):
        row, time = date(column, change) if date is not None else (None, None)
        changes.append(_label(change, plain, labels, (row, time), season))
    return Trend(column=column, statistic=statistic, labels=tuple(labels), values=tuple(plain), changes=tuple(changes))


def sort_trends(subject: str, trends: Iterable[Trend]) -> Trends:
    """Put the series with the greatest change first."""

    def greatest(trend: Trend) -> float:
        return max((abs(change.score) for change in trend.changes), default=0.0)

    return Trends(subject, tuple(sorted(trends, key=lambda each: (-greatest(each), each.column, each.statistic))))


def _residuals(values: Sequence[float | None], season: int) -> list[float | None]:
    if season == 1:
        return list(values)
    earlier = ([None] * season + list(values))[: len(values)]  # a season may be longer than what there is
    return [None if a is None or b is None else a - b for a, b in zip(values, earlier, strict=True)]


def _label(
    change: Change,
    values: Sequence[float | None],
    labels: Sequence[str],
    found: tuple[int | None, str | None],
    season: int,
) -> TrendChange:
    before, after = change.before, change.after
    if season > 1:  # the level itself, not its difference from the season before
        kept = [value for value in values[change.start : change.alarm + 1] if value is not None]
        earlier = [value for value in values[max(0, change.start - season) : change.start] if value is not None]
        before, after = float(np.mean(earlier)), float(np.mean(kept))
    return TrendChange(
        at=labels[change.start],
        alarm=labels[change.alarm],
        before=before,
        after=after,
        score=change.score,
        row=found[0],
        time=found[1],
    )


@dataclass(slots=True)
class _Sums:
    counts: NDArray[np.int64]
    nulls: NDArray[np.int64]
    sums: Floats


class TimeWindows:
    """Sums of columns by spans of a time column, gathered batch by batch.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the columns that are summed.
    every : int
        The length of a span in nanoseconds; spans begin at multiples of it since 1970.
    """

    def __init__(self, schema: pa.Schema, every: int) -> None:
        self._every = every
        self._first: int | None = None
        self._sums = {field.name: _Sums(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)) for field in schema}
        self._numeric = {field.name for field in schema if kind_of(field.type) in _READ_KINDS}

    def add(self, instants: NDArray[np.int64], batch: pa.RecordBatch) -> None:
        """Add rows with their instants, in nanoseconds; rows without one are not to be given."""
        if not len(instants):
            return
        windows = instants // self._every
        self._reach(int(windows.min()), int(windows.max()))
        places = windows - (self._first or 0)
        for name, sums in self._sums.items():
            plain = plain_array(batch.column(name))
            valid = plain.is_valid().to_numpy(zero_copy_only=False)
            size = len(sums.counts)
            sums.nulls += np.bincount(places[~valid], minlength=size)
            if name in self._numeric:
                values = read_numbers(plain, kind_of(plain.type)).astype(np.float64)
                finite = np.isfinite(values)
                kept = places[valid][finite]
                sums.sums += np.bincount(kept, weights=values[finite], minlength=size)
                sums.counts += np.bincount(kept, minlength=size)
            else:
                sums.counts += np.bincount(places[valid], minlength=size)

    def starts(self) -> list[int]:
        """Return the beginnings of the spans, in nanoseconds since 1970."""
        size = len(next(iter(self._sums.values())).counts) if self._sums else 0
        return [((self._first or 0) + place) * self._every for place in range(size)]

    def series(self) -> Mapping[tuple[str, str], list[float | None]]:
        """Return the series of each column: of its mean where it has numbers, and of its share of nulls."""
        made: dict[tuple[str, str], list[float | None]] = {}
        for name, sums in self._sums.items():
            if name in self._numeric:
                sizes = zip(sums.sums.tolist(), sums.counts.tolist(), strict=True)
                made[name, MEAN] = [total / n if n else None for total, n in sizes]
            made[name, NULLS] = [
                nulls / (nulls + n) if nulls + n else None
                for nulls, n in zip(sums.nulls.tolist(), sums.counts.tolist(), strict=True)
            ]
        return MappingProxyType(made)

    def _reach(self, low: int, high: int) -> None:
        """Make room for spans from low to high."""
        first = low if self._first is None else min(low, self._first)
        size = len(next(iter(self._sums.values())).counts)
        last = high if self._first is None else max(high, self._first + size - 1)
        if last - first >= MOST_WINDOWS:
            raise UsageError(f"The times span more than {MOST_WINDOWS:,} windows.", hint="Take a longer every=.")
        lead = 0 if self._first is None else self._first - first
        trail = last - first + 1 - size - lead
        if lead or trail:
            for sums in self._sums.values():
                sums.counts, sums.nulls = (np.pad(each, (lead, trail)) for each in (sums.counts, sums.nulls))
                sums.sums = np.pad(sums.sums, (lead, trail))
        self._first = first


def finite_numbers(values: pa.Array | pa.ChunkedArray) -> Floats:
    """Return numbers and booleans as float64, NaN under null."""
    plain = plain_array(values)
    numbers = np.full(len(plain), np.nan)
    numbers[plain.is_valid().to_numpy(zero_copy_only=False)] = read_numbers(plain, kind_of(plain.type))
    return numbers

"""The point-in-time join: for each row that asks, what was known about its entity at its own time.

n rows in, n rows out, in order. A feature row matches when all keys are equal (null equals nothing), its event time is
at or before the asking row's and at most the view's ttl before it, both bounds inclusive. Of several the greatest event
time counts, then the greatest created time (null the lowest), then the last in write order. All features of a view come
from that one row, nulls included; without a match they are null. Of a view with aggregations it is the windows that end
before each row's time which are computed, whatever `allow_exact_match` says. The work is `SortedIndex`'s.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from foldstore.errors import SchemaMismatchError, UsageError, column_not_found
from foldstore.views.features.feature_service import check_collisions
from foldstore.views.features.feature_view import FeatureSelection, FeatureView
from foldstore.views.features.found_rows import take_rows
from foldstore.views.features.index_file import AsOfIndex
from foldstore.views.features.sorted_index import Integers, Lookback, SortedIndex
from foldstore.views.features.window_index import WindowIndex
from foldstore.views.time_column import Instants, to_nanoseconds

EVENT_TIMESTAMP: Final = "event_timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinOptions:
    """How rows are joined; see `point_in_time_join`."""

    event_timestamp: str | None = None
    full_feature_names: bool = False
    filter_by_created_timestamp: bool = False
    allow_exact_match: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return what is not as usual, as plain data."""
        usual = JoinOptions()
        return {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features to join, and the index over the table that holds them.

    Attributes
    ----------
    selection : FeatureSelection
        Which features, under which names and key columns.
    index : AsOfIndex or WindowIndex
        From `index_view`, or a file; selections of one view share it.
    """

    selection: FeatureSelection
    index: AsOfIndex | WindowIndex


def index_view(view: FeatureView, table: pa.Table) -> SortedIndex:
    """Index the rows of a feature view's source, given in write order.

    Raises
    ------
    ColumnNotFoundError
        When the source lacks a column that the view names.
    SchemaMismatchError
        When a key column is not of the entity's type.

    Examples
    --------
    >>> import datetime as dt
    >>> from foldstore.views.features.entity import Entity
    >>> day = [dt.datetime(2024, 1, number) for number in range(1, 7)]
    >>> stats = FeatureView(
    ...     "stats", entity=Entity("driver", keys={"id": "int64"}), source="rides", event_time="ts", features=["x"])
    >>> index = index_view(stats, pa.table({"id": [1, 1], "ts": [day[0], day[2]], "x": [10, 30]}))
    >>> labels = pa.table({"id": [1, 1, 2], "event_timestamp": [day[5], day[1], day[5]]})
    >>> point_in_time_join(labels, [FeatureTable(stats[["x"]], index)])["x"].to_pylist()
    [30, 10, None]
    """
    check_source_columns(view, table)
    return SortedIndex(
        table.select(view.columns()),
        keys=view.keys,
        event_time=view.event_time,
        created_time=view.created_time,
    )


def check_source_columns(view: FeatureView, table: pa.Table) -> None:
    """Refuse a source that lacks a column which the view names.

    Raises
    ------
    ColumnNotFoundError
        When it does.
    """
    for column in view.columns():
        if column not in table.column_names:
            raise column_not_found(column, table.column_names, where=f"the source of feature view {view.name!r}")


def point_in_time_join(
    labels: pa.Table,
    features: Sequence[FeatureTable],
    *,
    event_timestamp: str | None = None,
    full_feature_names: bool = False,
    filter_by_created_timestamp: bool = False,
    allow_exact_match: bool = True,
) -> pa.Table:
    """Join features to rows as they were known at each row's time.

    Which row of an entity counts is said at the top of this module.

    Parameters
    ----------
    labels : pyarrow.Table
        The rows that ask: key columns, a time, whatever else.
    features : sequence of FeatureTable
        What to join, in the order of the answer.
    event_timestamp : str, optional
        The column of asking times: ``event_timestamp``, or the only column of times, unless given.
    full_feature_names : bool
        Name the answers ``view__feature`` instead of ``feature``.
    filter_by_created_timestamp : bool
        Also require a created time at or before the asking time; a null created time is none.
    allow_exact_match : bool
        False hides feature rows stamped exactly at the asking time.

    Returns
    -------
    pyarrow.Table
        The asking rows in their order, their times in UTC, then the features.

    Raises
    ------
    UsageError
        When there is no one column of times, or two columns of the answer would have one name.
    SchemaMismatchError
        When key columns are not of the entity's types, or a view without created times is to be filtered by them.
    """
    _check_columns(labels)
    column = _column_of_times(labels, event_timestamp)
    names = [item.selection.output_names(full_feature_names=full_feature_names) for item in features]
    check_collisions([name for group in names for name in group], labels.column_names)
    asked = to_nanoseconds(labels.column(column), where=f"{column!r}")
    joined = labels.set_column(labels.column_names.index(column), column, _in_utc(labels.column(column)))
    orders: dict[tuple[str, ...], Integers] = {}
    for item, group in zip(features, names, strict=True):
        lookback = Lookback(
            ttl_nanoseconds=item.selection.view.ttl_nanoseconds,
            allow_exact_match=allow_exact_match,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )
        for name, values in zip(group, _join_one(labels, item, asked, lookback, orders), strict=True):
            joined = joined.append_column(name, values)
    return joined


def _join_one(
    labels: pa.Table,
    features: FeatureTable,
    asked: Instants,
    lookback: Lookback,
    orders: dict[tuple[str, ...], Integers],
) -> list[pa.ChunkedArray]:
    """Return the features of one selection; `orders` says in which order others with the same keys were asked."""
    keys = _label_columns(labels, features, lookback)
    index, wanted = features.index, features.selection.features
    if isinstance(index, WindowIndex):
        return index.aggregate(keys, asked, wanted)
    asked_by = features.selection.label_keys
    found = index.find_visible(keys, asked, lookback, orders.get(asked_by))
    orders[asked_by] = found.askers
    return take_rows([index.table.column(feature) for feature in wanted], found)


def _column_of_times(labels: pa.Table, given: str | None) -> str:
    column = given or find_event_timestamp(labels)
    if column not in labels.column_names:
        raise column_not_found(column, labels.column_names, where="the rows that ask")
    return column


def _label_columns(labels: pa.Table, features: FeatureTable, lookback: Lookback) -> list[pa.ChunkedArray]:
    """Return the columns of the asking rows that hold a view's keys."""
    view = features.selection.view
    if lookback.filter_by_created_timestamp and view.aggregations:
        raise SchemaMismatchError(
            f"Feature view {view.name!r} has windows, whose rows are not filtered by created times.",
            hint="Join without filter_by_created_timestamp, or aggregate by the created time as the event time.",
            view=view.name,
        )
    if lookback.filter_by_created_timestamp and view.created_time is None:
        raise SchemaMismatchError(
            f"Feature view {view.name!r} has no created time to filter by.",
            hint="Define it with created_time=, or join without filter_by_created_timestamp.",
            view=view.name,
        )
    for column in features.selection.label_keys:
        if column not in labels.column_names:
            raise column_not_found(column, labels.column_names, where="the rows that ask")
    return [labels.column(key) for key in features.selection.label_keys]


def find_event_timestamp(labels: pa.Table) -> str:
    """Return the column of asking times: ``event_timestamp``, or the only column of times.

    Raises
    ------
    UsageError
        When there is none, or more than one.
    """
    if EVENT_TIMESTAMP in labels.column_names:
        return EVENT_TIMESTAMP
    times = [field.name for field in labels.schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        found = f"The columns of times are {', '.join(times)}." if times else "There is no column of times."
        raise UsageError(f"It is open which column says when each row asks. {found}", hint="Give event_timestamp=.")
    return str(times[0])


def _check_columns(labels: pa.Table) -> None:
    names = labels.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaMismatchError(
            f"The rows that ask have two columns {twice[0]!r}.", hint="Rename one.", column=twice[0]
        )


def _in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Label times as UTC, which a time without a zone is; the values stay."""
    unit = column.type.unit if pa.types.is_timestamp(column.type) else "us"
    return column.cast(pa.timestamp(unit, "UTC"))

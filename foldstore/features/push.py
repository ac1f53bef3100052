"""Rows pushed to feature views: to be looked up at once, to be kept in their dataset, or both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.errors import (
    NotFoundError,
    RefusedError,
    SchemaMismatchError,
    UsageError,
    column_not_found,
    did_you_mean,
    refuse_writing,
)
from foldstore.features.definitions import Definitions
from foldstore.features.layouts import Layouts, Served
from foldstore.features.pushed_windows import PushedWindows
from foldstore.features.sources import Rows
from foldstore.names import LATEST, check_name, parse_address
from foldstore.types import Clock, Status, format_time
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import key_column
from foldstore.views.instant import parse_instant
from foldstore.views.online.entities import Entities, read_entities
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.pushed_rows import PushedRows, identify
from foldstore.views.online.store import UNKNOWN_TIME, OnlineStore
from foldstore.views.time_column import to_nanoseconds

Target = Literal["online", "offline", "online_and_offline"]
MOST_ROWS: Final = 1_000_000
_INSTANT: Final = pa.timestamp("ns", "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a push did.

    Attributes
    ----------
    view : str
    rows : int
        How many rows.
    services : tuple of str
        The services whose lookups answer with them.
    version : str or None
        The version of the dataset that has them.
    """

    view: str
    rows: int
    services: tuple[str, ...] = ()
    version: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"view": self.view, "rows": self.rows, "services": list(self.services), "version": self.version}


@dataclass(frozen=True, slots=True)
class _Place:
    """A definition of the view that is served, the types of its features, and by which services."""

    view: FeatureView
    schema: pa.Schema
    services: list[str]


class Pusher:
    """Takes pushed rows.

    Parameters
    ----------
    rows : Rows
        How datasets are reached.
    definitions : Definitions
        The services.
    layouts : Layouts
        What is materialized.
    clock : callable
        What time it is, for deletes that do not say.
    """

    def __init__(self, rows: Rows, definitions: Definitions, layouts: Layouts, clock: Clock) -> None:
        self._rows = rows
        self._definitions = definitions
        self._layouts = layouts
        self._clock = clock

    def push(self, view: str, rows: Any, to: Target, *, message: str = "") -> Push:
        """Push rows; see `foldstore.features.handle.Features.push`."""
        if to not in get_args(Target):
            raise UsageError(
                f"There is no target {ascii(to)[:80]} to push to.", hint=f"Write one of {', '.join(get_args(Target))}."
            )
        name = check_name(view, "feature view")
        table = _read_rows(rows)
        places = self._find_places(name) if to != "offline" else []
        if to == "online":
            _refuse_windows(
                places, "Push to='online_and_offline': the dataset keeps the events, lookups see them at once."
            )
        dataset = self._find_dataset(name, places) if to != "online" else None
        known = list(dict.fromkeys(column for place in places for column in place.view.columns()))
        if dataset is not None:
            known = list(dict.fromkeys([*known, *self._rows.schema(dataset).names]))
        for column in table.column_names:
            if column not in known:
                raise column_not_found(column, known, where=f"what is pushed to feature view {name!r}")
        checked = [(place, _check(table, place)) for place in places]
        version = None if dataset is None else self._append(dataset, table, name, message)
        for place, ready in checked:
            if place.view.aggregations:
                PushedWindows(self._rows, place.view, ready.table).write(self._pushed(place))
            else:
                self._pushed(place).write(ready.keys, ready.times, ready.table)
        services = tuple(sorted({address for place in places for address in place.services}))
        return Push(view=name, rows=table.num_rows, services=services, version=version)

    def delete(self, view: str, entities: Entities, at: Any) -> Push:
        """Answer nothing for entities from an instant on; see `foldstore.features.handle.Features.delete_online`."""
        name = check_name(view, "feature view")
        places = self._find_places(name)
        _refuse_windows(places, "Delete its events from the dataset, and materialize.")
        event = parse_instant(format_time(self._clock()) if at is None else at)
        for place in places:
            columns = read_entities(entities, place.view.join_keys)
            hasher = KeyHasher(place.view.keys, "")
            keys = [hasher.check(key) for key in zip(*columns.values(), strict=True)] if columns else [()]
            if None in keys:
                raise SchemaMismatchError("A key is null: it is nobody's.", hint="Give every entity its keys.")
            found = [key for key in keys if key is not None]
            self._pushed(place).write(found, [(event, UNKNOWN_TIME)] * len(found), None)
        services = tuple(sorted({address for place in places for address in place.services}))
        return Push(view=name, rows=len(keys), services=services)

    def _pushed(self, place: _Place) -> PushedRows:
        return PushedRows(self._store(), place.view, place.schema)

    def _store(self) -> OnlineStore:
        store = self._layouts.pushes
        if store is None or self._layouts.read_only:
            raise refuse_writing()
        return store

    def _find_places(self, name: str) -> list[_Place]:
        """Find the definitions of a view that are served."""
        places: dict[bytes, _Place] = {}
        names: set[str] = set()
        for served in self._layouts.list_served():
            names |= set(served.views)
            view = served.views.get(name)
            if view is None:
                continue
            place = places.get(identify(view))
            if place is None:
                places[identify(view)] = _Place(view, self._schema_of(served, name), [served.address])
            else:
                place.services.append(served.address)
        if not places:
            raise NotFoundError(
                f"No service that is materialized has a feature view {name!r}.",
                hint=did_you_mean(name, names) if names else "Materialize a service that has it, or push offline.",
                view=name,
            )
        return list(places.values())

    def _schema_of(self, served: Served, name: str) -> pa.Schema:
        return self._layouts.open_base(served.files_of(name)[:1]).schema

    def _find_dataset(self, name: str, places: Sequence[_Place]) -> str:
        """Return the dataset that a view reads; what is pushed becomes a version of it."""
        views = [place.view for place in places] or list(self._applied_views(name))
        sources = {view.source if isinstance(view.source, str) else None for view in views}
        found = next(iter(sources)) if len(sources) == 1 else None
        if not isinstance(found, str):
            raise RefusedError(
                f"Feature view {name!r} reads no dataset alone: there is none to push to.",
                hint="Append to the datasets that its query reads, or push to='online'.",
                code="push-not-offline",
                view=name,
            )
        address = parse_address(found)
        if address.ref != LATEST or address.split is not None or self._rows.saved_view(found) is not None:
            raise RefusedError(
                f"Feature view {name!r} reads {found!r}, which does not change.",
                hint="Append to a dataset that it reads, or push to='online'.",
                code="push-not-offline",
                view=name,
            )
        return address.name

    def _applied_views(self, name: str) -> list[FeatureView]:
        found: dict[bytes, FeatureView] = {}
        for address in self._definitions.list_services():
            for selection in self._definitions.get(address)[1].selections:
                if selection.view.name == name:
                    found[identify(selection.view)] = selection.view
        if not found:
            raise NotFoundError(f"No service has a feature view {name!r}.", hint="Apply one that has it.", view=name)
        return list(found.values())[-1:]

    def _append(self, dataset: str, table: pa.Table, view: str, message: str) -> str:
        schema = self._rows.schema(dataset)
        fitted = pa.table(
            {name: _fit(table.column(name), schema.field(name).type, name) for name in table.column_names}
        )
        version = self._rows.append(dataset, fitted, message or f"pushed to {view}")
        if version.status is not Status.PUBLISHED:
            raise RefusedError(
                f"{version.address} is {version.status}: the pushed rows do not pass the dataset's schema.",
                hint=f"foldstore review show {version.address}; nothing is looked up from them until it is released.",
                code="version-quarantined",
                address=version.address,
            )
        return version.address


def _refuse_windows(places: Sequence[_Place], hint: str) -> None:
    for view in (place.view for place in places):
        if view.aggregations:
            raise RefusedError(
                f"Feature view {view.name!r} is computed over windows: what no version has is in none of them.",
                hint=hint,
                code="push-of-windows",
                view=view.name,
            )


@dataclass(frozen=True, slots=True)
class _Ready:
    """Rows that fit a definition: their features, or of a view with windows their keys and event times."""

    keys: list[tuple[Any, ...]]
    times: list[tuple[int, int]]
    table: pa.Table


def _read_rows(rows: Any) -> pa.Table:
    if isinstance(rows, str):
        raise UsageError("Rows to push are not an address.", hint="Give a table, a dict of lists or a list of dicts.")
    if isinstance(rows, list | tuple):
        if not all(isinstance(row, Mapping) for row in rows):
            raise UsageError("The rows to push are not objects.", hint='Write [{"carrier": "UA", "ts": ...}].')
        names = list(dict.fromkeys(name for row in rows for name in row))
        uneven = [number for number, row in enumerate(rows) if len(row) != len(names)]
        if uneven:
            raise SchemaMismatchError(
                f"Row {uneven[0]} has other columns than the rest.", hint="Give every row the same columns."
            )
        rows = {name: [row[name] for row in rows] for name in names}
    source = open_source(rows)
    batches, count = [], 0
    for batch in source.batches:
        batches.append(batch)
        count += batch.num_rows
        if count > MOST_ROWS:
            raise UsageError(
                f"There are more than {MOST_ROWS:,} rows to push.", hint="Append them to the dataset and materialize."
            )
    if not count:
        raise UsageError("There are no rows to push.", hint="Give at least one.")
    return pa.Table.from_batches(batches, source.schema)


def _check(table: pa.Table, place: _Place) -> _Ready:
    """Return rows in the types that are served.

    Raises
    ------
    SchemaMismatchError
        When a column is missing or does not fit, or a key or an event time is null.
    """
    view = place.view
    for column in view.columns():
        if column not in table.column_names:
            raise SchemaMismatchError(
                f"The column {column!r} is missing.",
                hint=f"{', '.join(place.services)} needs {', '.join(view.columns())}.",
                column=column,
            )
    keys = [key_column(table.column(name), name, kind) for name, kind in view.keys.items()]
    for name, key in zip(view.keys, keys, strict=True):
        _refuse_nulls(key, name)
    events = _instants(table.column(view.event_time), view.event_time)
    _refuse_nulls(events, view.event_time)
    created = [UNKNOWN_TIME] * table.num_rows
    if view.created_time is not None:
        known = _instants(table.column(view.created_time), view.created_time)
        created = [UNKNOWN_TIME if time is None else time for time in known.to_pylist()]
    if view.aggregations:
        ready = pa.table({**dict(zip(view.keys, keys, strict=True)), view.event_time: events.view(_INSTANT)})
    else:
        values = {field.name: _fit(table.column(field.name), field.type, field.name) for field in place.schema}
        ready = pa.table(values, schema=place.schema)
    rows = list(zip(*(key.to_pylist() for key in keys), strict=True)) if keys else [()] * table.num_rows
    times = list(zip(events.to_pylist(), created, strict=True))
    return _Ready(rows, times, ready)


def _refuse_nulls(column: Any, name: str) -> None:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise SchemaMismatchError(
            f"Row {row} has no {name!r}.", hint="A row without it is never found: leave it out.", column=name
        )


def _instants(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Return a column of times as nanoseconds; text is read as instants are everywhere."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return pa.array([None if text is None else parse_instant(text) for text in column.to_pylist()], pa.int64())
    found = to_nanoseconds(column, where=f"Column {name!r}")
    return pa.array(found.values, pa.int64(), mask=found.nulls)


def _fit(column: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.ChunkedArray:
    """Return a column in another type when no value changes by it."""
    if column.type == kind:
        return column
    try:
        if pa.types.is_timestamp(kind) and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            return pa.chunked_array(
                [_instants(column, name).view(_INSTANT).cast(pa.timestamp(kind.unit, "UTC")).cast(kind)]
            )
        if _family(column.type) == _family(kind) or pa.types.is_null(column.type):
            return column.cast(kind)
    except pa.ArrowInvalid:
        pass
    raise SchemaMismatchError(
        f"Column {name!r} is {column.type}, and does not fit {kind}.",
        hint="Give values of its type, without loss.",
        column=name,
        type=str(kind),
    )


def _family(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return _family(kind.value_type)
    tests = {
        "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        "bytes": (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
        "time": (pa.types.is_timestamp, pa.types.is_date),
        "list": (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    }
    return next((name for name, found in tests.items() if any(test(kind) for test in found)), str(kind))

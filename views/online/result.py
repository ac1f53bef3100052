"""The answer to a lookup: values with their statuses, event times and the versions that they come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.views.online.reader import NOWHERE, FoundMany, Layer, ViewReader
from foldstore.views.online.status import STATUS_CODES, FeatureStatus

_PRESENT, _NULL = FeatureStatus.PRESENT, FeatureStatus.NULL_VALUE


class OnlineRow(NamedTuple):
    """What is known of one entity.

    Attributes
    ----------
    values : dict
        Each feature's value, None where there is none.
    statuses : tuple of FeatureStatus
        Why, in the order of the values.
    event_times : tuple of int or None
        When each became true, in nanoseconds since 1970.
    """

    values: dict[str, Any]
    statuses: tuple[FeatureStatus, ...]
    event_times: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineColumn:
    """A feature of several entities, one entry each; times are nanoseconds since 1970."""

    name: str
    type: pa.DataType
    values: list[Any]
    statuses: list[FeatureStatus]
    event_times: list[int | None]
    sources: tuple[str, ...]


class FoundGroup(NamedTuple):
    """The rows of one feature view that answer, and which of its features under which names."""

    reader: ViewReader
    features: tuple[str, ...]
    names: tuple[str, ...]
    found: FoundMany

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Where the rows are."""
        return self.found.layers or (self.reader,)

    def columns(self) -> Iterator[OnlineColumn]:
        """Read the values."""
        found, layers = self.found, self.layers
        for feature, name in zip(self.features, self.names, strict=True):
            values = self._values(feature)
            nullable = any(layer.cells[feature].nullable for layer in layers)
            yield OnlineColumn(
                name=name,
                type=layers[0].cells[feature].type,
                values=values,
                statuses=with_nulls(values, found.statuses) if nullable else found.statuses,
                event_times=found.event_times,
                sources=self.reader.sources,
            )

    def _values(self, feature: str) -> list[Any]:
        found, layers = self.found, self.layers
        if found.layer_of is None:
            return layers[0].cells[feature].many(found.rows)
        values: list[Any] = [None] * len(found.rows)
        for number, layer in enumerate(layers):
            places = [place for place, held in enumerate(found.layer_of) if held == number]
            taken = layer.cells[feature].many([found.rows[place] for place in places])
            for place, value in zip(places, taken, strict=True):
                values[place] = value
        return values

    def arrow_column(self, feature: str) -> pa.Array:
        """Take a feature's values as the point-in-time join takes them."""
        if self.found.layer_of is None:
            return _take(self.layers[0].column(feature), np.array(self.found.rows, dtype=np.int64))
        rows, held = np.array(self.found.rows, dtype=np.int64), np.array(self.found.layer_of)
        parts, places = [], []
        for number, layer in enumerate(self.layers):
            mine = np.flatnonzero(held == number)
            parts.append(_take(layer.column(feature), rows[mine]))
            places.append(mine)
        back = np.argsort(np.concatenate(places))
        return pa.chunked_array(parts, parts[0].type).take(pa.array(back)).combine_chunks()


def _take(column: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    missing = rows == NOWHERE
    if missing.all():
        return pa.nulls(len(rows), column.type)
    return column.take(pa.array(rows, mask=missing))


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """What is known of some entities at an instant.

    Attributes
    ----------
    service : str or None
        The feature service's address, when one was asked.
    at : int
        The instant, in nanoseconds since 1970.
    entities : mapping of str to list
        The keys, as they were given.
    groups : tuple of FoundGroup
        Where the values are.
    materialization : int or None
        Which laying out of the service answered, when one was asked.
    """

    service: str | None
    at: int
    entities: Mapping[str, list[Any]]
    groups: tuple[FoundGroup, ...]
    materialization: int | None = None

    def __len__(self) -> int:
        return len(self.groups[0].found.rows)

    @property
    def pushed(self) -> frozenset[int]:
        """Which entities were answered, in part at least, by rows that were pushed and are of no version yet."""
        return frozenset().union(*(group.found.pushed for group in self.groups))

    @property
    def names(self) -> list[str]:
        """The features, in the order of the service or the request."""
        return [name for group in self.groups for name in group.names]

    @property
    def plain_groups(self) -> tuple[FoundGroup, ...]:
        """The groups, when their values are what is answered; none when something was made of them."""
        return self.groups

    def columns(self) -> Iterator[OnlineColumn]:
        """Read feature by feature."""
        for group in self.groups:
            yield from group.columns()

    def to_dict(self, *, include_statuses: bool = False, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Return the keys and the features as lists, one entry for each entity.

        Parameters
        ----------
        include_statuses : bool
            Add ``<feature>__status``.
        include_event_timestamps : bool
            Add ``<feature>__event_timestamp``, nanoseconds since 1970.
        """
        answer: dict[str, Any] = {name: list(values) for name, values in self.entities.items()}
        for column in self.columns():
            answer[column.name] = column.values
            if include_statuses:
                answer[f"{column.name}__status"] = list(column.statuses)
            if include_event_timestamps:
                answer[f"{column.name}__event_timestamp"] = list(column.event_times)
        return answer

    def to_arrow(self, *, include_statuses: bool = False, include_event_timestamps: bool = False) -> pa.Table:
        """Return the features as a table in the types of the source, to the bit what the training join gives.

        Statuses are uint8 with the numbers of Feast's protocol, event times nanoseconds in UTC.
        """
        table: dict[str, Any] = {}
        for group in self.groups:
            for feature, column in zip(group.features, group.columns(), strict=True):
                table[column.name] = group.arrow_column(feature)
                if include_statuses:
                    codes = [STATUS_CODES[status] for status in column.statuses]
                    table[f"{column.name}__status"] = pa.array(codes, pa.uint8())
                if include_event_timestamps:
                    times = pa.array(column.event_times, pa.int64()).view(pa.timestamp("ns", "UTC"))
                    table[f"{column.name}__event_timestamp"] = times
        return pa.table(table)


def with_nulls(values: list[Any], found: list[FeatureStatus]) -> list[FeatureStatus]:
    """Return statuses in which a row's null value is told apart."""
    return [
        _NULL if value is None and status is _PRESENT else status for value, status in zip(values, found, strict=True)
    ]

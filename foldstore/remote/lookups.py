"""The answer to a lookup over the network, sent as Arrow: values, statuses, event times, sources."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from foldstore.remote.server import no_answer
from foldstore.views.online.result import OnlineColumn, OnlineResult
from foldstore.views.online.status import STATUS_CODES
from foldstore.views.values import value_reader

_META: Final = b"foldstore.lookup"
_STATUSES: Final = {code: status for status, code in STATUS_CODES.items()}
_EACH: Final = 3  # a feature, its status, its event time


@dataclass(frozen=True, slots=True)
class RemoteOnlineResult(OnlineResult):
    """What is known of some entities at an instant; its verbs are those of `OnlineResult`.

    Attributes
    ----------
    table : pyarrow.Table
        Three columns for each feature, in the types of the source.
    sources : mapping of str to tuple of str
        The versions that each feature comes from.
    """

    table: pa.Table = field(kw_only=True)
    sources: Mapping[str, tuple[str, ...]] = field(kw_only=True)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def names(self) -> list[str]:
        """The features, in the order of the service or the request."""
        return list(self.table.column_names[::_EACH])

    def columns(self) -> Iterator[OnlineColumn]:
        """Read feature by feature."""
        for place, name in enumerate(self.names):
            values, statuses, times = self.table.columns[place * _EACH : (place + 1) * _EACH]
            yield OnlineColumn(
                name=name,
                type=values.type,
                values=list(map(value_reader(values.type), values)),
                statuses=[_STATUSES[code] for code in statuses.to_pylist()],
                event_times=times.cast(pa.int64()).to_pylist(),
                sources=self.sources[name],
            )

    def to_arrow(self, *, include_statuses: bool = False, include_event_timestamps: bool = False) -> pa.Table:
        """Return the features as a table in the types of the source, to the bit what the training join gives."""
        wanted = [
            name
            for place, name in enumerate(self.table.column_names)
            if (True, include_statuses, include_event_timestamps)[place % _EACH]
        ]
        return self.table.select(wanted)


def read_lookup(table: pa.Table) -> RemoteOnlineResult:
    """Read what the route of lookups gives."""
    kept = (table.schema.metadata or {}).get(_META)
    if kept is None:
        raise no_answer("what it says of the lookup")
    said = json.loads(kept)
    return RemoteOnlineResult(
        service=said["service"],
        at=said["at"],
        entities=said["entities"],
        groups=(),
        table=table.replace_schema_metadata(None),
        sources={name: tuple(versions) for name, versions in said["sources"].items()},
    )

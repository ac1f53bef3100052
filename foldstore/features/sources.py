"""What feature views are read from: names become pinned addresses, and these become rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from foldstore.datastore.manifest import Fragment
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError
from foldstore.lookup_log import Appended
from foldstore.names import parse_address
from foldstore.training_set import TrainingSet
from foldstore.types import Status
from foldstore.version import Version
from foldstore.views.features.feature_view import FeatureView, SqlSource


@dataclass(frozen=True, slots=True)
class PinnedView:
    """A published version of a saved view, and the versions of datasets that it reads."""

    address: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How features reach rows; `foldstore.store` supplies it.

    Attributes
    ----------
    version : callable
        The version at an address.
    view_rows : callable
        The rows at an address (a version, a view, a part of a split) as a table.
    stream : callable
        The same rows batch by batch.
    sql : callable
        The answer to a query batch by batch, given how its names become tables; sealed outcomes that may feed
        features do.
    query : callable
        The answer to a query as whoever asks may ask it: sealed cells are null.
    schema : callable
        The Arrow schema at an address.
    saved_view : callable
        The saved view at an address with what it is pinned to; None when no view has the name.
    create : callable
        Commit a training set: name, table, what is known of it.
    dataset : callable
        The dataset of a name, made when it is missing: of logged lookups, or with the key and event time given.
    append : callable
        Commit rows to a dataset, by its gate: name, table, message.
    """

    version: Callable[[str], Version]
    view_rows: Callable[[str], pa.Table]
    stream: Callable[[str], pa.RecordBatchReader]
    sql: Callable[[str, Callable[[str], str], str], pa.RecordBatchReader]
    query: Callable[[str], pa.Table]
    schema: Callable[[str], pa.Schema]
    saved_view: Callable[[str], "PinnedView | None"]
    create: Callable[..., TrainingSet]
    dataset: Callable[..., Appended]
    append: Callable[[str, pa.Table, str], Version]


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a feature view's source, and the versions that they were read from.

    Attributes
    ----------
    address : str
        What was read, pinned; empty for a query.
    version : str or None
        The address of the version whose rows these are or are chosen from, in an order that never changes.
    fragments : tuple of Fragment
        In what the version lay before it was read; known when all of it was read.
    """

    table: pa.Table
    inputs: tuple[str, ...]
    address: str = ""
    version: str | None = None
    fragments: tuple[Fragment, ...] = ()


@dataclass(slots=True)
class Pins:
    """Turns names into pinned addresses, and remembers which were used: of versions, and of saved views."""

    rows: Rows
    given: Mapping[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The pinned views and versions, each once."""
        return tuple(dict.fromkeys([*self.views.values(), *self.used.values()]))

    def add(self, other: "Pins") -> None:
        """Remember what others used too."""
        self.used.update(other.used)
        self.views.update(other.views)

    def pin(self, text: str) -> str:
        """Return the address with its version's number, as it was given before or as it stands now."""
        address = parse_address(text)
        written = f"{address.name}@{address.ref}"
        view = self.rows.saved_view(self.given.get(written, written))
        if view is not None and address.split is None:
            for each in view.versions:
                self.used[each] = check_published(self.rows.version(each)).address
            self.views[written] = view.address
            return view.address
        pinned = self.given.get(written) or check_published(self.rows.version(written)).address
        self.used[written] = pinned
        suffix = f"#{address.split}.{address.part}" if address.split and address.part else ""
        return f"{pinned}{suffix}"


def check_published(version: Version) -> Version:
    """Refuse a version that did not pass its gate: nothing is learnt or served from it until a person releases it."""
    if version.status in (Status.QUARANTINED, Status.DRAFT):
        raise RefusedError(
            f"{version.address} is {version.status}: features are not read from it.",
            hint=f"foldstore review release {version.address} publishes it; name a published version otherwise.",
            code="version-quarantined",
            address=version.address,
        )
    return version


def find_pins(storage: Storage, view: FeatureView, pins: Pins) -> str:
    """Pin what a feature view's source names, and read no row; return its pinned address, empty for a query."""
    if not isinstance(view.source, SqlSource):
        return pins.pin(view.source)
    for name in storage.engine.parse_query(view.source.query).tables:
        pins.pin(name)
    return ""


def read_source(rows: Rows, view: FeatureView, pins: Pins) -> SourceRows:
    """Read the rows of a feature view's source, in write order."""
    own = Pins(rows, pins.given)
    fragments: tuple[Fragment, ...] = ()
    if isinstance(view.source, SqlSource):
        table, address = rows.sql(view.source.query, own.pin, view.event_time).read_all(), ""
    else:
        address = own.pin(view.source)
        if address in own.used.values():
            fragments = tuple(rows.version(address).rows.fragments)
        table = rows.view_rows(address)
    pins.add(own)
    versions = list(own.used.values())
    version = versions[0] if address and len(versions) == 1 else None
    return SourceRows(table, own.inputs, address, version, fragments)


@dataclass(frozen=True, slots=True)
class SourceStream:
    """The rows of a feature view's source batch by batch, and the versions that they are read from."""

    batches: pa.RecordBatchReader
    inputs: tuple[str, ...]


def stream_source(rows: Rows, view: FeatureView, pins: Pins) -> SourceStream:
    """Read what `read_source` reads, and hold no more than a batch of it."""
    own = Pins(rows, pins.given)
    if isinstance(view.source, SqlSource):
        batches = rows.sql(view.source.query, own.pin, view.event_time)
    else:
        batches = rows.stream(own.pin(view.source))
    pins.add(own)
    return SourceStream(batches, own.inputs)

"""What feature views are read from: names become pinned addresses, and these become rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from foldstore.errors import RefusedError
from foldstore.lookup_log import Appended
from foldstore.names import parse_address
from foldstore.training_set import TrainingSet
from foldstore.types import Status
from foldstore.version import Version
from foldstore.views.features.feature_view import FeatureView, SqlSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How features reach rows; `foldstore.store` supplies it.

    Attributes
    ----------
    version : callable
        The version at an address.
    view_rows : callable
        The rows at an address (a version, a view, a part of a split) as a table.
    sql : callable
        The answer to a query, given how its names become tables; sealed outcomes that may feed features do.
    create : callable
        Commit a training set: name, table, what is known of it.
    dataset : callable
        The dataset of logged lookups of a name, made when it is missing.
    """

    version: Callable[[str], Version]
    view_rows: Callable[[str], pa.Table]
    sql: Callable[[str, Callable[[str], str], str], pa.Table]
    create: Callable[..., TrainingSet]
    dataset: Callable[[str], Appended]


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a feature view's source, and the versions that they were read from."""

    table: pa.Table
    inputs: tuple[str, ...]


@dataclass(slots=True)
class Pins:
    """Turns names into pinned addresses, and remembers which were used."""

    version: Callable[[str], Version]
    given: Mapping[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)

    @property
    def versions(self) -> tuple[str, ...]:
        """The pinned versions, each once."""
        return tuple(dict.fromkeys(self.used.values()))

    def pin(self, text: str) -> str:
        """Return the address with its version's number, as it was given before or as it stands now."""
        address = parse_address(text)
        written = f"{address.name}@{address.ref}"
        pinned = self.given.get(written) or check_published(self.version(written)).address
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


def read_source(rows: Rows, view: FeatureView, pins: Pins) -> SourceRows:
    """Read the rows of a feature view's source, in write order."""
    own = Pins(pins.version, pins.given)
    if isinstance(view.source, SqlSource):
        table = rows.sql(view.source.query, own.pin, view.event_time)
    else:
        table = rows.view_rows(own.pin(view.source))
    pins.used.update(own.used)
    return SourceRows(table, own.versions)

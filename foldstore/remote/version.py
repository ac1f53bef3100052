"""The handle of a remote version: an immutable state of a dataset, read, profiled and judged by a server."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, cast, overload

import pyarrow as pa

from foldstore.datastore.catalog.statuses import StatusMove
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.row_source import StreamedRows
from foldstore.datastore.statistics.segment_table import read_segments
from foldstore.datastore.statistics.segments import MAX_SEGMENTS, SegmentedProfile, check_by
from foldstore.errors import NotFoundError, UsageError
from foldstore.forms import Forms
from foldstore.remote.connection import path_of
from foldstore.remote.consumers import RemoteConsumers
from foldstore.remote.dataset_rows import check_schema
from foldstore.remote.local_only import CODE, SEAM, RemoteHandle, refuse
from foldstore.remote.profile import RemoteProfile
from foldstore.remote.records import DatasetFacts, VersionFacts
from foldstore.remote.results import joined_names, read_drift, read_report, read_review, read_segmented_drift
from foldstore.remote.server import Server, rows_request
from foldstore.remote.split import RemotePart
from foldstore.remote.upkeep import RemoteVersionUpkeep
from foldstore.remote.version_cleaning import RemoteCleaningOfVersion
from foldstore.remote.version_rows import RemoteRowsOfVersion, address_of, judged_by
from foldstore.remote.version_splits import RemoteSplitsOfVersion
from foldstore.remote.view import RemoteView
from foldstore.review import Review
from foldstore.types import Progress, Status, parse_time
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.drift.segments import SegmentedDrift
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema
from foldstore.views.source import Source
from foldstore.views.view import View

# What the route of a version says besides what `Version.to_dict` says.
_MORE = frozenset({"columns", "deprecation"})


class RemoteVersion(
    RemoteHandle, RemoteRowsOfVersion, RemoteCleaningOfVersion, RemoteSplitsOfVersion, RemoteVersionUpkeep, Forms
):
    """An immutable state of a dataset on a server; its verbs are those of `foldstore.Version`."""

    NOUN = "version"
    LOCAL_ONLY: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("base", "rows", "find_rows", "column_sizes", "split_rows", "fold_rows"), SEAM),
    }

    def __init__(self, server: Server, dataset: DatasetFacts, data: Mapping[str, Any]) -> None:
        self._server = server
        self._dataset = dataset
        self._data = dict(data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteVersion) and self.version_id == other.version_id

    def __hash__(self) -> int:
        return hash(self.version_id)

    def __repr__(self) -> str:
        return f"<Version {self.address}: {self.num_rows:,} rows, {self.status}>"

    def _repr_html_(self) -> str:
        return self.view()._repr_html_()  # the notebook protocol has no public name

    @property
    def address(self) -> str:
        """The address with the number, such as ``flights@3``."""
        return f"{self._dataset.name}@{self.number}"

    @property
    def number(self) -> int:
        """What is written behind the ``@``; numbers only grow."""
        return int(self._data["version"])

    @property
    def version_id(self) -> str:
        """The identity of the version; it does not depend on contents."""
        return str(self._data["id"])

    @property
    def record(self) -> VersionFacts:
        """What the catalog says: author, message, time, operation, rows and bytes added, properties."""
        return VersionFacts.from_dict(self._data)

    @property
    def status(self) -> Status:
        """``published``, ``quarantined``, ``draft`` or ``deprecated``, when the handle was opened."""
        return Status(self._data["status"])

    @property
    def created_at(self) -> datetime:
        """When it was committed, in UTC."""
        return parse_time(self._data["created_at"])

    @property
    def dataset(self) -> DatasetFacts:
        """What the catalog says of the dataset: its name, key and event time."""
        return self._dataset

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return int(self._data["rows"])

    @property
    def generation(self) -> int:
        """Always 0: what is found out about rows is found out anew each time."""
        return 0

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._server.table(rows_request(self._path("rows"), limit=0)).schema

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of the version as plain data."""
        return {name: value for name, value in self._data.items() if name not in _MORE}

    def view(self) -> RemoteView:
        """Return the view of all rows and columns, to filter and to read in other forms."""
        return RemoteView(cast("Source", self), engine=self._server.engine, store=self._server.store)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows as a table, sent as Arrow.

        Raises
        ------
        ColumnNotFoundError
            When a column is not there.
        """
        return pa.Table.from_batches(self.to_batches(columns), self._projected(columns))

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Do what `to_arrow` does: views read versions by this name."""
        return self.to_arrow(columns)

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows batch by batch, as they are sent."""
        return self.view().select_batches(columns)

    def _projected(self, columns: Sequence[str] | None) -> pa.Schema:
        return self.arrow_schema if columns is None else self.view().select(*columns).arrow_schema

    def profile(  # type: ignore[override]  # as `Version.profile` adds `rows` and `progress` to that of views
        self,
        *,
        by: str | Sequence[str] | None = None,
        rows: str = "all",
        max_segments: int = MAX_SEGMENTS,
        progress: Progress | None = None,
    ) -> RemoteProfile | SegmentedProfile:
        """Return the statistics of the rows, which the server keeps; see `foldstore.Version.profile`."""
        if by is not None:
            names = check_by(self.arrow_schema, by)
            asked: dict[str, Any] = {"rows_": rows, "by": joined_names(names), "max_segments": max_segments}
            return read_segments(self._server.table(rows_request(self._path("statistics"), **asked)))
        source = StreamedRows(self.arrow_schema, self.view().rows.stream)
        table = self._server.table(rows_request(self._path("statistics"), rows_=rows))
        found = Profile.from_arrow(table)
        if progress is not None:
            progress(found.rows, found.rows)
        return RemoteProfile(
            rows=found.rows,
            columns=found.columns,
            source=source,
            key=self._dataset.key,
            dataset=self._dataset.name,
            server=self._server,
            path=self._path(verb="infer-schema"),
        )

    def validate(
        self,
        schema: DataSchema | None = None,
        *,
        rows: str = "all",
        environment: str | None = None,
        checks: Sequence[Any] = (),
    ) -> Report:
        """Let the server judge the rows by a schema; see `foldstore.Version.validate`. Checks in code stay local."""
        if checks:
            refuse("version.validate with checks=", CODE)
        check_schema(schema)
        asked = {"schema": None if schema is None else schema.to_dict(), "rows": rows, "environment": environment}
        return read_report(self._server.read(self._path(verb="validate"), asked))

    @property
    def report(self) -> Report | None:
        """The report of the gate that judged the commit, or None when no schema was set."""
        try:
            return read_report(self._server.get(self._path("report")))
        except NotFoundError:
            return None

    @overload
    def drift(
        self,
        reference: "RemoteVersion | RemotePart | View | str",
        *,
        by: None = None,
        rows: str = "all",
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
        max_segments: int = ...,
    ) -> DriftResult: ...
    @overload
    def drift(
        self,
        reference: "RemoteVersion | RemotePart | View | str",
        *,
        by: str | Sequence[str],
        rows: str = "all",
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
        max_segments: int = ...,
    ) -> SegmentedDrift: ...
    def drift(
        self,
        reference: "RemoteVersion | RemotePart | View | str",
        *,
        by: str | Sequence[str] | None = None,
        rows: str = "all",
        policy: DriftPolicy | None = None,
        adjustment: Adjustment = "bh",
        max_segments: int = MAX_SEGMENTS,
    ) -> DriftResult | SegmentedDrift:
        """Let the server compare distributions with those of other rows; see `foldstore.Version.drift`.

        Parameters
        ----------
        reference : version, part of a split, view, or str
            What is taken for usual. As text ``"previous"``, ``"rolling(5)"`` or ``"seasonal(12)"``.
        by : str or sequence of str, optional
            One column or two: each segment is compared with the same of the reference.
        rows : {'all', 'added'}
            All rows of this version, or those that it added.
        policy : DriftPolicy, optional
            Limits, level and metric; the defaults unless given.
        adjustment : {'bh', 'by', 'holm'}
            How p-values are adjusted for the number of columns, and of segments.
        max_segments : int
            How many segments stand alone; the rest is compared as one.
        """
        asked = {"reference": address_of(reference), "rows": rows, **judged_by(policy, adjustment)}
        if by is not None:
            asked |= {"by": [by] if isinstance(by, str) else list(by), "max_segments": max_segments}
            return read_segmented_drift(self._server.read(self._path(verb="drift"), asked))
        return read_drift(self._server.read(self._path(verb="drift"), asked))

    def deprecate(self, reason: str, *, replacement: str | None = None, author: str | None = None) -> None:
        """Say that the version should not be used any more: `latest` is then the newest published one before it."""
        self._refuse_author(author)
        if not reason:
            raise UsageError("A version is deprecated for a reason.", hint="Say why in a sentence.")
        asked = {"reason": reason, "replacement": replacement}
        self._data = self._server.change(self._path(verb="deprecate"), asked)

    @property
    def deprecation(self) -> StatusMove | None:
        """Why the version is deprecated, since when, by whom, and what replaces it; None when it is not."""
        if self.status is not Status.DEPRECATED:
            return None
        move = self._server.get(self._path())["deprecation"]
        return None if move is None else StatusMove(**{**move, "to": Status(move["to"])})

    def release(self, reason: str, *, author: str | None = None) -> "RemoteVersion":
        """Publish what the version changed, as a new version on its branch; see `foldstore.Version.release`."""
        self._refuse_author(author)
        return RemoteVersion(
            self._server, self._dataset, self._server.change(self._path(verb="release"), {"reason": reason})
        )

    def reject(self, reason: str, *, author: str | None = None) -> None:
        """Write down that the version will not be published."""
        self._refuse_author(author)
        self._data = self._server.change(self._path(verb="reject"), {"reason": reason})

    def postpone(self, until: str | datetime, reason: str = "", *, author: str | None = None) -> str:
        """Take the version out of the queue until a time; return that instant."""
        self._refuse_author(author)
        asked = {"until": until.isoformat() if isinstance(until, datetime) else until, "reason": reason}
        return str(self._server.change(self._path(verb="postpone"), asked)["until"])

    def undeprecate(self, reason: str = "", *, author: str | None = None) -> None:
        """Publish a deprecated version again."""
        self._refuse_author(author)
        self._data = self._server.change(self._path(verb="undeprecate"), {"reason": reason})

    @property
    def review(self) -> Review | None:
        """What failed and what was decided about it; None when the version passed its gate."""
        listed = self._server.get(path_of("datasets", self._dataset.name, "reviews"), every=True)["items"]
        return next((read_review(each) for each in listed if each["address"] == self.address), None)

    def _path(self, *parts: str, verb: str = "") -> str:
        return path_of("datasets", self._dataset.name, "versions", self.number, *parts, verb=verb)

    @property
    def consumers(self) -> RemoteConsumers:
        """Who depends on it: listed, registered, released."""
        return RemoteConsumers(self)

    def part_path(self, *parts: str) -> str:
        """Return the path of a part of the version."""
        return self._path(*parts)

    def place(self, verb: str) -> str:
        """Return the path of a verb of the version."""
        return self._path(verb=verb)

    def sibling(self, data: Mapping[str, Any]) -> "RemoteVersion":
        """Return the handle of another version of the dataset, of what a server says of it."""
        return RemoteVersion(self._server, self._dataset, data)

    @property
    def server(self) -> Server:
        """The server, for the handles of what belongs to the version."""
        return self._server

    def _refuse_author(self, author: str | None) -> None:
        if author is not None:
            refuse("author=", "The token says who does something.")

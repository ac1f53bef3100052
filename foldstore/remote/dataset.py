"""The handle of a remote dataset."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import pyarrow as pa

from foldstore.datastore.arrow_schema import plain_schema
from foldstore.datastore.diff import VersionDiff
from foldstore.datastore.refs import RefMove
from foldstore.description import Description
from foldstore.errors import NotFoundError, UsageError
from foldstore.names import LATEST, MAIN_BRANCH, check_ref_name, parse_address
from foldstore.remote.commits import RemoteCommits
from foldstore.remote.connection import path_of, unnoted
from foldstore.remote.dataset_rows import RemoteRowsOfDataset
from foldstore.remote.difference import RemoteDiff
from foldstore.remote.erasure import RemoteErasure
from foldstore.remote.local_only import RemoteHandle, refuse
from foldstore.remote.records import DatasetFacts
from foldstore.remote.results import joined_names, read_history, read_review, read_trends
from foldstore.remote.server import Server
from foldstore.remote.upkeep import RemoteDatasetUpkeep
from foldstore.remote.version import RemoteVersion
from foldstore.review import Review
from foldstore.validation.drift.trends import Trends
from foldstore.validation.gate_policy import GatePolicy
from foldstore.validation.reporting.history import ProfileHistory
from foldstore.validation.schema import DataSchema


class RemoteDataset(RemoteHandle, RemoteCommits, RemoteRowsOfDataset, RemoteErasure, RemoteDatasetUpkeep):
    """A named line of versions on a server; its verbs are those of `foldstore.Dataset`."""

    NOUN = "dataset"

    def __init__(self, server: Server, data: Mapping[str, Any], branch: str = MAIN_BRANCH) -> None:
        self._server = server
        self._data = data
        self._record = DatasetFacts.from_dict(data)
        self._branch = branch

    def __repr__(self) -> str:
        key = f", key {'+'.join(self.key)}" if self.key else ""
        branch = f", branch {self._branch!r}" if self._branch != MAIN_BRANCH else ""
        return f"<Dataset {self.name!r}{key}{branch}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def key(self) -> tuple[str, ...]:
        """The columns whose values are unique together; empty when there is none."""
        return self._record.key

    @property
    def event_time(self) -> str | None:
        """The column that says when a row's event happened, or None."""
        return self._record.event_time

    @property
    def record(self) -> DatasetFacts:
        """What the catalog says."""
        return self._record

    @property
    def latest(self) -> RemoteVersion:
        """The newest published version; on a branch's handle, that of the branch."""
        return self.version(LATEST)

    def version(self, ref: "RemoteVersion | int | str") -> RemoteVersion:
        """Return a version: by its number, ``"latest"``, or the name of a branch, alias or tag."""
        address = parse_address(f"{self.name}@{ref}")
        on_branch = address.ref == LATEST and self._branch != MAIN_BRANCH
        path = self._path("versions", self._branch if on_branch else address.ref)
        return self._to_version(self._server.look_up(path))

    def as_of(self, moment: str | datetime) -> RemoteVersion:
        """Return the version that was the newest published one at an instant; see `foldstore.Dataset.as_of`."""
        branch = None if self._branch == MAIN_BRANCH else self._branch
        asked = moment.isoformat() if isinstance(moment, datetime) else moment
        return self._to_version(self._server.look_up(self._path(verb="as-of"), moment=asked, branch=branch))

    def versions(self) -> list[RemoteVersion]:
        """List all versions, oldest first, the quarantined ones included."""
        return [self._to_version(each) for each in self._server.connection.items(self._path("versions"))]

    def diff(
        self, before: "RemoteVersion | int | str", after: "RemoteVersion | int | str | None" = None
    ) -> VersionDiff:
        """Compare two versions; see `foldstore.Dataset.diff`. The rows that differ are asked for when they are read."""
        refs = {"before": self._ref_of(before), "after": self._ref_of(after)}
        return RemoteDiff.from_dict(self._server.get(self._path(verb="diff"), **refs), self._server, self.name)

    @property
    def description(self) -> Description:
        """Owner, description and tags, as they are now."""
        return _read_description(self._server.get(self._path()))

    def descriptions(self) -> list[Description]:
        """List what was said of it, oldest first."""
        return [_read_description(each) for each in self._server.get(self._path("descriptions"))["items"]]

    def matches(self, search: str | None = None, tag: str | None = None) -> bool:
        """Say whether the dataset has a tag, and a text in its name, description, owner, tags or columns."""
        asked = {"search": search, "tag": tag, "prefix": self.name}
        found = self._server.connection.items(path_of("datasets"), asked)
        return any(each["name"] == self.name for each in found)

    def describe(
        self, description: str | None = None, *, owner: str | None = None, tags: Iterable[str] | None = None
    ) -> Description:
        """Say what the dataset holds, whose it is, and tag it; what is not given stays."""
        given = {"description": description, "owner": owner, "tags": None if tags is None else list(tags)}
        asked = {name: value for name, value in given.items() if value is not None}
        return _read_description(self._server.change(self._path(verb="describe"), asked))

    def create_branch(self, name: str, at: "RemoteVersion | int | str | None" = None) -> Self:
        """Make a branch at a version, the newest one unless given, and return the handle that writes to it."""
        self._put_ref(name, "branch", at)
        return self._on_branch(name)

    def branch(self, name: str) -> Self:
        """Return the handle of a branch: its commits go there, and `latest` is its head."""
        if not any(each["name"] == name and each["kind"] == "branch" for each in self.refs()):
            raise NotFoundError(f"{self.name!r} has no branch {name!r}.", hint="refs() lists them.", name=name)
        return self._on_branch(name)

    def set_alias(self, name: str, version: "RemoteVersion | int | str | None" = None) -> None:
        """Point an alias at a version (the newest one unless given); it is made when it is new."""
        self._put_ref(name, "alias", version)

    def tag(self, name: str, version: "RemoteVersion | int | str | None" = None) -> None:
        """Give a version (the newest one unless given) a name that never moves."""
        self._put_ref(name, "tag", version)

    def remove_ref(self, name: str) -> None:
        """Remove a branch, an alias or a tag; versions stay until nothing else keeps them."""
        self._server.change(self._path("refs", name), method="DELETE")

    def refs(self) -> list[dict[str, Any]]:
        """List branches, aliases and tags: ``name``, ``kind`` and the ``version`` that each points at."""
        return list(self._server.connection.items(self._path("refs")))

    def history(self, name: str) -> list[RefMove]:
        """List the moves of a branch or an alias, oldest first: to which version, by whom, when."""
        return [RefMove(**each) for each in self._server.get(self._path("refs", name, "history"))["items"]]

    @property
    def schema(self) -> DataSchema | None:
        """The newest schema, or None."""
        try:
            return DataSchema.from_dict(self._server.get(self._path("schema"))["schema"])
        except NotFoundError:
            return None

    def schemas(self) -> list[DataSchema]:
        """List the schemas that were set, oldest first."""
        found = self._server.get(self._path("schemas"))["items"]
        return [DataSchema.from_dict(each.get("schema") or each["rows"]) for each in found]

    def set_schema(self, schema: DataSchema, *, message: str = "", author: str | None = None) -> DataSchema:
        """Keep a schema as the dataset's newest: from now on it gates what is published."""
        if author is not None:
            refuse("author=", "The token says who does something.")
        if not isinstance(schema, DataSchema):
            raise UsageError(
                f"{type(schema).__name__!r} is not a schema.", hint="DataSchema.from_yaml(text) reads one."
            )
        asked = {"schema": schema.to_dict(), "message": message}
        return DataSchema.from_dict(self._server.change(self._path("schema"), asked, method="PUT")["schema"])

    @property
    def gate(self) -> GatePolicy:
        """What publishing needs beside a schema that the rows fit."""
        return GatePolicy.from_dict(self._server.get(self._path("gate")))

    def set_gate(self, policy: GatePolicy, *, message: str = "", author: str | None = None) -> GatePolicy:
        """Set what publishing needs from now on; see `foldstore.Dataset.set_gate`."""
        if author is not None:
            refuse("author=", "The token says who does something.")
        if not isinstance(policy, GatePolicy):
            raise UsageError(f"{type(policy).__name__!r} is not a policy.", hint="Give a foldstore.GatePolicy.")
        asked = {"policy": policy.to_dict(), "message": message}
        return GatePolicy.from_dict(self._server.change(self._path("gate"), asked, method="PUT"))

    def trends(self, columns: Sequence[str] | None = None, *, last: int | None = None, season: int = 1) -> Trends:
        """Return how columns went over the published versions; see `foldstore.Dataset.trends`."""
        asked = {"columns": joined_names(columns), "last": last, "season": season}
        return read_trends(self._server.get(self._path("trends"), **asked))

    def report_history(
        self, columns: Sequence[str] | None = None, *, last: int = 50, rows: str = "added"
    ) -> ProfileHistory:
        """Return how columns went over the published versions, to be drawn; see `foldstore.Dataset.report_history`."""
        asked = {"columns": joined_names(columns), "last": last, "rows": rows}
        return read_history(self._server.get(self._path("report-history"), **asked))

    def reviews(self, *, every: bool = False) -> list[Review]:
        """List the quarantined versions that wait for a person, the oldest first."""
        return [read_review(each) for each in self._server.get(self._path("reviews"), every=every)["items"]]

    def _put_ref(self, name: str, kind: str, version: "RemoteVersion | int | str | None") -> None:
        check_ref_name(name, kind)
        self._server.change(self._path("refs", name), {"kind": kind, "version": self._ref_of(version)}, method="PUT")

    def _path(self, *parts: str, verb: str = "") -> str:
        return path_of("datasets", self.name, *parts, verb=verb)

    def _on_branch(self, name: str) -> Self:
        return type(self)(self._server, self._data, name)

    def _to_version(self, data: Mapping[str, Any]) -> RemoteVersion:
        return RemoteVersion(self._server, self._record, data)

    def _find_head(self) -> RemoteVersion | None:
        try:
            with unnoted():
                return self.version(self._branch)
        except NotFoundError:
            if self._branch != MAIN_BRANCH:
                self.branch(self._branch)  # one without a version is there all the same
            return None

    def _known_columns(self) -> pa.Schema | None:
        head = self._find_head()
        return None if head is None else plain_schema(head.arrow_schema)

    def _ref_of(self, version: "RemoteVersion | int | str | None") -> str:
        if isinstance(version, RemoteVersion):
            if version.dataset.name != self.name:
                raise UsageError(
                    f"{version.address} is not a version of {self.name!r}.", hint="Take one of this dataset."
                )
            return str(version.number)
        # Numbers do not move; what a ref stands for is looked up by the server, in the same moment.
        address = parse_address(f"{self.name}@{LATEST if version is None else version}")
        on_branch = address.ref == LATEST and self._branch != MAIN_BRANCH
        return self._branch if on_branch else address.ref


def _read_description(data: Mapping[str, Any]) -> Description:
    return Description(
        description=data["description"],
        owner=data["owner"],
        tags=tuple(data["tags"]),
        version=data["version"],
        author=data["author"],
        changed_at=data["changed_at"],
    )

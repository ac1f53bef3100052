"""What keeps a remote store in order: space, retention, pins and leases, the cold tier, verification."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from foldstore.consumers import Consumer
from foldstore.datastore.catalog.holders import LeaseRecord
from foldstore.datastore.catalog.records import ConsumerRecord
from foldstore.datastore.catalog.usage import BranchUsage, DatasetUsage, StoreUsage, VersionUsage
from foldstore.datastore.collection import GRACE, DatasetGarbage, Expired, GcReport
from foldstore.datastore.freezing import Tiering
from foldstore.datastore.retention import RetentionPolicy, parse_span
from foldstore.datastore.verify.verification import Fault, Kind, Unreferenced, Verification
from foldstore.errors import NotFoundError, UsageError
from foldstore.names import parse_address
from foldstore.remote.connection import Request, path_of
from foldstore.remote.local_only import refuse
from foldstore.remote.operations import followed
from foldstore.remote.server import Server, pick
from foldstore.types import Progress

_STORE: Final = "store"
_LEASE: Final = ("id", "version_id", "holder", "lease_until", "created_at")


class RemoteLease:
    """Keeps a version's rows on a server for a reader, until a time; `RemoteVersion.lease` gives it.

    Attributes
    ----------
    record : LeaseRecord
        Whose it is, and until when.
    """

    def __init__(self, server: Server, path: str, record: LeaseRecord, hours: float) -> None:
        self._server = server
        self._path = path
        self._hours = hours
        self.record = record

    def __repr__(self) -> str:
        return f"<Lease of {self.record.holder!r} until {self.record.lease_until}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def renew(self) -> None:
        """Hold the version as long again, from now on; a week after it was taken it ends at the latest.

        Raises
        ------
        NotFoundError
            When the lease had run out and was collected: take another one.
        """
        told = self._server.change(f"{self._path}:renew", {"hours": self._hours})
        self.record = replace(self.record, lease_until=told["lease_until"])

    def release(self) -> None:
        """Let go of the version."""
        with suppress(NotFoundError):  # it ran out, or somebody has released it
            self._server.change(self._path, method="DELETE")


class RemoteVersionUpkeep:
    """What holds a version, and in which tier it lies; a part of `foldstore.remote.version.RemoteVersion`."""

    _server: Server

    def part_path(self, *parts: str) -> str:
        """Return the path of a part of the version."""
        raise NotImplementedError

    def place(self, verb: str) -> str:
        """Return the path of a verb of the version."""
        raise NotImplementedError

    def lease(self, *, hours: float = 1, holder: str | None = None) -> RemoteLease:
        """Keep the rows for a reader, whatever retention says, for a day at most at a time; a context manager.

        The token's id stands behind the holder's name.
        """
        asked = {"hours": hours} if holder is None else {"hours": hours, "holder": holder}
        return self._leased(self._server.change(self.part_path("leases"), asked), hours)

    def leases(self) -> list[LeaseRecord]:
        """List the leases of the version, those that end first before the others."""
        return [_read_lease(each) for each in self._server.get(self.part_path("leases"))["items"]]

    def find_lease(self, lease_id: str, *, hours: float = 1) -> RemoteLease:
        """Return a lease of this token's that was taken before, to renew or to release it."""
        return self._leased(self._server.get(self.part_path("leases", str(lease_id))), hours)

    def pin(self, name: str, reason: str = "") -> Consumer:
        """Keep the version whatever retention says; ``unpin(name)`` takes it back."""
        return Consumer(**self._server.change(self.place("pin"), {"name": name, "reason": reason}))

    def unpin(self, name: str) -> None:
        """Take a pin out: one of this token's, unless it takes care of the store."""
        self._server.change(self.place("unpin"), {"name": name})

    def pins(self) -> list[ConsumerRecord]:
        """List the pins by name; `pin` adds one."""
        return [ConsumerRecord(**each) for each in self._server.get(self.part_path("pins"))["items"]]

    @property
    def cold_bytes(self) -> int:
        """How many bytes reading decodes, for files that lie in the cold tier; 0 when none does."""
        return int(self._server.get(self.part_path("cold-bytes"))["cold_bytes"])

    def freeze(self, *, force: bool = False, progress: Progress | None = None) -> Tiering:
        """Move the files that only this version needs into the cold tier; see `foldstore.Version.freeze`."""
        return _tier(self._server, self.place("freeze"), {"force": force}, progress)

    def thaw(self, *, progress: Progress | None = None) -> Tiering:
        """Bring the version's files back from the cold tier, under the names that they had."""
        return _tier(self._server, self.place("thaw"), {}, progress)

    def _leased(self, told: Mapping[str, Any], hours: float) -> RemoteLease:
        record = _read_lease(told)
        return RemoteLease(self._server, self.part_path("leases", record.id), record, hours)


class RemoteDatasetUpkeep:
    """What is kept of a dataset and what it takes; a part of `foldstore.remote.dataset.RemoteDataset`."""

    _server: Server

    def _path(self, *parts: str, verb: str = "") -> str:
        raise NotImplementedError

    def set_retention(
        self,
        *,
        keep_last: int | None = None,
        keep_days: str | float | None = None,
        quarantined_days: str | float | None = None,
        max_bytes: int | None = None,
        author: str | None = None,
        message: str = "",
    ) -> RetentionPolicy:
        """Say which versions the collector keeps; see `foldstore.Dataset.set_retention`."""
        if author is not None:
            refuse("author=", "The token says who does something.")
        asked = {
            "keep_last": keep_last,
            "keep_days": keep_days,
            "quarantined_days": quarantined_days,
            "max_bytes": max_bytes,
            "message": message,
        }
        return RetentionPolicy.from_dict(self._server.change(self._path("retention"), asked, method="PUT"))

    @property
    def retention(self) -> RetentionPolicy:
        """What the collector keeps; a policy without rules keeps all that a branch, alias or tag reaches."""
        return RetentionPolicy.from_dict(self._server.get(self._path("retention")))

    def usage(self) -> DatasetUsage:
        """Return how many bytes the dataset, its versions and its branches take, shared and of their own."""
        return _read_usage(self._server.get(self._path("usage")))


class RemoteStoreUpkeep:
    """What a remote store takes, who holds what, its collection, its tiers and its verification."""

    server: Server

    def gc(
        self, *, dry_run: bool = True, grace: str | float | timedelta = GRACE, progress: Progress | None = None
    ) -> GcReport:
        """Let versions expire, and remove the files that nothing needs; see `foldstore.Store.gc`."""
        span = parse_span(grace)
        given = span / timedelta(days=1) if isinstance(grace, timedelta) else grace
        with followed(self.server.connection, progress):
            told = self.server.change(path_of(_STORE, verb="gc"), {"dry_run": dry_run, "grace": given})
        return _read_collection(told)

    def usage(self) -> StoreUsage:
        """Return how many bytes the store takes, dataset by dataset, and what of it is garbage."""
        told = self.server.get(path_of(_STORE, "usage"))
        return StoreUsage(**{**told, "datasets": tuple(_read_usage(each) for each in told["datasets"])})

    def leases(self) -> Sequence[LeaseRecord]:
        """List the leases of readers, those that end first before the others."""
        return [_read_lease(each) for each in self.server.get(path_of("leases"))["items"]]

    def freeze(
        self,
        address: str,
        *,
        older_than: str | datetime | None = None,
        keep: int = 1,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Tiering:
        """Move files of old versions into the cold tier; see `foldstore.Store.freeze`."""
        path, is_version = _tiered(address)
        before = older_than.isoformat() if isinstance(older_than, datetime) else older_than
        asked = {"force": force} if is_version else {"older_than": before, "keep": keep, "force": force}
        return _tier(self.server, f"{path}:freeze", asked, progress)

    def thaw(self, address: str, *, progress: Progress | None = None) -> Tiering:
        """Bring the files of a version, or of all versions of a dataset, back from the cold tier."""
        return _tier(self.server, f"{_tiered(address)[0]}:thaw", {}, progress)

    def verify(
        self,
        progress: Progress | None = None,
        *,
        objects: bool | float = True,
        repair: bool = False,
        repair_from: Any = None,
    ) -> Verification:
        """Let the server compare everything that is kept with what was written; see `foldstore.Store.verify`."""
        if repair_from is not None:
            refuse("store.verify with repair_from=", "It names a folder beside the store.")
        with followed(self.server.connection, progress):
            told = self.server.change(path_of(_STORE, verb="verify"), {"objects": objects, "repair": repair})
        return _read_verification(told)


def _tiered(address: str) -> tuple[str, bool]:
    """Return the path of what an address names, and whether that is a version."""
    parsed = parse_address(address)
    if parsed.split is not None:
        raise UsageError(f"{address} is a part of a version.", hint="Name the version.")
    if "@" in address:
        return path_of("datasets", parsed.name, "versions", parsed.ref), True
    return path_of("datasets", parsed.name), False


def _tier(server: Server, path: str, asked: Mapping[str, Any], progress: Progress | None) -> Tiering:
    with followed(server.connection, progress):
        told = server.connection.ask(Request(method="POST", path=path, data=asked))
    kept = tuple((each["object"], each["why"]) for each in told["kept"])
    return Tiering(**{**told, "kept": kept})


def _read_lease(told: Mapping[str, Any]) -> LeaseRecord:
    return LeaseRecord(**pick(told, _LEASE))


def _read_usage(told: Mapping[str, Any]) -> DatasetUsage:
    versions = tuple(VersionUsage(**each) for each in told["versions"])
    return DatasetUsage(
        **{**told, "versions": versions, "branches": tuple(BranchUsage(**each) for each in told["branches"])}
    )


def _read_collection(told: Mapping[str, Any]) -> GcReport:
    grace = timedelta(seconds=told["grace"])
    return GcReport(**{**told, "grace": grace, "datasets": tuple(_read_garbage(each) for each in told["datasets"])})


def _read_garbage(told: Mapping[str, Any]) -> DatasetGarbage:
    versions = {name: tuple(Expired(**each) for each in told[name]) for name in ("expired", "waiting")}
    return DatasetGarbage(**{**told, **versions})


def _read_verification(told: Mapping[str, Any]) -> Verification:
    return Verification(
        **pick(told, ("objects", "versions", "journals")),
        num_bytes=told["bytes"],
        faults=tuple(_read_fault(each) for each in told["faults"]),
        unreferenced=tuple(_read_unreferenced(each) for each in told["unreferenced"]),
        whole=tuple(told["whole_versions"]),
        repairs=tuple(told["repairs"]),
    )


def _read_fault(told: Mapping[str, Any]) -> Fault:
    columns = tuple((each["column"], each["batch"]) for each in told["columns"])
    return Fault(**{**told, "kind": Kind(told["kind"]), "columns": columns, "versions": tuple(told["versions"])})


def _read_unreferenced(told: Mapping[str, Any]) -> Unreferenced:
    return Unreferenced(num_bytes=told["bytes"], num_rows=told["rows"], **pick(told, ("what", "name", "known")))

"""What a person does to keep a store in order: hold versions, deprecate them, retain, collect, account."""

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from foldstore.datastore.catalog import holders, statuses
from foldstore.datastore.catalog.expiry import POLICY
from foldstore.datastore.catalog.holders import LeaseRecord
from foldstore.datastore.catalog.records import ConsumerRecord, DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.runs import list_consumers, remove_consumer
from foldstore.datastore.catalog.usage import DatasetUsage, StoreUsage, measure_dataset, measure_store
from foldstore.datastore.collection import GRACE, GcReport, collect
from foldstore.datastore.free_text import check_text
from foldstore.datastore.retention import RetentionPolicy, parse_span
from foldstore.datastore.storage import Storage, new_id
from foldstore.errors import NotFoundError, UsageError, did_you_mean
from foldstore.names import parse_address_given
from foldstore.review import Review, list_reviews
from foldstore.types import Progress, Status, format_time
from foldstore.views.online.staged_files import FOLDER as ONLINE
from foldstore.views.online.staged_files import count_abandoned, remove_abandoned

_LONGEST_TEXT = 2_000
_PIN = "pin"


class Lease:
    """Keeps a version's rows for a reader, until a time; `Version.lease` gives it.

    Attributes
    ----------
    record : LeaseRecord
        Whose it is, and until when.
    """

    def __init__(self, storage: Storage, record: LeaseRecord, length: timedelta) -> None:
        self._storage = storage
        self._length = length
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
        """Hold the version as long again, from now on.

        Raises
        ------
        NotFoundError
            With code ``version-expired``, when the lease had run out and the version is gone.
        """
        until = self._storage.clock() + self._length
        text = holders.renew_lease(self._storage.catalog, self.record, until)
        self.record = replace(self.record, lease_until=text)

    def release(self) -> None:
        """Let go of the version."""
        holders.release_lease(self._storage.catalog, self.record.id)


class VersionUpkeep:
    """What holds a version and where it stands; a part of `foldstore.version.Version`."""

    _storage: Storage
    _record: VersionRecord
    _author: str

    def lease(self, *, hours: float = 1, holder: str | None = None) -> Lease:
        """Keep the rows for a reader, whatever retention says; a context manager.

        Parameters
        ----------
        hours : float
            For how long, unless it is renewed.
        holder : str, optional
            Who reads; the process unless given.

        Raises
        ------
        NotFoundError
            With code ``version-expired``, when the rows are gone.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> version = store.create_dataset("n").append({"id": [1, 2]})
        >>> with version.lease(hours=12, holder="nightly report"):
        ...     [lease.holder for lease in store.leases()]
        ['nightly report']
        >>> store.leases()
        []
        """
        length = _read_hours(hours)
        now = self._storage.clock()
        record = LeaseRecord(
            id=new_id(),
            version_id=self._record.id,
            holder=check_text(
                holder or f"process {os.getpid()} on {socket.gethostname()}", "The holder", 200, line=True
            ),
            lease_until=format_time(now + length),
            created_at=format_time(now),
        )
        holders.take_lease(self._storage.catalog, record)
        return Lease(self._storage, record, length)

    def leases(self) -> list[LeaseRecord]:
        """List the leases of the version, those that end first before the others."""
        return [each for each in holders.list_leases(self._storage.catalog) if each.version_id == self._record.id]

    def find_lease(self, lease_id: str, *, hours: float = 1) -> Lease:
        """Return a lease that was taken before, perhaps by another process, to renew or to release it.

        Parameters
        ----------
        lease_id : str
            ``lease.record.id``.
        hours : float
            For how long each renewal holds the version.

        Raises
        ------
        NotFoundError
            When the version has no such lease, or none any more.
        """
        length = _read_hours(hours)
        for record in self.leases():
            if record.id == lease_id:
                return Lease(self._storage, record, length)
        raise NotFoundError(
            f"The version has no lease {ascii(lease_id)[:60]}.", hint="One that ran out is gone; take another one."
        )

    def unpin(self, name: str) -> None:
        """Take a pin out.

        Raises
        ------
        NotFoundError
            When there is none of that name.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> version = store.create_dataset("n").append({"id": [1, 2]})
        >>> _ = version.pin("audit-2013", "asked for by the auditors")
        >>> [(pin.name, pin.reason) for pin in version.pins()]
        [('audit-2013', 'asked for by the auditors')]
        >>> version.unpin("audit-2013")
        """
        if not remove_consumer(self._storage.catalog, self._record.id, _PIN, str(name)):
            names = [pin.name for pin in self.pins()]
            raise NotFoundError(f"The version has no pin {name!r}.", hint=did_you_mean(name, names), name=str(name))

    def pins(self) -> list[ConsumerRecord]:
        """List the pins by name; `pin` adds one."""
        return list_consumers(self._storage.catalog, versions=[self._record.id], kind=_PIN)

    def deprecate(self, reason: str, *, replacement: str | None = None, author: str | None = None) -> None:
        """Say that the version should not be used any more: `latest` is then the newest published one before it.

        It stays readable by its number.

        Parameters
        ----------
        reason : str
            Why; readers see it.
        replacement : str, optional
            The address of what to use in its place.

        Raises
        ------
        UsageError
            With code ``invalid-status``, when the version is not published.
        """
        if not reason:
            raise UsageError("A version is deprecated for a reason.", hint="Say why in a sentence.")
        if replacement is not None:
            parse_address_given(replacement, "replacement")
        self._move(Status.DEPRECATED, reason, replacement, author)

    def undeprecate(self, reason: str = "", *, author: str | None = None) -> None:
        """Publish a deprecated version again.

        Raises
        ------
        UsageError
            With code ``invalid-status``, when the version is not deprecated.
        """
        self._move(Status.PUBLISHED, reason, None, author)

    @property
    def deprecation(self) -> statuses.StatusMove | None:
        """Why the version is deprecated, since when, by whom, and what replaces it; None when it is not."""
        if self._record.status is not Status.DEPRECATED:
            return None
        return statuses.find_last_move(self._storage.journal, self._record)

    def _move(self, to: Status, reason: str, replacement: str | None, author: str | None) -> None:
        move = statuses.StatusMove(
            to=to,
            reason=check_text(reason, "The reason", _LONGEST_TEXT),
            replacement=replacement,
            actor=author or self._author,
            created_at=format_time(self._storage.clock()),
        )
        # The handle may be older than the last move.
        known = self._storage.catalog.find_version_by_id(self._record.id) or self._record
        self._record = statuses.move_status(self._storage.catalog, self._storage.journal, known, move)


class DatasetUpkeep:
    """What is kept of a dataset and what it takes; a part of `foldstore.dataset.Dataset`."""

    _storage: Storage
    _record: DatasetRecord
    _author: str

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
        """Say which versions the collector keeps; without any rule it keeps all that a branch, alias or tag reaches.

        A version that no rule keeps expires with the next run of `Store.gc`. Heads of branches, aliases, tags, pins,
        leases, and what views, pools, splits and training sets are pinned to stay in any case.

        Parameters
        ----------
        keep_last : int, optional
            This many versions of each branch.
        keep_days : float or str, optional
            Versions that are younger: ``30``, ``"12h"``.
        quarantined_days : float or str, optional
            Quarantined versions that are younger; all of them unless given.
        max_bytes : int, optional
            A ceiling: the oldest versions expire until the rest fits.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> readings = store.create_dataset("readings")
        >>> readings.set_retention(keep_last=10, keep_days="30d").to_dict()
        {'keep_last': 10, 'keep_days': 30.0}
        """
        policy = RetentionPolicy(
            keep_last=keep_last,
            keep_days=_in_days(keep_days),
            quarantined_days=_in_days(quarantined_days),
            max_bytes=max_bytes,
        )
        now = format_time(self._storage.clock())
        Registry(self._storage.catalog, POLICY).put(
            self._record.name, policy.to_dict(), author=author or self._author, message=message, created_at=now
        )
        return policy

    @property
    def retention(self) -> RetentionPolicy:
        """What the collector keeps; a policy without rules keeps all that a branch, alias or tag reaches."""
        document = Registry(self._storage.catalog, POLICY).find(self._record.name)
        return RetentionPolicy.from_dict(document.body) if document else RetentionPolicy()

    def usage(self) -> DatasetUsage:
        """Return how many bytes the dataset, its versions and its branches take, shared and of their own."""
        catalog, guard = self._storage.catalog, self._storage.guard
        if guard is None:
            return measure_dataset(catalog, self._record)
        return measure_dataset(
            catalog, self._record, [each.id for each in catalog.list_datasets() if guard.may_know(each.name)]
        )


class StoreUpkeep:
    """What a store takes, who holds what, and its collection; a part of `foldstore.store.Store`."""

    _storage: Storage
    _author: str

    def reviews(self, *, every: bool = False) -> list[Review]:
        """List the versions of all datasets that wait for a person, the oldest first.

        Parameters
        ----------
        every : bool
            Also those that are postponed, released or rejected.
        """
        found = []
        for dataset in self._storage.catalog.list_datasets():
            found += list_reviews(self._storage, dataset, every=every)
        return sorted(found, key=lambda each: (each.since, each.address))

    def gc(
        self, *, dry_run: bool = True, grace: str | float | timedelta = GRACE, progress: Progress | None = None
    ) -> GcReport:
        """Let versions expire by their datasets' retention, and remove the files that nothing needs.

        A file is removed by the run after the one that found it useless, and not before the grace is over; half-written
        files for lookups that nobody has locked, after a minute.

        Parameters
        ----------
        dry_run : bool
            Say what would be done, and change nothing.
        grace : str, float or timedelta
            How long something must have been on its way out: ``"1d"``, a number of days.
        progress : callable, optional
            Told the objects removed and the objects in all.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> n = store.create_dataset("n")
        >>> _ = n.append({"id": [1]}), n.append({"id": [2]})
        >>> _ = n.set_retention(keep_last=1)
        >>> [each.address for each in store.gc().expired]
        ['n@1']
        """
        report = collect(self._storage, dry_run=dry_run, grace=grace, actor=self._author, progress=progress)
        folder = self._storage.root / ONLINE
        return replace(report, staged_files=count_abandoned(folder) if dry_run else remove_abandoned(folder))

    def usage(self) -> StoreUsage:
        """Return how many bytes the store takes, dataset by dataset, and what of it is garbage."""
        return measure_store(self._storage.catalog)

    def leases(self) -> Sequence[LeaseRecord]:
        """List the leases of readers, those that end first before the others."""
        return holders.list_leases(self._storage.catalog)


def _read_hours(hours: object) -> timedelta:
    if not isinstance(hours, int | float) or isinstance(hours, bool) or not 0 < hours <= 24 * 366:
        raise UsageError(f"hours={ascii(hours)[:40]} is not a time to read.", hint="Write 12, or 0.5.")
    return timedelta(hours=hours)


def _in_days(value: Any) -> float | None:
    return None if value is None else parse_span(value) / timedelta(days=1)

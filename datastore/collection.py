"""Garbage collection: versions expire by their dataset's policy, what nothing needs is condemned, then removed.

One run does the following, each step told to ``storage.on_step``: ``gc-cleaned`` (transactions that lost their lease
are given up, their staging folders removed), ``gc-unlinked`` (the files of a batch of condemned objects are gone, the
catalog has not committed), ``gc-swept`` (it has), ``gc-expired`` (a dataset's versions gave their rows up),
``gc-recorded`` (their commit objects say so), ``gc-marked`` (what nothing needs is condemned). Objects are removed
before new ones are condemned, so it takes two runs. A crash anywhere leaves garbage alone, and the next run goes on.

Nothing is found by listing folders: objects and staging folders are removed by what the catalog says. The sealed
area, files for lookups and caches beside the store are not touched; what killed writers of files for lookups left is
removed by `foldstore.upkeep.StoreUpkeep.gc`, which asks their locks.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

from foldstore.datastore import index_area
from foldstore.datastore.catalog import expiry, garbage
from foldstore.datastore.catalog.commits import mark_recorded
from foldstore.datastore.catalog.garbage import Moment, Unneeded
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.commit_object import record_commits, rewrite_commit_object
from foldstore.datastore.retention import parse_span
from foldstore.datastore.storage import Storage
from foldstore.types import Progress

GRACE: Final = "1d"
# Files of one SQL transaction: other writers wait for it. Neighbours by name lie in one folder.
_BATCH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """A version that gave its rows up, or would."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetGarbage:
    """What a run found in one dataset.

    Attributes
    ----------
    expired : tuple of Expired
        Versions that expire.
    waiting : tuple of Expired
        Versions that will, when a later run finds it still so.
    objects, num_bytes : int
        The files that only the expired versions list.
    """

    dataset: str
    expired: tuple[Expired, ...] = ()
    waiting: tuple[Expired, ...] = ()
    objects: int = 0
    num_bytes: int = 0
    pages: int = 0
    deletions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """What a garbage collection did, or, as a dry run, would do.

    Attributes
    ----------
    condemned, bytes_condemned : int
        Objects that nothing needs, found by this run: a later run removes them.
    waiting, bytes_waiting : int
        Objects that were condemned before and are still in their grace.
    removed, bytes_freed : int
        Objects that are gone from the disk.
    kept_again : int
        Condemned objects that something needs again.
    derived : int
        Statistics of removed objects.
    lost_transactions : int
        Commits that were silent for longer than their lease, and were given up.
    staging_folders : int
        Folders of transactions that ended.
    staged_files : int
        Files for lookups that were being written when their writers were killed; nobody has a lock on them.
    datasets : tuple of DatasetGarbage
        The datasets with versions that expire.
    """

    dry_run: bool
    grace: timedelta
    condemned: int = 0
    bytes_condemned: int = 0
    waiting: int = 0
    bytes_waiting: int = 0
    removed: int = 0
    bytes_freed: int = 0
    kept_again: int = 0
    derived: int = 0
    lost_transactions: int = 0
    staging_folders: int = 0
    staged_files: int = 0
    datasets: tuple[DatasetGarbage, ...] = field(default=())

    @property
    def expired(self) -> tuple[Expired, ...]:
        """All versions that expire."""
        return tuple(each for dataset in self.datasets for each in dataset.expired)

    @property
    def is_clean(self) -> bool:
        """Whether there was nothing to do and nothing waits."""
        counts = (self.condemned, self.waiting, self.removed)
        left = (self.lost_transactions, self.staging_folders, self.staged_files)
        return not any((*counts, *left)) and not self.datasets

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "grace": self.grace.total_seconds(), "datasets": [asdict(d) for d in self.datasets]}

    def __str__(self) -> str:
        verb = "would be" if self.dry_run else "are"
        lines = [
            f"{self.removed:,} objects {verb} removed ({self.bytes_freed:,} bytes), "
            f"{self.condemned:,} {verb} condemned ({self.bytes_condemned:,} bytes), "
            f"{self.waiting:,} wait ({self.bytes_waiting:,} bytes).",
            f"{self.lost_transactions:,} commits {verb} given up, {self.staging_folders:,} staging folders removed.",
        ]
        if self.staged_files:
            lines.append(f"{self.staged_files:,} half-written files for lookups {verb} removed.")
        for dataset in self.datasets:
            lines += [f"{each.address} {'would expire' if self.dry_run else 'expired'}: {each.reason}."
                      for each in dataset.expired]  # fmt: skip
            lines += [f"{each.address} will expire when a later run finds: {each.reason}." for each in dataset.waiting]
        return "\n".join(lines)


def collect(
    storage: Storage,
    *,
    dry_run: bool = True,
    grace: str | float | timedelta = GRACE,
    actor: str = "foldstore",
    progress: Progress | None = None,
) -> GcReport:
    """Collect garbage, or say what would be collected.

    Parameters
    ----------
    dry_run : bool
        Change nothing.
    grace : str, float or timedelta
        How long something must have been on its way out: ``"1d"``, a number of days.
    progress : callable, optional
        Told the objects looked at and the objects in all.

    Raises
    ------
    UsageError
        When the grace is no length of time.
    StoreError
        With the code ``objects-elsewhere``, when there are files to remove and they are not in this folder.
    """
    moment = Moment(now=storage.clock(), grace=parse_span(grace))
    if dry_run:
        return _forecast(storage, moment)
    storage.objects.refuse_elsewhere()
    lost, folders = _clean(storage, moment)
    swept = _sweep(storage, moment, actor, progress)
    datasets = tuple(_expire(storage, moment, actor))
    return GcReport(
        dry_run=False,
        grace=moment.grace,
        lost_transactions=lost,
        staging_folders=folders,
        datasets=datasets,
        **swept,
        **_mark(storage, moment),
    )


def _clean(storage: Storage, moment: Moment) -> tuple[int, int]:
    with storage.catalog.write() as connection:
        lost = garbage.give_up_lost(connection, moment)
    with storage.catalog.read() as connection:
        finished = garbage.list_finished(connection, moment)
    folders = 0
    for transaction_id in finished:
        if storage.objects.has_staging(transaction_id):
            storage.objects.unstage(transaction_id)
            folders += 1
    index_area.prune(storage)
    storage.on_step("gc-cleaned")
    return lost, folders


def _sweep(storage: Storage, moment: Moment, actor: str, progress: Progress | None) -> dict[str, int]:
    with storage.catalog.write() as connection:
        kept_again = garbage.absolve(connection)
    with storage.catalog.read() as connection:
        found = garbage.list_unneeded(connection)
    due = [each.id for each in found if _is_due(each, moment)]
    removed = num_bytes = derived = 0
    for batch in garbage.runs(due, _BATCH):
        swept = garbage.sweep(storage.catalog, storage.journal, batch, moment, actor, _unlink(storage))
        storage.objects.forget(*swept.object_ids)
        storage.on_step("gc-swept")
        removed, num_bytes = removed + len(swept.object_ids), num_bytes + swept.num_bytes
        derived += swept.derived
        if progress:
            progress(removed, len(due))
    return {"kept_again": kept_again, "removed": removed, "bytes_freed": num_bytes, "derived": derived}


def _unlink(storage: Storage) -> Any:
    def unlink(object_ids: list[str]) -> None:
        storage.objects.remove(object_ids)
        storage.on_step("gc-unlinked")

    return unlink


def _is_due(each: Unneeded, moment: Moment) -> bool:
    return each.condemned_at is not None and each.condemned_at <= moment.cutoff


def _expire(storage: Storage, moment: Moment, actor: str) -> Iterable[DatasetGarbage]:
    """Let versions expire; note what is on its way out, so that a later run can find it confirmed."""
    record_commits(storage)  # what a crash of an earlier run left undone
    datasets = storage.catalog.list_datasets()
    found, noted = [], []
    with storage.catalog.read() as connection:
        outlook = expiry.look(connection, moment)
        plans = {dataset.id: expiry.plan_dataset(connection, dataset, outlook) for dataset in datasets}
    for dataset in datasets:
        plan = plans[dataset.id]
        noted += [each.line.id for each in plan.waiting]
        done = _expire_dataset(storage, dataset, moment, actor) if plan.going else ()
        if done or plan.waiting:
            found.append(_describe(dataset, done, plan))
    with storage.catalog.write() as connection:
        garbage.drop_leases(connection, outlook.over)
        over = set(outlook.over)
        lapsed = [each for each in outlook.lapsed if each not in over]
        garbage.write_notes(connection, [*noted, *lapsed], outlook.notes, moment)
    return found


def _expire_dataset(storage: Storage, dataset: DatasetRecord, moment: Moment, actor: str) -> tuple[expiry.Expiry, ...]:
    done: list[expiry.Expiry] = []
    while True:
        parted = expiry.expire_dataset(storage.catalog, storage.journal, dataset, moment, actor)
        if not parted.partings:
            return tuple(done)
        done.append(parted)
        storage.on_step("gc-expired")
        for version in parted.touched:
            rewrite_commit_object(storage, version)
        mark_recorded(storage.catalog, [version.id for version in parted.touched])
        storage.on_step("gc-recorded")


def _describe(dataset: DatasetRecord, done: Iterable[expiry.Expiry], plan: expiry.Plan) -> DatasetGarbage:
    done = tuple(done)
    freed = [each.freed for each in done]
    return DatasetGarbage(
        dataset=dataset.name,
        expired=_named(dataset, (parting for each in done for parting in each.partings)),
        waiting=_named(dataset, plan.waiting),
        objects=sum(each.objects for each in freed),
        num_bytes=sum(each.num_bytes for each in freed),
        pages=sum(each.pages for each in freed),
        deletions=sum(each.deletions for each in freed),
    )


def _named(dataset: DatasetRecord, partings: Iterable[Any]) -> tuple[Expired, ...]:
    return tuple(Expired(address=f"{dataset.name}@{each.line.number}", reason=each.reason) for each in partings)


def _mark(storage: Storage, moment: Moment) -> dict[str, int]:
    with storage.catalog.read() as connection:
        found = garbage.list_unneeded(connection)
    condemned = num_bytes = 0
    for batch in garbage.runs([each.id for each in found if not _is_fixed(each, moment)]):
        with storage.catalog.write() as connection:
            count, size = garbage.condemn(connection, batch, moment)
        condemned, num_bytes = condemned + count, num_bytes + size
    with storage.catalog.write() as connection:
        garbage.forget_transactions(connection, garbage.list_finished(connection, moment))
    storage.on_step("gc-marked")
    waiting = [each for each in found if each.condemned_at is not None]
    return {
        "condemned": condemned,
        "bytes_condemned": num_bytes,
        "waiting": len(waiting),
        "bytes_waiting": sum(each.num_bytes for each in waiting),
    }


def _is_fixed(each: Unneeded, moment: Moment) -> bool:
    return each.condemned_at is not None and each.condemned_at <= moment.text


def _forecast(storage: Storage, moment: Moment) -> GcReport:
    """Say what a run would do; only reads."""
    datasets = storage.catalog.list_datasets()
    found = []
    with storage.catalog.read() as connection:
        outlook = expiry.look(connection, moment)
        going: list[str] = []
        for dataset in datasets:
            plan = expiry.plan_dataset(connection, dataset, outlook)
            ids = [each.line.id for each in plan.going]
            going += ids
            if plan.going or plan.waiting:
                done = expiry.Expiry(partings=plan.going, freed=expiry.forecast(connection, ids))
                found.append(_describe(dataset, [done], plan))
        together = expiry.forecast(connection, going, held=False)
        unneeded = garbage.list_unneeded(connection)
        lost = garbage.list_lost(connection, moment)
        finished = garbage.list_finished(connection, moment)
    due = [each for each in unneeded if _is_due(each, moment)]
    fresh = [each for each in unneeded if each.condemned_at is None]
    waiting = [each for each in unneeded if each.condemned_at is not None and not _is_due(each, moment)]
    return GcReport(
        dry_run=True,
        grace=moment.grace,
        condemned=len(fresh) + together.objects,
        bytes_condemned=sum(each.num_bytes for each in fresh) + together.num_bytes,
        waiting=len(waiting),
        bytes_waiting=sum(each.num_bytes for each in waiting),
        removed=len(due),
        bytes_freed=sum(each.num_bytes for each in due),
        lost_transactions=len(lost),
        staging_folders=sum(storage.objects.has_staging(each) for each in {*finished, *lost}),
        datasets=tuple(found),
    )

"""The catalog's half of a commit: the transaction row, the staged objects, and the one flip.

A commit is visible when, and only when, the transaction of `flip` has committed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog, move_ref
from foldstore.datastore.catalog.decoding import to_version
from foldstore.datastore.catalog.deletions import insert_deletions
from foldstore.datastore.catalog.inserting import insert_missing
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.records import (
    Basis,
    DeletionRecord,
    ObjectRecord,
    PageRecord,
    RefRecord,
    VersionRecord,
)
from foldstore.datastore.catalog.registry import Registry
from foldstore.errors import ConflictError, StoreError
from foldstore.types import Clock, Status, format_time

# How long a silent transaction keeps its staged files from being collected.
LEASE: Final = timedelta(hours=1)
# Ids bound in one statement; SQLite allows 32,766 values.
_IN_RUN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Everything that becomes visible at once.

    `head` is the branch as it was read: the flip fails when somebody moved it since. A quarantined
    version leaves it where it is. `basis` is what the version was judged by: the flip fails when a newer one
    was set since. `page_hashes` are all pages in order, `new_pages` those that the parent
    does not have.
    """

    version: VersionRecord
    encoded_schema: bytes
    page_hashes: Sequence[str]
    new_pages: Sequence[PageRecord]
    head: RefRecord
    basis: Basis
    deletions: Sequence[DeletionRecord] = ()
    report: dict[str, Any] | None = None


def begin(catalog: Catalog, transaction_id: str, dataset_id: str, base_version_id: str | None, clock: Clock) -> None:
    """Write the transaction row, before any file."""
    now = clock()
    with catalog.write() as connection:
        connection.execute(
            sa.insert(t.transaction).values(
                id=transaction_id,
                dataset_id=dataset_id,
                base_version_id=base_version_id,
                started_at=format_time(now),
                lease_until=format_time(now + LEASE),
                state="open",
            )
        )


def renew(catalog: Catalog, transaction_id: str, clock: Clock) -> None:
    """Keep what a transaction has written for another hour; a clock that went back does not shorten the lease.

    Raises
    ------
    StoreError
        With code ``lease-lost``, when the collector has given the transaction up.
    """
    until = format_time(clock() + LEASE)
    with catalog.write() as connection:
        known = _lock_transaction(connection, transaction_id)
        mine = t.transaction.c.id == transaction_id
        connection.execute(sa.update(t.transaction).where(mine).values(lease_until=max(known, until)))


def stage_objects(
    catalog: Catalog, transaction_id: str, dataset_id: str, objects: Sequence[ObjectRecord], num_fragments: int
) -> tuple[int, int]:
    """Register the files of a transaction before they get their names, and reserve fragment ids.

    Files that the catalog knows are shared; one that waits for its removal stays.

    Returns
    -------
    (int, int)
        The bytes that are new to the store, and the first reserved fragment id.

    Raises
    ------
    StoreError
        With code ``lease-lost``, when the collector has given the transaction up.
    """
    with catalog.write() as connection:
        first = connection.execute(
            sa.update(t.dataset)
            .where(t.dataset.c.id == dataset_id)
            .values(next_fragment=t.dataset.c.next_fragment + num_fragments)
            .returning(t.dataset.c.next_fragment)
        ).scalar_one()
        _lock_transaction(connection, transaction_id)
        wanted = {item.id: item for item in objects}
        fresh = _register(connection, transaction_id, wanted)
        _hold(connection, transaction_id, wanted)
    return sum(wanted[object_id].num_bytes for object_id in fresh), int(first) - num_fragments


def share_objects(catalog: Catalog, transaction_id: str, object_ids: Iterable[str]) -> None:
    """Keep files of versions that are there for a transaction that will list them anew.

    Raises
    ------
    ConflictError
        When some were collected meanwhile.
    """
    wanted = sorted(set(object_ids))
    with catalog.write() as connection:
        _lock_transaction(connection, transaction_id)
        if len(_keep_objects(connection, wanted)) < len(wanted):
            raise ConflictError(
                "Some of the files were collected meanwhile.",
                retry=True,
                hint="Do the same again, from other versions.",
            )
        _hold(connection, transaction_id, wanted)


def flip(catalog: Catalog, journal: Journal, change: Flip) -> VersionRecord:
    """Make a version visible in one SQL transaction, and return it with its number.

    Raises
    ------
    ConflictError
        When the branch moved since it was read; nothing was changed.
    StoreError
        With code ``lease-lost``, when the collector has given the transaction up.
    """
    with catalog.write() as connection:
        _refuse_lost_lease(connection, change)
        _refuse_sealed(connection, change)
        _refuse_other_basis(connection, change.basis)
        number = connection.execute(
            sa.update(t.dataset)
            .where(t.dataset.c.id == change.version.dataset_id)
            .values(next_version=t.dataset.c.next_version + 1)
            .returning(t.dataset.c.next_version)
        ).scalar_one()
        version = replace(change.version, number=int(number) - 1)
        _insert_version(connection, change, version)
        _enliven(connection, {i for page in change.new_pages for i in page.objects})
        if version.status is Status.PUBLISHED:
            move_ref(connection, version.dataset_id, change.head, version.id)
            _log_move(connection, journal, change.head, version)
        if change.report is not None:
            reports = Registry(catalog, "report")
            reports.insert(connection, version.id, change.report, author=version.author, created_at=version.created_at)
        connection.execute(
            sa.update(t.transaction).where(t.transaction.c.id == version.transaction_id).values(state="committed")
        )
    return version


def abort(catalog: Catalog, transaction_id: str) -> None:
    """Mark a transaction as given up; its staged objects become garbage to collect."""
    with catalog.write() as connection:
        connection.execute(
            sa.update(t.transaction)
            .where(t.transaction.c.id == transaction_id, t.transaction.c.state == "open")
            .values(state="aborted")
        )
        connection.execute(
            sa.delete(t.transaction_object).where(t.transaction_object.c.transaction_id == transaction_id)
        )


def discard_empty(catalog: Catalog, dataset_id: str) -> bool:
    """Remove a dataset that has no version; False when it has one."""
    with catalog.write() as connection:
        versions = sa.select(t.version.c.id).where(t.version.c.dataset_id == dataset_id).limit(1)
        if connection.execute(versions).first() is not None:
            return False
        open_here = sa.select(t.transaction.c.id).where(t.transaction.c.dataset_id == dataset_id)
        connection.execute(sa.delete(t.transaction_object).where(t.transaction_object.c.transaction_id.in_(open_here)))
        for table, column in ((t.transaction, "dataset_id"), (t.ref, "dataset_id"), (t.dataset, "id")):
            connection.execute(sa.delete(table).where(table.c[column] == dataset_id))
    return True


def find_committed(catalog: Catalog, transaction_id: str) -> VersionRecord | None:
    """Return the version that a transaction made, or None: the answer to an ambiguous commit."""
    with catalog.read() as connection:
        row = connection.execute(sa.select(t.version).where(t.version.c.transaction_id == transaction_id)).first()
    return to_version(row) if row else None


def list_unrecorded(catalog: Catalog) -> list[VersionRecord]:
    """List versions whose commit object may not be on disk yet."""
    with catalog.read() as connection:
        rows = connection.execute(sa.select(t.version).where(t.version.c.recorded == sa.false())).all()
    return [to_version(row) for row in rows]


def mark_recorded(catalog: Catalog, version_ids: Iterable[str]) -> None:
    """Say that the commit objects of these versions are on disk."""
    with catalog.write() as connection:
        connection.execute(sa.update(t.version).where(t.version.c.id.in_(list(version_ids))).values(recorded=True))


def _refuse_lost_lease(connection: sa.Connection, change: Flip) -> None:
    """Refuse to commit what the collector may have taken files of; let go of what the transaction held.

    The dataset's row is locked first: where databases lock rows, the collector then removes no page meanwhile.
    """
    version = change.version
    locked = sa.select(t.dataset.c.id).where(t.dataset.c.id == version.dataset_id).with_for_update()
    connection.execute(locked)
    _lock_transaction(connection, version.transaction_id)
    settle_objects(connection, version.transaction_id, (i for page in change.new_pages for i in page.objects))


def settle_objects(connection: sa.Connection, transaction_id: str, object_ids: Iterable[str]) -> None:
    """Keep the files that a version lists from now on, inside the transaction that makes it visible."""
    _keep_objects(connection, sorted(set(object_ids)))
    held = t.transaction_object.c.transaction_id == transaction_id
    connection.execute(sa.delete(t.transaction_object).where(held))


def _lock_transaction(connection: sa.Connection, transaction_id: str) -> str:
    """Return until when an open transaction holds its files, and keep the collector from giving it up."""
    query = sa.select(t.transaction.c.lease_until).where(
        t.transaction.c.id == transaction_id, t.transaction.c.state == "open"
    )
    until = connection.execute(query.with_for_update()).scalar()
    if until is None:
        raise StoreError(
            "The transaction was silent for longer than its lease, and its files were given up.",
            hint="Nothing was committed and nothing is lost: do the same again.",
            code="lease-lost",
            transaction=transaction_id,
            retry=True,
        )
    return str(until)


def _register(connection: sa.Connection, transaction_id: str, objects: Mapping[str, ObjectRecord]) -> set[str]:
    """Insert the files that the catalog does not know, keep those that it does; return the new ones."""
    fresh: set[str] = set()
    missing = _unknown(connection, sorted(objects))
    insert = _insert_new(connection, t.stored_object)
    while missing:
        for object_id in missing:
            row = {**asdict(objects[object_id]), "state": "staged", "transaction_id": transaction_id}
            if connection.execute(insert, row).rowcount:
                fresh.add(object_id)
        # Another writer registered the others at the same moment: they are kept like any that were known.
        missing = _unknown(connection, [each for each in missing if each not in fresh])
    return fresh


def _unknown(connection: sa.Connection, object_ids: Sequence[str]) -> list[str]:
    known = _keep_objects(connection, object_ids)
    return [object_id for object_id in object_ids if object_id not in known]


def _keep_objects(connection: sa.Connection, object_ids: Sequence[str]) -> set[str]:
    """Take back that some files are to be removed, and return which of them the catalog knows.

    Where databases lock rows, the lock decides between this and the sweep: whoever has it second sees what the
    other did. The order of the ids keeps two transactions from waiting for each other.
    """
    known: set[str] = set()
    for start in range(0, len(object_ids), _IN_RUN):
        run = object_ids[start : start + _IN_RUN]
        query = sa.select(t.stored_object.c.id, t.stored_object.c.condemned_at)
        locked = query.where(t.stored_object.c.id.in_(run)).order_by(t.stored_object.c.id).with_for_update()
        rows = connection.execute(locked).all()
        known.update(row.id for row in rows)
        condemned = [row.id for row in rows if row.condemned_at is not None]
        if condemned:
            kept = sa.update(t.stored_object).where(t.stored_object.c.id.in_(condemned))
            connection.execute(kept.values(condemned_at=None))
    return known


def _hold(connection: sa.Connection, transaction_id: str, object_ids: Iterable[str]) -> None:
    """Note that a transaction needs some files."""
    insert = _insert_new(connection, t.transaction_object)
    rows = [{"transaction_id": transaction_id, "object_id": object_id} for object_id in sorted(set(object_ids))]
    if rows:
        connection.execute(insert, rows)


def _insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an insert that leaves rows alone which are there already."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()


def _refuse_sealed(connection: sa.Connection, change: Flip) -> None:
    """Refuse to build on pages or files that a seal has taken away since they were read."""
    new = {page.hash for page in change.new_pages}
    inherited = sorted(set(change.page_hashes) - new)
    needed = sorted({object_id for page in change.new_pages for object_id in page.objects})
    pages = sa.select(sa.func.count()).select_from(t.page).where(t.page.c.hash.in_(inherited))
    gone = len(inherited) - int(connection.execute(pages).scalar_one()) if inherited else 0
    if gone or len(_known_objects(connection, needed)) < len(needed):
        raise ConflictError(
            "Cells of the dataset were sealed meanwhile.", retry=True, hint="Do the same again: it will read nulls."
        )


def _refuse_other_basis(connection: sa.Connection, basis: Basis) -> None:
    """Refuse to act on a judgement by a document that has a newer version since."""
    newest = sa.select(sa.func.max(t.document.c.version)).where(
        t.document.c.kind == basis.kind, t.document.c.name == basis.name
    )
    if (connection.execute(newest).scalar() or 0) != basis.version:
        raise ConflictError(
            f"A new {basis.kind} of {basis.name!r} was set meanwhile.", retry=True, hint="Do the same again."
        )
    if basis.besides is not None:
        _refuse_other_basis(connection, basis.besides)


def _known_objects(connection: sa.Connection, object_ids: Sequence[str]) -> set[str]:
    query = sa.select(t.stored_object.c.id).where(t.stored_object.c.id.in_(object_ids))
    return {row.id for row in connection.execute(query)}


def _insert_version(connection: sa.Connection, change: Flip, version: VersionRecord) -> None:
    insert_missing(connection, t.arrow_schema, [{"id": version.arrow_schema_id, "encoded": change.encoded_schema}])
    values = asdict(version)
    values["properties"] = canonical_json(values["properties"])
    connection.execute(sa.insert(t.version).values(**values))
    insert_deletions(connection, change.deletions)
    insert_pages(connection, change.new_pages)
    if change.page_hashes:
        rows = [{"version_id": version.id, "position": n, "page_hash": h} for n, h in enumerate(change.page_hashes)]
        connection.execute(sa.insert(t.version_page), rows)


def insert_pages(connection: sa.Connection, pages: Sequence[PageRecord]) -> None:
    """Add manifest pages inside an open write transaction; those that are there stay."""
    insert_missing(connection, t.page, [_page_row(page) for page in pages])
    links = [{"page_hash": page.hash, "object_id": name} for page in pages for name in page.objects]
    insert_missing(connection, t.page_object, links)
    bitmaps = [{"page_hash": page.hash, "deletion_hash": name} for page in pages for name in page.deletions]
    insert_missing(connection, t.page_deletion, bitmaps)


def _page_row(page: PageRecord) -> dict[str, Any]:
    row = asdict(page)
    del row["objects"], row["deletions"]
    return row


def _enliven(connection: sa.Connection, object_ids: set[str]) -> None:
    staged = sa.update(t.stored_object).where(t.stored_object.c.state == "staged")
    connection.execute(staged.where(t.stored_object.c.id.in_(sorted(object_ids))).values(state="live"))


def _log_move(connection: sa.Connection, journal: Journal, head: RefRecord, version: VersionRecord) -> None:
    body = {"ref": head.name, "kind": head.kind, "from": head.version_id, "to": version.id, "number": version.number}
    journal.append(connection, f"refs/{version.dataset_id}", body, actor=version.author, created_at=version.created_at)

"""The catalog's half of an erasure: the switch of every version at once, and what is left to do after it.

What is left is a document of kind ``erasure`` that stands as long as anything is: a store without one has nothing to
make good.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.deletions import insert_deletions
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.page_switch import (
    Redaction,
    abandoned_objects,
    drop_objects,
    drop_pages,
    pages_of,
    redact_quotes,
    switch_pages,
    versions_of,
)
from foldstore.datastore.catalog.records import DeletionRecord, PageRecord
from foldstore.errors import ConflictError

KIND: Final = "erasure"
_IN_RUN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingErasure:
    """An erasure that is not finished.

    Attributes
    ----------
    state : {'open', 'flipped'}
        Files are being written; no version has the rows any more, traces are being removed.
    objects : tuple of str
        Files that still hold the rows.
    versions : tuple of str
        Versions whose commit objects still name those files.
    """

    id: str
    dataset_id: str
    state: str = "open"
    objects: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureFlip:
    """Everything that disappears at once.

    Attributes
    ----------
    seen_pages, seen_versions : frozenset of str
        The pages and versions of the dataset as they were read; the flip fails when there are others now.
    new_pages : mapping of str to PageRecord
        What stands in the place of a page, by its hash.
    deletions : sequence of DeletionRecord
        The bitmaps that these pages name.
    fewer_added : mapping of str to int
        By how many rows less each version added to its parent.
    old_objects : frozenset of str
        Files with the rows; those that no page names any more are given up.
    reports : sequence of str
        The versions whose reports may quote the rows.
    redact : callable
        Takes what they quote out of a report.
    tombstone : mapping
        What the journal keeps.
    """

    id: str
    dataset_id: str
    seen_pages: frozenset[str]
    seen_versions: frozenset[str]
    new_pages: Mapping[str, PageRecord]
    deletions: Sequence[DeletionRecord]
    fewer_added: Mapping[str, int]
    old_objects: frozenset[str]
    reports: Sequence[str]
    redact: Redaction
    tombstone: Mapping[str, Any]
    actor: str
    now: str


def stream_of(dataset_id: str) -> str:
    """Return the name of a dataset's stream of tombstones."""
    return f"erasures/{dataset_id}"


def begin_erasure(catalog: Catalog, erasure: PendingErasure, *, actor: str, now: str) -> None:
    """Say that an erasure is under way, before any file."""
    values = {"kind": KIND, "name": erasure.id, "version": 1, "author": actor, "message": "", "created_at": now}
    with catalog.write() as connection:
        connection.execute(sa.insert(t.document).values(**values, **_body(erasure)))


def list_pending(catalog: Catalog) -> list[PendingErasure]:
    """List the erasures that are not finished, oldest first."""
    query = sa.select(t.document.c.body).where(t.document.c.kind == KIND)
    with catalog.read() as connection:
        rows = connection.execute(query.order_by(t.document.c.created_at, t.document.c.name)).all()
    return [_read(json.loads(row.body)) for row in rows]


def find_pending(catalog: Catalog, erasure_id: str) -> PendingErasure | None:
    """Return an erasure that is not finished, or None."""
    return next((each for each in list_pending(catalog) if each.id == erasure_id), None)


def flip_erasure(catalog: Catalog, journal: Journal, change: ErasureFlip) -> PendingErasure:
    """Switch every version of the dataset to pages without the rows, in one SQL transaction.

    Returns
    -------
    PendingErasure
        The files to remove and the versions whose commit objects to write anew; it is in the catalog, too.

    Raises
    ------
    ConflictError
        When a version was committed since the pages were read; nothing was changed.
    """
    dataset_id = change.dataset_id
    with catalog.write() as connection:
        _refuse_growth(connection, change)
        insert_deletions(connection, change.deletions)
        versions = switch_pages(connection, dataset_id, change.new_pages)
        _recount(connection, versions, change.fewer_added)
        drop_pages(connection, _unlisted_pages(connection, change.old_objects))
        gone = drop_objects(connection, change.old_objects)
        gone |= drop_objects(connection, abandoned_objects(connection, dataset_id, change.now))
        gone |= drop_objects(connection, _garbage(connection, dataset_id, change.now))
        for start in range(0, len(change.reports), _IN_RUN):
            redact_quotes(connection, change.reports[start : start + _IN_RUN], change.redact)
        pending = PendingErasure(
            id=change.id,
            dataset_id=dataset_id,
            state="flipped",
            objects=tuple(sorted(gone)),
            versions=tuple(sorted(versions)),
        )
        _write(connection, pending)
        connection.execute(sa.update(t.transaction).where(t.transaction.c.id == change.id).values(state="committed"))
        stream = stream_of(dataset_id)
        journal.append(connection, stream, change.tombstone, actor=change.actor, created_at=change.now)
    return pending


def abandon_erasure(catalog: Catalog, erasure_id: str) -> list[str]:
    """Forget an erasure that did not flip; return the files that it had staged, which the catalog forgets too."""
    with catalog.write() as connection:
        query = sa.select(t.stored_object.c.id).where(
            t.stored_object.c.transaction_id == erasure_id, t.stored_object.c.state == "staged"
        )
        gone = drop_objects(connection, {row.id for row in connection.execute(query)})
        connection.execute(sa.update(t.transaction).where(t.transaction.c.id == erasure_id).values(state="aborted"))
        _forget(connection, erasure_id)
    return sorted(gone)


def clear_pending(catalog: Catalog, pending: PendingErasure) -> None:
    """Say that the files are removed and the commit objects written; their names go from the catalog too."""
    with catalog.write() as connection:
        _write(connection, PendingErasure(id=pending.id, dataset_id=pending.dataset_id, state="flipped"))


def finish_erasure(catalog: Catalog, erasure_id: str) -> None:
    """Say that nothing is left to do."""
    with catalog.write() as connection:
        _forget(connection, erasure_id)


def list_page_places(catalog: Catalog, dataset_id: str) -> dict[str, list[str]]:
    """Return the hashes of the pages of each version of a dataset, in order, by the version's id."""
    query = (
        sa.select(t.version.c.id, t.version_page.c.page_hash)
        .join_from(t.version, t.version_page, isouter=True)
        .where(t.version.c.dataset_id == dataset_id)
        .order_by(t.version.c.number, t.version_page.c.position)
    )
    places: dict[str, list[str]] = {}
    with catalog.read() as connection:
        for row in connection.execute(query):
            places.setdefault(row.id, []).extend([row.page_hash] if row.page_hash else [])
    return places


def list_outputs(catalog: Catalog, version_ids: Sequence[str]) -> set[str]:
    """Return the ids of the versions that runs wrote which read any of these."""
    read, written = t.run_version.alias("read"), t.run_version.alias("written")
    query = sa.select(written.c.version_id).join_from(read, written, read.c.run_id == written.c.run_id)
    query = query.where(read.c.role == "input", written.c.role == "output")
    found: set[str] = set()
    with catalog.read() as connection:
        for start in range(0, len(version_ids), _IN_RUN):
            run = query.where(read.c.version_id.in_(version_ids[start : start + _IN_RUN]))
            found.update(row.version_id for row in connection.execute(run))
    return found


def _refuse_growth(connection: sa.Connection, change: ErasureFlip) -> None:
    pages = {row.page_hash for row in connection.execute(pages_of(change.dataset_id))}
    versions = {row.id for row in connection.execute(versions_of(change.dataset_id))}
    if not (pages <= change.seen_pages and versions <= change.seen_versions):
        raise ConflictError("The dataset grew while its rows were erased.", retry=True, hint="Try again.")


def _recount(connection: sa.Connection, versions: set[str], fewer_added: Mapping[str, int]) -> None:
    rows = (
        sa.select(sa.func.coalesce(sa.func.sum(t.page.c.num_rows), 0))
        .join_from(t.version_page, t.page)
        .where(t.version_page.c.version_id == t.version.c.id)
        .scalar_subquery()
    )
    for version_id in sorted(versions):
        added = t.version.c.rows_added - fewer_added.get(version_id, 0)
        values = {"num_rows": rows, "rows_added": sa.case((added > 0, added), else_=0)}
        connection.execute(sa.update(t.version).where(t.version.c.id == version_id).values(**values))


def _unlisted_pages(connection: sa.Connection, object_ids: frozenset[str]) -> list[str]:
    """Return pages that name some objects and that no version lists any more, and which wait to be collected."""
    listed = sa.select(t.version_page.c.page_hash)
    found: set[str] = set()
    ids = sorted(object_ids)
    for start in range(0, len(ids), _IN_RUN):
        named = t.page_object.c.object_id.in_(ids[start : start + _IN_RUN])
        query = sa.select(t.page_object.c.page_hash).where(named, t.page_object.c.page_hash.not_in(listed))
        found.update(row.page_hash for row in connection.execute(query))
    return sorted(found)


def _garbage(connection: sa.Connection, dataset_id: str, now: str) -> set[str]:
    """Return files that commits of the dataset wrote and that nothing names, or is about to name."""
    own = sa.select(t.transaction.c.id).where(t.transaction.c.dataset_id == dataset_id)
    live = sa.select(t.transaction.c.id).where(t.transaction.c.state == "open", t.transaction.c.lease_until >= now)
    shared = sa.select(t.transaction_object.c.object_id).where(t.transaction_object.c.transaction_id.in_(live))
    query = sa.select(t.stored_object.c.id).where(
        t.stored_object.c.state == "live",
        t.stored_object.c.transaction_id.in_(own),
        t.stored_object.c.id.not_in(sa.select(t.page_object.c.object_id)),
        t.stored_object.c.id.not_in(shared),
    )
    return {row.id for row in connection.execute(query)}


def _write(connection: sa.Connection, erasure: PendingErasure) -> None:
    same = (t.document.c.kind == KIND, t.document.c.name == erasure.id)
    connection.execute(sa.update(t.document).where(*same).values(**_body(erasure)))


def _forget(connection: sa.Connection, erasure_id: str) -> None:
    connection.execute(sa.delete(t.document).where(t.document.c.kind == KIND, t.document.c.name == erasure_id))


def _body(erasure: PendingErasure) -> dict[str, str]:
    text = canonical_json(asdict(erasure))
    return {"body": text, "hash": content_hash(text.encode())}


def _read(body: Mapping[str, Any]) -> PendingErasure:
    return PendingErasure(**{**body, "objects": tuple(body["objects"]), "versions": tuple(body["versions"])})

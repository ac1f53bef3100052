"""The catalog's half of sealing: the seal's row, the switch of every version at once, the cleaning after it.

`flip_seal` is the one moment: before it every version shows the cells, after it none does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.commits import insert_pages
from foldstore.datastore.catalog.decoding import to_document, to_seal
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.records import PageRecord, PendingSeal, SealRecord
from foldstore.errors import ConflictError

# What a seal does to a stored document: the document in, the document without sealed values out.
Redaction = Callable[[dict[str, Any]], dict[str, Any]]

_IN_RUN: Final = 5_000
_SCRUB_WAIT_MS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SealFlip:
    """Everything that disappears at once.

    Attributes
    ----------
    seen_pages : frozenset of str
        All pages of the dataset as they were read; the flip fails when there are others now.
    new_pages : mapping of str to PageRecord
        What stands in the place of a page, by its hash.
    old_objects : frozenset of str
        Files with sealed cells; those that no page names any more are given up.
    """

    seal: SealRecord
    seen_pages: frozenset[str]
    new_pages: Mapping[str, PageRecord]
    old_objects: frozenset[str]
    redact: Redaction
    redact_schema: Redaction
    actor: str
    now: str


def begin_seal(catalog: Catalog, seal: SealRecord) -> None:
    """Write the seal's row, before any file."""
    with catalog.write() as connection:
        connection.execute(sa.insert(t.seal).values(**_seal_row(seal)))


def find_seal(catalog: Catalog, seal_id: str) -> SealRecord | None:
    """Return a seal by its id, or None."""
    with catalog.read() as connection:
        row = connection.execute(sa.select(t.seal).where(t.seal.c.id == seal_id)).first()
    return to_seal(row) if row else None


def list_seals(catalog: Catalog, dataset_id: str | None = None) -> list[SealRecord]:
    """List the seals of a dataset, or of the store, oldest first."""
    query = sa.select(t.seal).order_by(t.seal.c.created_at, t.seal.c.id)
    if dataset_id is not None:
        query = query.where(t.seal.c.dataset_id == dataset_id)
    with catalog.read() as connection:
        return [to_seal(row) for row in connection.execute(query)]


def list_page_uses(catalog: Catalog, dataset_id: str) -> list[tuple[str, str]]:
    """List the (arrow schema, page) pairs of a dataset's versions, those of older versions first."""
    number = sa.func.min(t.version.c.number)
    query = (
        sa.select(t.version.c.arrow_schema_id, t.version_page.c.page_hash)
        .join(t.version_page, t.version_page.c.version_id == t.version.c.id)
        .where(t.version.c.dataset_id == dataset_id)
        .group_by(t.version.c.arrow_schema_id, t.version_page.c.page_hash)
        .order_by(number, sa.func.min(t.version_page.c.position))
    )
    with catalog.read() as connection:
        return [(row.arrow_schema_id, row.page_hash) for row in connection.execute(query)]


def list_version_pages(catalog: Catalog, version_id: str) -> list[tuple[str, bytes]]:
    """Return hash and encoded bytes of a version's pages, in order."""
    query = (
        sa.select(t.page.c.hash, t.page.c.encoded)
        .join(t.version_page, t.version_page.c.page_hash == t.page.c.hash)
        .where(t.version_page.c.version_id == version_id)
        .order_by(t.version_page.c.position)
    )
    with catalog.read() as connection:
        return [(row.hash, row.encoded) for row in connection.execute(query)]


def list_pages(catalog: Catalog, dataset_id: str) -> list[tuple[str, bytes]]:
    """Return hash and encoded bytes of each page of any version of a dataset, once."""
    query = sa.select(t.page.c.hash, t.page.c.encoded).where(t.page.c.hash.in_(_pages_of(dataset_id)))
    with catalog.read() as connection:
        return [(row.hash, row.encoded) for row in connection.execute(query.order_by(t.page.c.hash))]


def list_other_users(catalog: Catalog, dataset_id: str, object_ids: Sequence[str]) -> list[tuple[str, int]]:
    """List the versions of other datasets that hold some files, as (dataset name, number)."""
    query = (
        sa.select(t.dataset.c.name, t.version.c.number)
        .distinct()
        .join(t.version, t.version.c.dataset_id == t.dataset.c.id)
        .join(t.version_page, t.version_page.c.version_id == t.version.c.id)
        .join(t.page_object, t.page_object.c.page_hash == t.version_page.c.page_hash)
        .where(t.dataset.c.id != dataset_id)
    )
    found: set[tuple[str, int]] = set()
    with catalog.read() as connection:
        for start in range(0, len(object_ids), _IN_RUN):
            run = query.where(t.page_object.c.object_id.in_(object_ids[start : start + _IN_RUN]))
            found.update((row.name, row.number) for row in connection.execute(run))
    return sorted(found)


def flip_seal(catalog: Catalog, journal: Journal, change: SealFlip) -> PendingSeal:
    """Switch every version of the dataset to pages without the cells, in one SQL transaction.

    Returns
    -------
    PendingSeal
        The files to remove and the versions whose commit objects to write anew; it is in the catalog, too.

    Raises
    ------
    ConflictError
        When a version was committed since the pages were read; nothing was changed.
    """
    dataset_id = change.seal.dataset_id
    with catalog.write() as connection:
        present = {row.page_hash for row in connection.execute(_pages_of(dataset_id))}
        if not present <= change.seen_pages:
            raise ConflictError("The dataset grew while its cells were sealed.", retry=True, hint="Try again.")
        versions = _switch_pages(connection, dataset_id, change.new_pages)
        gone = _drop_objects(connection, change.old_objects)
        gone |= _drop_objects(connection, _abandoned_objects(connection, dataset_id, change.now))
        _redact(connection, "report", _versions_of(dataset_id), change.redact)
        _redact(
            connection, "schema", sa.select(t.dataset.c.name).where(t.dataset.c.id == dataset_id), change.redact_schema
        )
        pending = PendingSeal(objects=tuple(sorted(gone)), versions=tuple(sorted(versions)))
        row = {**_seal_row(change.seal), "state": "flipped", "pending": canonical_json(asdict(pending))}
        connection.execute(sa.update(t.seal).where(t.seal.c.id == change.seal.id).values(**row))
        connection.execute(
            sa.update(t.transaction).where(t.transaction.c.id == change.seal.id).values(state="committed")
        )
        body = {"seal": change.seal.id, "columns": list(change.seal.columns), "rows": change.seal.num_rows}
        journal.append(connection, f"seals/{dataset_id}", body, actor=change.actor, created_at=change.now)
    return pending


def abandon_seal(catalog: Catalog, seal_id: str) -> list[str]:
    """Forget a seal that did not flip; return the files that it had staged, which the catalog forgets too."""
    with catalog.write() as connection:
        staged = t.stored_object.c.state == "staged"
        query = sa.select(t.stored_object.c.id).where(t.stored_object.c.transaction_id == seal_id, staged)
        found = {row.id for row in connection.execute(query)}
        gone = _drop_objects(connection, found)
        connection.execute(sa.delete(t.seal).where(t.seal.c.id == seal_id, t.seal.c.state == "open"))
        connection.execute(sa.update(t.transaction).where(t.transaction.c.id == seal_id).values(state="aborted"))
    return sorted(gone)


def list_dead_transactions(catalog: Catalog, dataset_id: str, now: str) -> list[str]:
    """List the transactions of a dataset that failed, or were silent for longer than their lease."""
    with catalog.read() as connection:
        return [row.id for row in connection.execute(_dead_transactions(dataset_id, now))]


def remove_unknown(catalog: Catalog, object_ids: Sequence[str], remove: Callable[[list[str]], None]) -> None:
    """Remove files that the catalog does not know, while nobody can make it know them again."""
    with catalog.write() as connection:
        known: set[str] = set()
        for start in range(0, len(object_ids), _IN_RUN):
            run = object_ids[start : start + _IN_RUN]
            rows = connection.execute(sa.select(t.stored_object.c.id).where(t.stored_object.c.id.in_(run)))
            known.update(row.id for row in rows)
        remove([object_id for object_id in object_ids if object_id not in known])


def clear_pending(catalog: Catalog, seal_id: str) -> None:
    """Say that the files are removed and the commit objects written; their names go from the catalog too."""
    _update(catalog, seal_id, pending=canonical_json(asdict(PendingSeal())))


def finish_seal(catalog: Catalog, seal_id: str) -> None:
    """Say that nothing is left to do."""
    _update(catalog, seal_id, state="sealed")


def scrub(catalog: Catalog) -> bool:
    """Remove what deleted rows left in the database's files; False when other connections are in the way.

    SQLite keeps deleted rows in free space and in its log until they are written over.
    """
    with catalog.read() as connection:
        engine = connection.engine
    if engine.dialect.name != "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM FULL object, page, page_object, derived, document, seal"))
        return True
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        waits = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
        cursor.execute(f"PRAGMA busy_timeout={_SCRUB_WAIT_MS}")
        try:
            cursor.execute("VACUUM")
            return bool(cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        except engine.dialect.dbapi.OperationalError:  # type: ignore[union-attr]  # an engine has its driver loaded
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout={waits}")
            cursor.close()
    finally:
        raw.close()


def _update(catalog: Catalog, seal_id: str, **values: str) -> None:
    with catalog.write() as connection:
        connection.execute(sa.update(t.seal).where(t.seal.c.id == seal_id).values(**values))


def _seal_row(seal: SealRecord) -> dict[str, Any]:
    return {
        "id": seal.id,
        "dataset_id": seal.dataset_id,
        "columns": canonical_json(list(seal.columns)),
        "files": canonical_json({name: asdict(item) for name, item in seal.files.items()}),
        "num_rows": seal.num_rows,
        "state": seal.state,
        "pending": canonical_json(asdict(seal.pending)),
        "created_at": seal.created_at,
    }


def _versions_of(dataset_id: str) -> sa.Select[Any]:
    return sa.select(t.version.c.id).where(t.version.c.dataset_id == dataset_id)


def _pages_of(dataset_id: str) -> sa.Select[Any]:
    inside = t.version_page.c.version_id.in_(_versions_of(dataset_id))
    return sa.select(t.version_page.c.page_hash).distinct().where(inside)


def _switch_pages(connection: sa.Connection, dataset_id: str, new_pages: Mapping[str, PageRecord]) -> set[str]:
    insert_pages(connection, list(new_pages.values()))
    inside = t.version_page.c.version_id.in_(_versions_of(dataset_id))
    versions: set[str] = set()
    for old, page in new_pages.items():
        here = sa.and_(inside, t.version_page.c.page_hash == old)
        versions.update(
            row.version_id for row in connection.execute(sa.select(t.version_page.c.version_id).where(here))
        )
        connection.execute(sa.update(t.version_page).where(here).values(page_hash=page.hash))
        if connection.execute(sa.select(t.version_page.c.version_id).where(t.version_page.c.page_hash == old)).first():
            continue  # another dataset lists the same fragments
        connection.execute(sa.delete(t.page_object).where(t.page_object.c.page_hash == old))
        connection.execute(sa.delete(t.page_deletion).where(t.page_deletion.c.page_hash == old))
        connection.execute(sa.delete(t.page).where(t.page.c.hash == old))
    live = {object_id for page in new_pages.values() for object_id in page.objects}
    staged = sa.update(t.stored_object).where(t.stored_object.c.state == "staged")
    for run in _runs(sorted(live)):
        connection.execute(staged.where(t.stored_object.c.id.in_(run)).values(state="live"))
    return versions


def _drop_objects(connection: sa.Connection, object_ids: Iterable[str]) -> set[str]:
    """Forget the objects among these that no page names, and what was derived from them; return which."""
    gone: set[str] = set()
    for run in _runs(sorted(object_ids)):
        query = sa.select(t.page_object.c.object_id).where(t.page_object.c.object_id.in_(run))
        named = {row.object_id for row in connection.execute(query)}
        free = [object_id for object_id in run if object_id not in named]
        connection.execute(sa.delete(t.derived).where(t.derived.c.object_id.in_(free)))
        connection.execute(sa.delete(t.stored_object).where(t.stored_object.c.id.in_(free)))
        gone.update(free)
    return gone


def _dead_transactions(dataset_id: str, now: str) -> sa.Select[Any]:
    dead = sa.or_(
        t.transaction.c.state == "aborted", sa.and_(t.transaction.c.state == "open", t.transaction.c.lease_until < now)
    )
    return sa.select(t.transaction.c.id).where(t.transaction.c.dataset_id == dataset_id, dead)


def _abandoned_objects(connection: sa.Connection, dataset_id: str, now: str) -> set[str]:
    """Return what commits of the dataset that failed left behind: it may hold the same cells."""
    query = sa.select(t.stored_object.c.id).where(
        t.stored_object.c.state == "staged", t.stored_object.c.transaction_id.in_(_dead_transactions(dataset_id, now))
    )
    return {row.id for row in connection.execute(query)}


def _redact(connection: sa.Connection, kind: str, names: sa.Select[Any], redact: Redaction) -> None:
    """Write documents anew without sealed values, under new hashes: sealing alone may change a document."""
    query = sa.select(t.document).where(t.document.c.kind == kind, t.document.c.name.in_(names))
    for row in connection.execute(query).all():
        document = to_document(row)
        text = canonical_json(redact(document.body))
        if text == row.body:
            continue
        same = (t.document.c.kind == kind, t.document.c.name == row.name, t.document.c.version == row.version)
        values = {"body": text, "hash": content_hash(text.encode())}
        connection.execute(sa.update(t.document).where(*same).values(**values))


def _runs(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IN_RUN] for start in range(0, len(ids), _IN_RUN)]

"""What sealing and erasing share in the catalog: all versions of a dataset change to other pages at once.

`switch_pages` is called inside the one transaction that does it; the rest cleans up before and after.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.commits import insert_pages
from foldstore.datastore.catalog.decoding import to_document
from foldstore.datastore.catalog.records import PageRecord

# What is done to a stored document: the document in, the document without what it quoted out.
Redaction = Callable[[dict[str, Any]], dict[str, Any]]

# Documents that quote rows, each under the id of its version, in the form of a report.
REPORT: Final = "report"
MONITORED: Final = "monitor_messages"
QUOTING: Final = (REPORT, MONITORED)
_IN_RUN: Final = 5_000
_SCRUB_WAIT_MS: Final = 5_000


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


def versions_of(dataset_id: str) -> sa.Select[Any]:
    """Return the query of a dataset's versions."""
    return sa.select(t.version.c.id).where(t.version.c.dataset_id == dataset_id)


def pages_of(dataset_id: str) -> sa.Select[Any]:
    """Return the query of the pages that any version of a dataset lists."""
    inside = t.version_page.c.version_id.in_(versions_of(dataset_id))
    return sa.select(t.version_page.c.page_hash).distinct().where(inside)


def switch_pages(connection: sa.Connection, dataset_id: str, new_pages: Mapping[str, PageRecord]) -> set[str]:
    """Put other pages in the place of those of a dataset, by hash; return the versions that list them."""
    insert_pages(connection, list(new_pages.values()))
    _stop_commits(connection, dataset_id)
    inside = t.version_page.c.version_id.in_(versions_of(dataset_id))
    versions: set[str] = set()
    for old, page in new_pages.items():
        here = sa.and_(inside, t.version_page.c.page_hash == old)
        versions.update(
            row.version_id for row in connection.execute(sa.select(t.version_page.c.version_id).where(here))
        )
        connection.execute(sa.update(t.version_page).where(here).values(page_hash=page.hash))
        if connection.execute(sa.select(t.version_page.c.version_id).where(t.version_page.c.page_hash == old)).first():
            continue  # another dataset lists the same fragments
        drop_pages(connection, [old])
    live = {object_id for page in new_pages.values() for object_id in page.objects}
    for run in _runs(sorted(live)):
        used = sa.update(t.stored_object).where(t.stored_object.c.id.in_(run))
        connection.execute(used.values(state="live", condemned_at=None))
    return versions


def _stop_commits(connection: sa.Connection, dataset_id: str) -> None:
    """Make every commit under way look again: it may have copied what is going away."""
    branches = sa.update(t.ref).where(t.ref.c.dataset_id == dataset_id, t.ref.c.kind == "branch")
    connection.execute(branches.values(generation=t.ref.c.generation + 1))


def drop_pages(connection: sa.Connection, page_hashes: Iterable[str]) -> None:
    """Forget pages that no version lists, and the bitmaps that only they named."""
    for page_hash in page_hashes:
        _drop_page(connection, page_hash)


def _drop_page(connection: sa.Connection, page_hash: str) -> None:
    named = sa.select(t.page_deletion.c.deletion_hash).where(t.page_deletion.c.page_hash == page_hash)
    bitmaps = [row.deletion_hash for row in connection.execute(named)]
    for table, column in ((t.page_object, "page_hash"), (t.page_deletion, "page_hash"), (t.page, "hash")):
        connection.execute(sa.delete(table).where(table.c[column] == page_hash))
    for run in _runs(bitmaps):
        still = sa.select(t.page_deletion.c.deletion_hash).where(t.page_deletion.c.deletion_hash.in_(run))
        kept = {row.deletion_hash for row in connection.execute(still)}
        free = [name for name in run if name not in kept]
        connection.execute(sa.delete(t.deletion).where(t.deletion.c.hash.in_(free)))


def drop_objects(connection: sa.Connection, object_ids: Iterable[str]) -> set[str]:
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


def abandoned_objects(connection: sa.Connection, dataset_id: str, now: str) -> set[str]:
    """Return what commits of the dataset that failed left behind: it may hold the same cells."""
    query = sa.select(t.stored_object.c.id).where(
        t.stored_object.c.state == "staged", t.stored_object.c.transaction_id.in_(_dead_transactions(dataset_id, now))
    )
    return {row.id for row in connection.execute(query)}


def redact_quotes(connection: sa.Connection, versions: sa.Select[Any] | Sequence[str], redact: Redaction) -> None:
    """Write anew what quotes rows of some versions: their reports, and what monitors said of them."""
    for kind in QUOTING:
        redact_documents(connection, kind, versions, redact)


def redact_documents(
    connection: sa.Connection, kind: str, names: sa.Select[Any] | Sequence[str], redact: Redaction
) -> None:
    """Write documents anew without what they quoted, under new hashes: nothing else may change a document."""
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

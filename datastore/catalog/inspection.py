"""The catalog looked at with suspicion: rows one by one, so that a damaged one hides no other.

What is damaged is given back as the error that reading it made; nothing here writes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.decoding import to_dataset, to_object, to_version
from foldstore.datastore.catalog.records import DatasetRecord, ObjectRecord, VersionRecord
from foldstore.errors import FoldstoreError

_IN_RUN: Final = 500
# Objects have zones of some kilobytes each.
_OBJECTS_IN_RUN: Final = 200
_MOST_DANGLING: Final = 20

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Row(Generic[R]):
    """A row by its key: the record that it is, or why it is none."""

    key: str
    record: R | None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """A manifest page as the catalog keeps it, with what it says of it."""

    hash: str
    encoded: bytes
    num_fragments: Any
    num_rows: Any
    objects: tuple[str, ...]
    deletions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleObject:
    """An object that no page names."""

    id: str
    num_bytes: int
    num_rows: int
    transaction: str | None
    lease_until: str | None


def check_integrity(catalog: Catalog, *, quick: bool = False) -> list[str]:
    """Ask the database whether its own files are whole; PostgreSQL looks after itself."""
    if catalog.dialect != "sqlite":
        return []
    with catalog.read() as connection:
        rows = connection.exec_driver_sql(f"PRAGMA {'quick_check' if quick else 'integrity_check'}").all()
    return [str(row[0]) for row in rows if str(row[0]) != "ok"]


def find_dangling(catalog: Catalog) -> list[str]:
    """Say in words which rows refer to rows that are not there."""
    found = []
    with catalog.read() as connection:
        for table in t.metadata.sorted_tables:
            for key in table.foreign_keys:
                child, parent = key.parent, key.column.table.alias("parent")
                orphans = (
                    sa.select(child)
                    .distinct()
                    .select_from(table.outerjoin(parent, child == parent.c[key.column.name]))
                    .where(child.is_not(None), parent.c[key.column.name].is_(None))
                    .limit(_MOST_DANGLING)
                )
                found += [
                    f"A row of {table.name!r} refers to a row of {key.column.table.name!r} that is not there: {row[0]}."
                    for row in connection.execute(orphans)
                ]
    return found


def list_dataset_rows(catalog: Catalog) -> list[Row[DatasetRecord]]:
    """List the rows of all datasets by name."""
    with catalog.read() as connection:
        rows = connection.execute(sa.select(t.dataset).order_by(t.dataset.c.name)).all()
    return [_decode(str(row.id), row, to_dataset) for row in rows]


def list_version_rows(catalog: Catalog) -> list[Row[VersionRecord]]:
    """List the rows of all versions, those of a dataset together, oldest first."""
    query = sa.select(t.version).order_by(t.version.c.dataset_id, t.version.c.number)
    with catalog.read() as connection:
        return [_decode(str(row.id), row, to_version) for row in connection.execute(query)]


def iter_object_rows(catalog: Catalog) -> Iterator[Row[ObjectRecord]]:
    """Yield the rows of live objects by id, some at a time."""
    query = sa.select(t.stored_object).where(t.stored_object.c.state == "live").order_by(t.stored_object.c.id)
    for row in _iter_by_key(catalog, query, t.stored_object.c.id, _OBJECTS_IN_RUN):
        yield _decode(str(row.id), row, to_object)


def sum_object_bytes(catalog: Catalog) -> int:
    """Return how many bytes the live objects have."""
    query = sa.select(sa.func.sum(t.stored_object.c.num_bytes)).where(t.stored_object.c.state == "live")
    with catalog.read() as connection:
        return int(connection.execute(query).scalar() or 0)


def iter_page_rows(catalog: Catalog) -> Iterator[PageRow]:
    """Yield all manifest pages by hash, some at a time."""
    after = ""
    while True:
        with catalog.read() as connection:
            query = sa.select(t.page).where(t.page.c.hash > after).order_by(t.page.c.hash).limit(_IN_RUN)
            rows = connection.execute(query).all()
            hashes = [row.hash for row in rows]
            objects = _links(connection, t.page_object.c.page_hash, t.page_object.c.object_id, hashes)
            deletions = _links(connection, t.page_deletion.c.page_hash, t.page_deletion.c.deletion_hash, hashes)
        for row in rows:
            yield PageRow(
                hash=row.hash,
                encoded=bytes(row.encoded),
                num_fragments=row.num_fragments,
                num_rows=row.num_rows,
                objects=tuple(sorted(objects.get(row.hash, ()))),
                deletions=tuple(sorted(deletions.get(row.hash, ()))),
            )
        if len(rows) < _IN_RUN:
            return
        after = hashes[-1]


def find_object_states(catalog: Catalog, object_ids: Sequence[str]) -> dict[str, str]:
    """Return which of these objects the catalog knows, and whether they are staged or live."""
    found: dict[str, str] = {}
    with catalog.read() as connection:
        for run in _runs(object_ids):
            query = sa.select(t.stored_object.c.id, t.stored_object.c.state).where(t.stored_object.c.id.in_(run))
            found.update((row.id, row.state) for row in connection.execute(query))
    return found


def find_object_users(catalog: Catalog, object_ids: Sequence[str]) -> dict[str, set[str]]:
    """Return the ids of the versions that need each of these objects."""
    link = t.page_object.join(t.version_page, t.version_page.c.page_hash == t.page_object.c.page_hash)
    query = sa.select(t.page_object.c.object_id, t.version_page.c.version_id).distinct().select_from(link)
    return _find_users(catalog, query, t.page_object.c.object_id, object_ids)


def find_page_users(catalog: Catalog, hashes: Sequence[str]) -> dict[str, set[str]]:
    """Return the ids of the versions that have each of these pages."""
    query = sa.select(t.version_page.c.page_hash, t.version_page.c.version_id)
    return _find_users(catalog, query, t.version_page.c.page_hash, hashes)


def find_deletion_users(catalog: Catalog, hashes: Sequence[str]) -> dict[str, set[str]]:
    """Return the ids of the versions that need each of these bitmaps."""
    link = t.page_deletion.join(t.version_page, t.version_page.c.page_hash == t.page_deletion.c.page_hash)
    query = sa.select(t.page_deletion.c.deletion_hash, t.version_page.c.version_id).distinct().select_from(link)
    return _find_users(catalog, query, t.page_deletion.c.deletion_hash, hashes)


def iter_idle_objects(catalog: Catalog) -> Iterator[IdleObject]:
    """Yield the objects that no page names, with the state of the commit that wrote them."""
    named = sa.select(t.page_object.c.object_id).where(t.page_object.c.object_id == t.stored_object.c.id).exists()
    query = (
        sa.select(
            t.stored_object.c.id,
            t.stored_object.c.num_bytes,
            t.stored_object.c.num_rows,
            t.transaction.c.state,
            t.transaction.c.lease_until,
        )
        .outerjoin(t.transaction, t.transaction.c.id == t.stored_object.c.transaction_id)
        .where(~named)
    )
    for row in _iter_by_key(catalog, query.order_by(t.stored_object.c.id), t.stored_object.c.id, _IN_RUN):
        yield IdleObject(
            id=row.id,
            num_bytes=row.num_bytes,
            num_rows=row.num_rows,
            transaction=row.state,
            lease_until=row.lease_until,
        )


def find_transactions(catalog: Catalog, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return state and lease of the transactions among these ids."""
    found: dict[str, tuple[str, str]] = {}
    with catalog.read() as connection:
        for run in _runs(ids):
            query = sa.select(t.transaction).where(t.transaction.c.id.in_(run))
            found.update((row.id, (row.state, row.lease_until)) for row in connection.execute(query))
    return found


def iter_documents(catalog: Catalog) -> Iterator[tuple[str, str, int, str, str]]:
    """Yield kind, name, version, hash and text of all documents of the Registry."""
    query = sa.select(t.document).order_by(t.document.c.kind, t.document.c.name, t.document.c.version)
    with catalog.read() as connection:
        for row in connection.execution_options(yield_per=_IN_RUN).execute(query):
            yield row.kind, row.name, row.version, row.hash, row.body


def iter_deletions(catalog: Catalog) -> Iterator[tuple[str, bytes, Any]]:
    """Yield hash, bytes and count of all bitmaps of deleted rows, some at a time."""
    query = sa.select(t.deletion).order_by(t.deletion.c.hash)
    for row in _iter_by_key(catalog, query, t.deletion.c.hash, _OBJECTS_IN_RUN):
        yield row.hash, bytes(row.encoded), row.num_deleted


def count_open_transactions(catalog: Catalog, now: str) -> tuple[int, int]:
    """Return how many commits are under way, and how many have been silent for longer than their lease."""
    state = t.transaction.c.state == "open"
    count = sa.select(sa.func.count()).select_from(t.transaction)
    with catalog.read() as connection:
        alive = connection.execute(count.where(state, t.transaction.c.lease_until >= now)).scalar_one()
        dead = connection.execute(count.where(state, t.transaction.c.lease_until < now)).scalar_one()
    return int(alive), int(dead)


def find_newest_time(catalog: Catalog) -> str | None:
    """Return when the newest version or entry of a journal was made."""
    with catalog.read() as connection:
        times = [
            connection.execute(sa.select(sa.func.max(c))).scalar()
            for c in (t.version.c.created_at, t.journal.c.created_at)
        ]
    return max((str(found) for found in times if found is not None), default=None)


def replace_zones(catalog: Catalog, record: ObjectRecord) -> None:
    """Say of an object what was measured of its proven bytes."""
    values = {"num_bytes": record.num_bytes, "num_rows": record.num_rows, "zones": record.zones}
    with catalog.write() as connection:
        connection.execute(sa.update(t.stored_object).where(t.stored_object.c.id == record.id).values(**values))


def _decode(key: str, row: sa.Row[Any], decode: Callable[[sa.Row[Any]], R]) -> Row[R]:
    try:
        return Row(key, decode(row))
    except FoldstoreError as error:
        return Row(key, None, error.message)
    except Exception as error:  # noqa: BLE001  # damage can fail in any way
        return Row(key, None, f"{type(error).__name__}: {error}")


def _iter_by_key(catalog: Catalog, query: sa.Select[Any], key: sa.Column[str], size: int) -> Iterator[sa.Row[Any]]:
    """Yield the rows of a query in its order by key: no transaction stays open while the caller works."""
    after = ""
    while True:
        with catalog.read() as connection:
            rows = connection.execute(query.where(key > after).limit(size)).all()
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1]._mapping[key]  # noqa: SLF001  # the documented name for a row as a mapping


def _links(
    connection: sa.Connection, owner: sa.Column[str], other: sa.Column[str], owners: Sequence[str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(owner, other).where(owner.in_(owners))):
        found.setdefault(row[0], []).append(row[1])
    return found


def _find_users(
    catalog: Catalog, query: sa.Select[Any], key: sa.Column[str], ids: Sequence[str]
) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with catalog.read() as connection:
        for run in _runs(ids):
            for row in connection.execute(query.where(key.in_(run))):
                found.setdefault(row[0], set()).add(row[1])
    return found


def _runs(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IN_RUN):
        yield ids[start : start + _IN_RUN]

"""The catalog's half of the cold tier: which objects lie there, and which only old versions need."""

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog

_IN_RUN: Final = 5_000


def list_objects_of(catalog: Catalog, version_ids: Collection[str]) -> set[str]:
    """Return the ids of the objects that some versions need."""
    query = sa.select(t.page_object.c.object_id).distinct()
    query = query.join_from(t.page_object, t.version_page, t.version_page.c.page_hash == t.page_object.c.page_hash)
    found: set[str] = set()
    ids = sorted(version_ids)
    with catalog.read() as connection:
        for start in range(0, len(ids), _IN_RUN):
            run = query.where(t.version_page.c.version_id.in_(ids[start : start + _IN_RUN]))
            found.update(row.object_id for row in connection.execute(run))
    return found


def list_needed_elsewhere(catalog: Catalog, object_ids: Sequence[str], version_ids: Collection[str]) -> set[str]:
    """Return those of some objects that other versions than these need, of whatever dataset."""
    query = sa.select(t.page_object.c.object_id, t.version_page.c.version_id)
    query = query.join_from(t.page_object, t.version_page, t.version_page.c.page_hash == t.page_object.c.page_hash)
    found: set[str] = set()
    with catalog.read() as connection:
        for start in range(0, len(object_ids), _IN_RUN):
            run = query.where(t.page_object.c.object_id.in_(object_ids[start : start + _IN_RUN]))
            found.update(row.object_id for row in connection.execute(run) if row.version_id not in version_ids)
    return found


def mark_cold(catalog: Catalog, object_id: str, cold_bytes: int | None, cold_hash: str | None) -> bool:
    """Say where an object lies: in the cold tier with a size and a hash, or, with None, not there; False if unknown."""
    change = sa.update(t.stored_object).where(t.stored_object.c.id == object_id, t.stored_object.c.state == "live")
    with catalog.write() as connection:
        done = connection.execute(change.values(cold_bytes=cold_bytes, cold_hash=cold_hash))
    return bool(done.rowcount)

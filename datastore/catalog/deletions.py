"""The catalog's rows of deleted rows: encoded bitmaps under the names that manifest pages give."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.inserting import insert_missing
from foldstore.datastore.catalog.records import DeletionRecord

# Bound values in one statement; SQLite allows 32,766.
_IN_LIMIT: Final = 5_000


def read_deletions(catalog: Catalog, hashes: Sequence[str]) -> dict[str, bytes]:
    """Return encoded bitmaps of deleted rows by hash; unknown ones are left out."""
    found: dict[str, bytes] = {}
    if not hashes:
        return found
    with catalog.read() as connection:
        for start in range(0, len(hashes), _IN_LIMIT):
            run = hashes[start : start + _IN_LIMIT]
            query = sa.select(t.deletion.c.hash, t.deletion.c.encoded).where(t.deletion.c.hash.in_(run))
            found.update((row.hash, bytes(row.encoded)) for row in connection.execute(query))
    return found


def insert_deletions(connection: sa.Connection, deletions: Sequence[DeletionRecord]) -> None:
    """Add bitmaps of deleted rows inside an open write transaction; those that are there stay."""
    insert_missing(connection, t.deletion, [asdict(each) for each in deletions])

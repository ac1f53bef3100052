"""The Journal: append-only streams of entries, each sealed by a hash over the one before it.

An entry's hash covers its stream, position, time, actor, body and the hash before it, so a row that
is changed, dropped or put in later is found by `verify`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.errors import CorruptObjectError

GENESIS: Final = content_hash(b"foldstore journal v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a stream."""

    stream: str
    position: int
    previous_hash: str
    hash: str
    actor: str
    body: str
    created_at: str


class Journal:
    """Append-only streams in a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def append(
        self, connection: sa.Connection, stream: str, body: Mapping[str, Any], *, actor: str, created_at: str
    ) -> Entry:
        """Add an entry inside an open write transaction.

        Of two writers that append to a stream at once, the second waits until the first has committed.
        """
        if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(stream, 0))))
        last = connection.execute(
            sa.select(t.journal.c.position, t.journal.c.hash)
            .where(t.journal.c.stream == stream)
            .order_by(t.journal.c.position.desc())
            .limit(1)
        ).first()
        position, previous = (last.position + 1, last.hash) if last else (1, GENESIS)
        text = canonical_json(body)
        entry = Entry(
            stream=stream,
            position=position,
            previous_hash=previous,
            hash=_hash_entry(stream, position, previous, actor, text, created_at),
            actor=actor,
            body=text,
            created_at=created_at,
        )
        connection.execute(
            sa.insert(t.journal).values(
                stream=stream,
                position=position,
                previous_hash=previous,
                hash=entry.hash,
                actor=actor,
                body=text,
                created_at=created_at,
            )
        )
        return entry

    def list_entries(self, stream: str) -> list[Entry]:
        """List a stream's entries, oldest first."""
        query = sa.select(t.journal).where(t.journal.c.stream == stream).order_by(t.journal.c.position)
        with self._catalog.read() as connection:
            return [Entry(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001

    def list_streams(self) -> list[str]:
        """List the streams that have entries."""
        with self._catalog.read() as connection:
            rows = connection.execute(sa.select(t.journal.c.stream).distinct())
            return sorted(row.stream for row in rows)

    def verify(self, stream: str) -> int:
        """Check a stream's chain and return its length.

        Raises
        ------
        CorruptObjectError
            When an entry was changed, removed or put in.
        """
        previous = GENESIS
        entries = self.list_entries(stream)
        for position, entry in enumerate(entries, start=1):
            expected = _hash_entry(stream, position, previous, entry.actor, entry.body, entry.created_at)
            if (entry.position, entry.previous_hash, entry.hash) != (position, previous, expected):
                raise CorruptObjectError(
                    f"Entry {position} of the journal {stream!r} does not match its hash chain.",
                    hint="The catalog was changed by hand or by a fault; restore it from a backup.",
                    stream=stream,
                    position=position,
                )
            previous = entry.hash
        return len(entries)


def _hash_entry(stream: str, position: int, previous: str, actor: str, body: str, created_at: str) -> str:
    return content_hash(canonical_json([stream, position, previous, actor, body, created_at]).encode())

"""Rows of a catalog that is made again: put in by what commit objects say, all in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.records import (
    DatasetRecord,
    DeletionRecord,
    ObjectRecord,
    PageRecord,
    VersionRecord,
)
from foldstore.names import MAIN_BRANCH


class Rebuilder:
    """Puts rows into an empty catalog, through one connection whose transaction the caller keeps.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Inside an open write transaction.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._schemas: set[str] = set()
        self._objects: set[str] = set()

    def add_dataset(self, record: DatasetRecord, *, next_version: int, next_fragment: int) -> None:
        """Add a dataset with its next numbers, and its main branch."""
        values = {
            **asdict(record),
            "key_columns": canonical_json(list(record.key)),
            "derive": canonical_json(list(record.derive.items())),
            "next_version": next_version,
            "next_fragment": next_fragment,
        }
        del values["key"]
        self._insert(t.dataset, values)
        self.add_branch(record.id, MAIN_BRANCH)

    def add_branch(self, dataset_id: str, name: str) -> None:
        """Add a branch without a version."""
        self._insert(
            t.ref, {"dataset_id": dataset_id, "name": name, "kind": "branch", "version_id": None, "generation": 0}
        )

    def point_branch(self, dataset_id: str, name: str, version_id: str, generation: int) -> None:
        """Point a branch at its head."""
        here = (t.ref.c.dataset_id == dataset_id, t.ref.c.name == name)
        self._connection.execute(sa.update(t.ref).where(*here).values(version_id=version_id, generation=generation))

    def add_schema(self, schema_id: str, encoded: bytes) -> None:
        """Add an arrow schema, once."""
        if schema_id not in self._schemas:
            self._schemas.add(schema_id)
            self._insert(t.arrow_schema, {"id": schema_id, "encoded": encoded})

    def knows_object(self, object_id: str) -> bool:
        """Say whether an object was added."""
        return object_id in self._objects

    def add_object(self, record: ObjectRecord, transaction_id: str) -> None:
        """Add a live object."""
        self._objects.add(record.id)
        self._insert(t.stored_object, {**asdict(record), "state": "live", "transaction_id": transaction_id})

    def add_deletion(self, record: DeletionRecord) -> None:
        """Add a bitmap of deleted rows."""
        self._insert(t.deletion, asdict(record))

    def add_page(self, page: PageRecord) -> None:
        """Add a manifest page with what it names."""
        values = asdict(page)
        objects, deletions = values.pop("objects"), values.pop("deletions")
        self._insert(t.page, values)
        for table, column, names in (
            (t.page_object, "object_id", objects),
            (t.page_deletion, "deletion_hash", deletions),
        ):
            if names:
                self._connection.execute(sa.insert(table), [{"page_hash": page.hash, column: name} for name in names])

    def add_version(self, version: VersionRecord, page_hashes: Sequence[str]) -> None:
        """Add a version with its pages, and the transaction that made it."""
        values = {**asdict(version), "properties": canonical_json(dict(version.properties))}
        self._insert(t.version, values)
        self._insert(
            t.transaction,
            {
                "id": version.transaction_id,
                "dataset_id": version.dataset_id,
                "base_version_id": version.parent_id,
                "started_at": version.created_at,
                "lease_until": version.created_at,
                "state": "committed",
            },
        )
        if page_hashes:
            rows = [{"version_id": version.id, "position": n, "page_hash": h} for n, h in enumerate(page_hashes)]
            self._connection.execute(sa.insert(t.version_page), rows)

    def add_fact(self, key: str, value: str) -> None:
        """Add a fact about the store."""
        self._insert(t.store, {"key": key, "value": value})

    def _insert(self, table: sa.Table, values: Mapping[str, Any]) -> None:
        self._connection.execute(sa.insert(table).values(**values))

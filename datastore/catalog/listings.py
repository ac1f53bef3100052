"""Whole tables of the catalog at one moment, each in one statement: what SQL over the catalog is made of.

Zones, bitmaps of deleted rows, journals and the files of the sealed area are not among them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.decoding import to_dataset, to_document, to_version
from foldstore.datastore.catalog.records import DatasetRecord, Document, VersionRecord

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which datasets and versions are listed.

    Attributes
    ----------
    datasets : tuple of str, or None
        Their names; None for all.
    versions : tuple of (str, int), or None
        Of the versions alone whose files are listed: names of datasets, and numbers; None for all of the datasets.
    """

    datasets: tuple[str, ...] | None = None
    versions: tuple[tuple[str, int], ...] | None = None


class Listings:
    """What the catalog holds at one moment.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction that reads.
    chosen : Chosen, optional
        Whose datasets, versions and refs are listed; all unless given. Documents, runs and consumers are all listed.
    """

    def __init__(self, connection: sa.Connection, chosen: Chosen | None = None) -> None:
        self._connection = connection
        self._chosen = chosen or Chosen()

    def datasets(self) -> dict[str, DatasetRecord]:
        """Return the datasets by id, in the order of their names."""
        rows = self._connection.execute(self._of_datasets(sa.select(t.dataset)).order_by(t.dataset.c.name))
        return {row.id: to_dataset(row) for row in rows}

    def versions(self, *columns: str) -> list[Row]:
        """List columns of all versions, by the name of the dataset and the number."""
        query = self._of_datasets(sa.select(*(t.version.c[name] for name in columns)).join(t.dataset))
        return self._rows(query.order_by(t.dataset.c.name, t.version.c.number))

    def version_records(self, most: int) -> list[VersionRecord]:
        """List the newest versions that still have rows, whole, the newest first."""
        query = self._of_versions(sa.select(t.version), t.version.c.id).where(t.version.c.expired_at.is_(None))
        query = query.order_by(t.version.c.created_at.desc(), t.version.c.id).limit(most)
        return [to_version(row) for row in self._connection.execute(query)]

    def version_sizes(self) -> dict[str, tuple[int, int]]:
        """Return how many bytes and fragments each chosen version lists, by its id.

        A file that two pages of a version share counts in both.
        """
        sizes = (
            sa.select(t.page_object.c.page_hash, sa.func.sum(t.stored_object.c.num_bytes).label("num_bytes"))
            .join(t.stored_object, t.stored_object.c.id == t.page_object.c.object_id)
            .group_by(t.page_object.c.page_hash)
            .subquery()
        )
        query: sa.Select[Any] = (
            sa.select(t.version_page.c.version_id, sa.func.sum(sizes.c.num_bytes), sa.func.sum(t.page.c.num_fragments))
            .join(t.page, t.page.c.hash == t.version_page.c.page_hash)
            .outerjoin(sizes, sizes.c.page_hash == t.version_page.c.page_hash)
            .group_by(t.version_page.c.version_id)
        )
        query = self._of_versions(query, t.version_page.c.version_id)
        return {row[0]: (int(row[1] or 0), int(row[2] or 0)) for row in self._rows(query)}

    def refs(self) -> list[Row]:
        """List dataset id, name, kind, version id and generation of branches, aliases and tags."""
        c = t.ref.c
        query = self._of_datasets(sa.select(c.dataset_id, c.name, c.kind, c.version_id, c.generation).join(t.dataset))
        return self._rows(query.order_by(t.dataset.c.name, c.name))

    def arrow_schemas(self) -> dict[str, bytes]:
        """Return the encoded arrow schemas by id."""
        return {key: bytes(encoded) for key, encoded in self._rows(sa.select(t.arrow_schema))}

    def version_pages(self) -> list[Row]:
        """List version id and page hash of every page of the chosen versions, in order."""
        c = t.version_page.c
        query = self._of_versions(sa.select(c.version_id, c.page_hash), c.version_id)
        return self._rows(query.order_by(c.version_id, c.position))

    def pages(self) -> Iterator[tuple[str, bytes]]:
        """Yield hash and encoded bytes of the pages that versions list."""
        used = self._of_versions(sa.select(t.version_page.c.page_hash), t.version_page.c.version_id)
        query = sa.select(t.page.c.hash, t.page.c.encoded).where(t.page.c.hash.in_(used))
        for name, encoded in self._connection.execute(query):
            yield name, bytes(encoded)

    def objects(self) -> list[Row]:
        """List id, kind, bytes and bytes in the cold tier (None for files that are not there) of all files."""
        c = t.stored_object.c
        return self._rows(sa.select(c.id, c.kind, c.num_bytes, c.cold_bytes))

    def documents(self, *kinds: str) -> list[Document]:
        """List every version of the documents of some kinds, by name and version."""
        c = t.document.c
        query = sa.select(t.document).where(c.kind.in_(kinds)).order_by(c.name, c.version)
        return [to_document(row) for row in self._connection.execute(query)]

    def runs(self) -> list[Row]:
        """List runs, oldest first: id, name, status, author, message, params, code, environment, error and times."""
        c = t.run.c
        said = (c.id, c.name, c.status, c.author, c.message, c.params, c.code, c.environment, c.error)
        query = sa.select(*said, c.repeats_id, c.started_at, c.ended_at)
        return self._rows(query.order_by(c.started_at, c.id))

    def run_versions(self) -> list[Row]:
        """List run id, name of the run, role, position, version id and address of what runs read and wrote."""
        c = t.run_version.c
        query = sa.select(c.run_id, t.run.c.name, c.role, c.position, c.version_id, c.address).join(t.run)
        return self._rows(query.order_by(t.run.c.started_at, c.run_id, c.role, c.position))

    def consumers(self) -> list[Row]:
        """List version id, kind, name, reason, author and time of consumers."""
        c = t.consumer.c
        query = sa.select(c.version_id, c.kind, c.name, c.reason, c.author, c.created_at)
        return self._rows(query.order_by(c.kind, c.name, c.created_at, c.version_id))

    def seals(self) -> list[Row]:
        """List dataset id and columns (canonical JSON) of the seals whose cells read as null."""
        query = sa.select(t.seal.c.dataset_id, t.seal.c.columns).where(t.seal.c.state != "open")
        return self._rows(query.order_by(t.seal.c.created_at))

    def _of_datasets(self, query: sa.Select[Any]) -> sa.Select[Any]:
        chosen = self._chosen.datasets
        return query if chosen is None else query.where(t.dataset.c.name.in_(chosen))

    def _of_versions(self, query: sa.Select[Any], version_id: sa.ColumnElement[str]) -> sa.Select[Any]:
        if self._chosen == Chosen():
            return query
        ids = self._of_datasets(sa.select(t.version.c.id).join(t.dataset))
        pairs = self._chosen.versions
        if pairs is not None:
            ids = ids.where(sa.or_(sa.false(), *(_is_version(name, number) for name, number in pairs)))
        return query.where(version_id.in_(ids))

    def _rows(self, query: sa.Select[Any]) -> list[Row]:
        return [tuple(row) for row in self._connection.execute(query)]


def _is_version(name: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(t.dataset.c.name == name, t.version.c.number == number)


@contextmanager
def open_listings(catalog: Catalog, chosen: Chosen | None = None) -> Iterator[Listings]:
    """Open the catalog to list what it holds, at one moment."""
    with catalog.read() as connection:
        yield Listings(connection, chosen)

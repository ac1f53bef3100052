"""The Registry: named, versioned, immutable documents of a kind (schemas, views, reports ...)."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.change_mark import ChangeMark
from foldstore.datastore.catalog.decoding import to_document
from foldstore.datastore.catalog.records import Document
from foldstore.errors import ConflictError


class Registry:
    """Documents of one kind.

    Parameters
    ----------
    catalog : Catalog
        Where they are kept.
    kind : str
        What they are: ``schema``, ``view``, ``report``.
    """

    def __init__(self, catalog: Catalog, kind: str) -> None:
        self._catalog = catalog
        self.kind = kind

    @property
    def change_mark(self) -> ChangeMark:
        """What tells that something was committed, of this kind or any other."""
        return self._catalog.change_mark

    def put(
        self,
        name: str,
        body: Any,
        *,
        author: str,
        message: str = "",
        created_at: str,
        after: int | None = None,
        beside: Callable[[sa.Connection], object] | None = None,
    ) -> Document:
        """Add a version of a document; a body equal to the newest one's adds nothing.

        Parameters
        ----------
        after : int, optional
            The newest version that the body was made from, 0 for none.
        beside : callable, optional
            What is written in the same transaction, when a version is added.

        Raises
        ------
        ConflictError
            When another writer has added a version since `after`, or at the same moment.
        """
        try:
            with self._catalog.write() as connection:
                newest = self._newest(connection, name)
                if after is not None and (newest.version if newest else 0) != after:
                    raise _overtaken(self.kind, name)
                made = self.insert(connection, name, body, author=author, message=message, created_at=created_at)
                if beside is not None and made != newest:
                    beside(connection)
                return made
        except sa.exc.IntegrityError as error:
            raise _overtaken(self.kind, name) from error

    def put_many(
        self, bodies: Mapping[str, Any], after: Mapping[str, int], *, author: str, message: str, created_at: str
    ) -> list[Document]:
        """Do what `put` does for several names, all or none.

        Raises
        ------
        ConflictError
            When another writer has added a version of one since `after`.
        """
        made = []
        try:
            with self._catalog.write() as connection:
                for name, body in bodies.items():
                    newest = self._newest(connection, name)
                    if (newest.version if newest else 0) != after[name]:
                        raise _overtaken(self.kind, name)
                    made.append(
                        self.insert(connection, name, body, author=author, message=message, created_at=created_at)
                    )
        except sa.exc.IntegrityError as error:
            raise _overtaken(self.kind, next(iter(bodies))) from error
        return made

    def insert(
        self, connection: sa.Connection, name: str, body: Any, *, author: str, message: str = "", created_at: str
    ) -> Document:
        """Do what `put` does inside a transaction that is already open."""
        text = canonical_json(body)
        digest = content_hash(text.encode())
        newest = self._newest(connection, name)
        if newest is not None and newest.hash == digest:
            return newest
        document = Document(
            kind=self.kind,
            name=name,
            version=newest.version + 1 if newest else 1,
            hash=digest,
            body=body,
            author=author,
            message=message,
            created_at=created_at,
        )
        connection.execute(
            sa.insert(t.document).values(
                kind=self.kind,
                name=name,
                version=document.version,
                hash=digest,
                body=text,
                author=author,
                message=message,
                created_at=created_at,
            )
        )
        return document

    def find(self, name: str, version: int | None = None) -> Document | None:
        """Return a document (the newest version unless one is named), or None."""
        with self._catalog.read() as connection:
            if version is None:
                return self._newest(connection, name)
            row = connection.execute(self._of(name).where(t.document.c.version == version)).first()
        return to_document(row) if row else None

    def list_names(self) -> list[str]:
        """List the names that have a document."""
        query = sa.select(t.document.c.name).where(t.document.c.kind == self.kind).distinct()
        with self._catalog.read() as connection:
            return sorted(row.name for row in connection.execute(query))

    def list_versions(self, name: str, newest: int | None = None) -> list[Document]:
        """List the versions of a document, oldest first; only so many of the newest where that is said."""
        query = self._of(name).order_by(t.document.c.version.desc())
        with self._catalog.read() as connection:
            rows = connection.execute(query if newest is None else query.limit(newest)).all()
        return [to_document(row) for row in reversed(rows)]

    def list_documents(self) -> list[Document]:
        """List every version of every document of the kind, by name and version, in one query."""
        query = sa.select(t.document).where(t.document.c.kind == self.kind)
        with self._catalog.read() as connection:
            rows = connection.execute(query.order_by(t.document.c.name, t.document.c.version)).all()
        return [to_document(row) for row in rows]

    def _of(self, name: str) -> sa.Select[Any]:
        return sa.select(t.document).where(t.document.c.kind == self.kind, t.document.c.name == name)

    def _newest(self, connection: sa.Connection, name: str) -> Document | None:
        row = connection.execute(self._of(name).order_by(t.document.c.version.desc()).limit(1)).first()
        return to_document(row) if row else None


def _overtaken(kind: str, name: str) -> ConflictError:
    return ConflictError(
        f"Another writer changed the {kind} {name!r} meanwhile.", retry=True, hint="Do the same again."
    )

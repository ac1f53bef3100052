"""The catalog's door: datasets, versions, pages, objects and refs, looked up and listed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.change_mark import ChangeMark
from foldstore.datastore.catalog.connection import begin_write, open_database
from foldstore.datastore.catalog.decoding import to_dataset, to_object, to_ref, to_version
from foldstore.datastore.catalog.records import DatasetRecord, ObjectRecord, RefRecord, VersionRecord
from foldstore.errors import AlreadyExistsError, ConflictError, CorruptObjectError, StoreError, refuse_writing
from foldstore.names import MAIN_BRANCH

# SQLite allows 32,766 bound values in a statement; lookups by many ids go in runs of this size.
_IN_LIMIT = 5_000


class Catalog:
    """One open catalog; safe to share between threads.

    Parameters
    ----------
    url : str
        An SQLAlchemy URL of a SQLite file or a PostgreSQL database.
    read_only : bool
        Whether writing is refused.

    Attributes
    ----------
    change_mark : ChangeMark
        Says whether anybody committed.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._engine = open_database(url, read_only=read_only)
        self.change_mark = ChangeMark(self._engine)
        self.read_only = read_only
        self._closed = False

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Close every connection."""
        self._closed = True
        self.change_mark.close()
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that reads one state of the catalog.

        Raises
        ------
        StoreError
            When the database cannot be read, or the store is closed.
        """
        with self._translated("read"), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes; it commits when the block ends without an exception.

        Raises
        ------
        StoreError
            When the database cannot be written, or the store is closed.
        RefusedError
            When the store was opened to be read.
        """
        if self.read_only:
            raise refuse_writing()
        with self._translated("write"), begin_write(self._engine) as connection:
            yield connection

    @contextmanager
    def _translated(self, act: str) -> Iterator[None]:
        if self._closed:
            raise StoreError("The store is closed.", hint="Open it again: foldstore.connect(...).", code="store-closed")
        try:
            yield
        except sa.exc.IntegrityError:
            raise  # a rule of the tables was broken: the caller knows which, and what it means
        except sa.exc.DBAPIError as error:
            raise StoreError(
                f"The catalog could not {act}: {str(error.orig).strip()}.",
                hint="Check free space, permissions and that the database is whole (`foldstore verify`).",
            ) from error

    def ensure_fact(self, key: str, value: str) -> str:
        """Return a fact about the store, writing it first when it is new."""
        known = self._find_fact(key)
        if known is None:
            with suppress(sa.exc.IntegrityError), self.write() as connection:  # another opener may be first
                connection.execute(sa.insert(t.store).values(key=key, value=value))
            known = self._find_fact(key)
        return known or value

    def _find_fact(self, key: str) -> str | None:
        with self.read() as connection:
            return connection.execute(sa.select(t.store.c.value).where(t.store.c.key == key)).scalar()

    def create_dataset(self, record: DatasetRecord) -> None:
        """Add a dataset with an empty main branch.

        Raises
        ------
        AlreadyExistsError
            When the name is taken.
        """
        try:
            with self.write() as connection:
                connection.execute(
                    sa.insert(t.dataset).values(
                        id=record.id,
                        name=record.name,
                        key_columns=canonical_json(list(record.key)),
                        event_time=record.event_time,
                        derive=canonical_json(list(record.derive.items())),
                        key_policy=record.key_policy,
                        next_version=1,
                        next_fragment=1,
                        created_at=record.created_at,
                    )
                )
                connection.execute(
                    sa.insert(t.ref).values(
                        dataset_id=record.id, name=MAIN_BRANCH, kind="branch", version_id=None, generation=0
                    )
                )
        except sa.exc.IntegrityError as error:
            raise AlreadyExistsError(
                f"There is already a dataset {record.name!r}.",
                hint=f"Open it with store.dataset({record.name!r}), or choose another name.",
                name=record.name,
            ) from error

    def find_dataset(self, name: str) -> DatasetRecord | None:
        """Return the dataset of a name, or None."""
        with self.read() as connection:
            row = connection.execute(sa.select(t.dataset).where(t.dataset.c.name == name)).first()
        return to_dataset(row) if row else None

    def find_dataset_by_id(self, dataset_id: str) -> DatasetRecord | None:
        """Return the dataset of an id, or None."""
        with self.read() as connection:
            row = connection.execute(sa.select(t.dataset).where(t.dataset.c.id == dataset_id)).first()
        return to_dataset(row) if row else None

    def list_datasets(self) -> list[DatasetRecord]:
        """List all datasets by name."""
        with self.read() as connection:
            rows = connection.execute(sa.select(t.dataset).order_by(t.dataset.c.name)).all()
        return [to_dataset(row) for row in rows]

    def find_version(self, dataset_id: str, number: int) -> VersionRecord | None:
        """Return a version by its number, or None."""
        return self._find(t.version.c.dataset_id == dataset_id, t.version.c.number == number)

    def find_version_by_id(self, version_id: str) -> VersionRecord | None:
        """Return a version by its id, or None."""
        return self._find(t.version.c.id == version_id)

    def find_version_by_idempotency_key(self, dataset_id: str, key: str) -> VersionRecord | None:
        """Return the version that a commit with this idempotency key made, or None."""
        return self._find(t.version.c.dataset_id == dataset_id, t.version.c.idempotency_key == key)

    def find_version_as_of(self, dataset_id: str, branch: str, moment: str) -> VersionRecord | None:
        """Return the newest version on the line of a branch, back from its head, that was there at an instant."""
        with self.read() as connection:
            row = connection.execute(_first_on_line(dataset_id, branch, moment)).first()
        return to_version(row) if row else None

    def _find(self, *conditions: Any) -> VersionRecord | None:
        with self.read() as connection:
            row = connection.execute(sa.select(t.version).where(*conditions)).first()
        return to_version(row) if row else None

    def list_versions(self, dataset_id: str) -> list[VersionRecord]:
        """List a dataset's versions, oldest first."""
        query = sa.select(t.version).where(t.version.c.dataset_id == dataset_id).order_by(t.version.c.number)
        with self.read() as connection:
            return [to_version(row) for row in connection.execute(query)]

    def list_page_hashes(self, version_id: str) -> list[str]:
        """List the hashes of a version's manifest pages, in order."""
        query = (
            sa.select(t.version_page.c.page_hash)
            .where(t.version_page.c.version_id == version_id)
            .order_by(t.version_page.c.position)
        )
        with self.read() as connection:
            return [row.page_hash for row in connection.execute(query)]

    def read_pages(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """Return encoded manifest pages by hash; unknown ones are left out."""
        found: dict[str, bytes] = {}
        if not hashes:
            return found
        with self.read() as connection:
            for start in range(0, len(hashes), _IN_LIMIT):
                run = hashes[start : start + _IN_LIMIT]
                rows = connection.execute(sa.select(t.page.c.hash, t.page.c.encoded).where(t.page.c.hash.in_(run)))
                found.update((row.hash, bytes(row.encoded)) for row in rows)
        return found

    def read_arrow_schema(self, schema_id: str) -> bytes:
        """Return an encoded arrow schema."""
        query = sa.select(t.arrow_schema.c.encoded).where(t.arrow_schema.c.id == schema_id)
        with self.read() as connection:
            encoded = bytes(connection.execute(query).scalar_one())
        if content_hash(encoded) != schema_id:
            raise CorruptObjectError(
                f"Arrow schema {schema_id} is damaged.", hint="Restore the catalog from a backup.", schema=schema_id
            )
        return encoded

    def read_objects(self, object_ids: Sequence[str]) -> dict[str, ObjectRecord]:
        """Return the records of some objects by id; unknown ids are left out."""
        found: dict[str, ObjectRecord] = {}
        with self.read() as connection:
            for start in range(0, len(object_ids), _IN_LIMIT):
                run = object_ids[start : start + _IN_LIMIT]
                rows = connection.execute(sa.select(t.stored_object).where(t.stored_object.c.id.in_(run)))
                found.update((row.id, to_object(row)) for row in rows)
        return found

    def list_object_ids(self) -> list[str]:
        """List the ids of every live object; the files of condemned ones may be gone already."""
        live = (t.stored_object.c.state == "live", t.stored_object.c.condemned_at.is_(None))
        query = sa.select(t.stored_object.c.id).where(*live).order_by(t.stored_object.c.id)
        with self.read() as connection:
            return [row.id for row in connection.execute(query)]

    def find_ref(self, dataset_id: str, name: str) -> RefRecord | None:
        """Return a branch, alias or tag by name, or None."""
        query = sa.select(t.ref).where(t.ref.c.dataset_id == dataset_id, t.ref.c.name == name)
        with self.read() as connection:
            row = connection.execute(query).first()
        return to_ref(row) if row else None

    def list_refs(self, dataset_id: str) -> list[RefRecord]:
        """List a dataset's branches, aliases and tags by name."""
        query = sa.select(t.ref).where(t.ref.c.dataset_id == dataset_id).order_by(t.ref.c.name)
        with self.read() as connection:
            return [to_ref(row) for row in connection.execute(query)]


def move_ref(connection: sa.Connection, dataset_id: str, ref: RefRecord, version_id: str) -> None:
    """Point a ref at a version when nobody moved it since it was read (compare-and-set).

    Raises
    ------
    ConflictError
        When somebody did.
    """
    moved = connection.execute(
        sa.update(t.ref)
        .where(t.ref.c.dataset_id == dataset_id, t.ref.c.name == ref.name, t.ref.c.generation == ref.generation)
        .values(version_id=version_id, generation=ref.generation + 1)
    )
    if moved.rowcount != 1:
        raise ConflictError(f"{ref.kind} {ref.name!r} was moved by another writer.", retry=True, hint="Try again.")


def _first_on_line(dataset_id: str, branch: str, moment: str) -> sa.Select[Any]:
    """Go from a branch's head to parents, over where it was made, until a version was there at an instant."""
    v, ref = t.version, t.ref.c
    there = sa.and_(v.c.created_at <= moment, v.c.status.in_(["published", "deprecated"]))
    step = (v.c.id, v.c.parent_id, sa.case((there, 1), else_=0).label("there"))
    head = sa.select(ref.version_id).where(ref.dataset_id == dataset_id, ref.name == branch).scalar_subquery()
    line = sa.select(*step).where(v.c.id == head).cte("line", recursive=True)
    line = line.union_all(sa.select(*step).join(line, v.c.id == line.c.parent_id).where(line.c.there == 0))
    return sa.select(v).join(line, v.c.id == line.c.id).where(line.c.there == 1)

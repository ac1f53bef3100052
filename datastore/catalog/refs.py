"""The catalog's half of refs: branches, aliases and tags are made, moved and removed, each act in the journal."""

from typing import Any

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog, move_ref
from foldstore.datastore.catalog.holders import holding
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.records import RefRecord, VersionRecord
from foldstore.errors import AlreadyExistsError, ConflictError


def create_ref(
    catalog: Catalog, journal: Journal, version: VersionRecord, name: str, kind: str, *, author: str, now: str
) -> RefRecord:
    """Make a ref to a version.

    Raises
    ------
    AlreadyExistsError
        When the dataset has a ref of that name.
    """
    ref = RefRecord(name=name, kind=kind, version_id=version.id, generation=0)
    try:
        with holding(catalog, version.id) as connection:
            connection.execute(
                sa.insert(t.ref).values(
                    dataset_id=version.dataset_id, name=name, kind=kind, version_id=version.id, generation=0
                )
            )
            _log(connection, journal, version.dataset_id, ref, before=None, to=version, author=author, now=now)
    except sa.exc.IntegrityError as error:
        raise AlreadyExistsError(
            f"There is a branch, an alias or a tag {name!r} already.",
            hint="Choose another name; an alias is moved with set_alias().",
            ref=name,
        ) from error
    return ref


def move_alias(
    catalog: Catalog, journal: Journal, ref: RefRecord, version: VersionRecord, *, author: str, now: str
) -> None:
    """Point an alias at another version.

    Raises
    ------
    ConflictError
        When somebody moved it since it was read.
    """
    with holding(catalog, version.id) as connection:
        move_ref(connection, version.dataset_id, ref, version.id)
        _log(connection, journal, version.dataset_id, ref, before=ref.version_id, to=version, author=author, now=now)


def remove_ref(catalog: Catalog, journal: Journal, dataset_id: str, ref: RefRecord, *, author: str, now: str) -> None:
    """Remove a ref; the versions that it led to stay until nothing else keeps them.

    Raises
    ------
    ConflictError
        When somebody moved it since it was read.
    """
    with catalog.write() as connection:
        gone = connection.execute(
            sa.delete(t.ref).where(
                t.ref.c.dataset_id == dataset_id, t.ref.c.name == ref.name, t.ref.c.generation == ref.generation
            )
        )
        if gone.rowcount != 1:
            raise ConflictError(f"{ref.kind} {ref.name!r} was moved meanwhile.", retry=True, hint="Look at it again.")
        _log(connection, journal, dataset_id, ref, before=ref.version_id, to=None, author=author, now=now)


def _log(
    connection: sa.Connection,
    journal: Journal,
    dataset_id: str,
    ref: RefRecord,
    *,
    before: str | None,
    to: VersionRecord | None,
    author: str,
    now: str,
) -> None:
    body: dict[str, Any] = {
        "ref": ref.name,
        "kind": ref.kind,
        "from": before,
        "to": to.id if to else None,
        "number": to.number if to else None,
    }
    journal.append(connection, f"refs/{dataset_id}", body, actor=author, created_at=now)

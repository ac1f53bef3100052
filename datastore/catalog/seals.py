"""The catalog's half of sealing: the seal's row, the switch of every version at once, the cleaning after it.

`flip_seal` is the one moment: before it every version shows the cells, after it none does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.commits import settle_objects
from foldstore.datastore.catalog.decoding import to_seal
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.page_switch import (
    Redaction,
    abandoned_objects,
    drop_objects,
    pages_of,
    redact_documents,
    redact_quotes,
    switch_pages,
    versions_of,
)
from foldstore.datastore.catalog.records import PageRecord, PendingSeal, SealedFile, SealRecord
from foldstore.errors import ConflictError

_IN_RUN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SealFlip:
    """Everything that disappears at once.

    Attributes
    ----------
    seen_pages : frozenset of str
        All pages of the dataset as they were read; the flip fails when there are others now.
    new_pages : mapping of str to PageRecord
        What stands in the place of a page, by its hash.
    replaced : mapping of str to frozenset of str
        Files with sealed cells, and what stands in the place of each; those that no page names any more are given up.
    """

    seal: SealRecord
    seen_pages: frozenset[str]
    new_pages: Mapping[str, PageRecord]
    replaced: Mapping[str, frozenset[str]]
    redact: Redaction
    redact_schema: Redaction
    actor: str
    now: str


def begin_seal(catalog: Catalog, seal: SealRecord) -> None:
    """Write the seal's row, before any file."""
    with catalog.write() as connection:
        connection.execute(sa.insert(t.seal).values(**_seal_row(seal)))


def find_seal(catalog: Catalog, seal_id: str) -> SealRecord | None:
    """Return a seal by its id, or None."""
    with catalog.read() as connection:
        row = connection.execute(sa.select(t.seal).where(t.seal.c.id == seal_id)).first()
    return to_seal(row) if row else None


def list_seals(catalog: Catalog, dataset_id: str | None = None) -> list[SealRecord]:
    """List the seals of a dataset, or of the store, oldest first."""
    query = sa.select(t.seal).order_by(t.seal.c.created_at, t.seal.c.id)
    if dataset_id is not None:
        query = query.where(t.seal.c.dataset_id == dataset_id)
    with catalog.read() as connection:
        return [to_seal(row) for row in connection.execute(query)]


def list_page_uses(catalog: Catalog, dataset_id: str) -> list[tuple[str, str]]:
    """List the (arrow schema, page) pairs of a dataset's versions, those of older versions first."""
    number = sa.func.min(t.version.c.number)
    query = (
        sa.select(t.version.c.arrow_schema_id, t.version_page.c.page_hash)
        .join(t.version_page, t.version_page.c.version_id == t.version.c.id)
        .where(t.version.c.dataset_id == dataset_id)
        .group_by(t.version.c.arrow_schema_id, t.version_page.c.page_hash)
        .order_by(number, sa.func.min(t.version_page.c.position))
    )
    with catalog.read() as connection:
        return [(row.arrow_schema_id, row.page_hash) for row in connection.execute(query)]


def list_version_pages(catalog: Catalog, version_id: str) -> list[tuple[str, bytes]]:
    """Return hash and encoded bytes of a version's pages, in order."""
    query = (
        sa.select(t.page.c.hash, t.page.c.encoded)
        .join(t.version_page, t.version_page.c.page_hash == t.page.c.hash)
        .where(t.version_page.c.version_id == version_id)
        .order_by(t.version_page.c.position)
    )
    with catalog.read() as connection:
        return [(row.hash, row.encoded) for row in connection.execute(query)]


def list_pages(catalog: Catalog, dataset_id: str) -> list[tuple[str, bytes]]:
    """Return hash and encoded bytes of each page of any version of a dataset, once."""
    query = sa.select(t.page.c.hash, t.page.c.encoded).where(t.page.c.hash.in_(pages_of(dataset_id)))
    with catalog.read() as connection:
        return [(row.hash, row.encoded) for row in connection.execute(query.order_by(t.page.c.hash))]


def list_other_users(catalog: Catalog, dataset_id: str, object_ids: Sequence[str]) -> list[tuple[str, int]]:
    """List the versions of other datasets that hold some files, as (dataset name, number)."""
    query = (
        sa.select(t.dataset.c.name, t.version.c.number)
        .distinct()
        .join(t.version, t.version.c.dataset_id == t.dataset.c.id)
        .join(t.version_page, t.version_page.c.version_id == t.version.c.id)
        .join(t.page_object, t.page_object.c.page_hash == t.version_page.c.page_hash)
        .where(t.dataset.c.id != dataset_id)
    )
    found: set[tuple[str, int]] = set()
    with catalog.read() as connection:
        for start in range(0, len(object_ids), _IN_RUN):
            run = query.where(t.page_object.c.object_id.in_(object_ids[start : start + _IN_RUN]))
            found.update((row.name, row.number) for row in connection.execute(run))
    return sorted(found)


def flip_seal(catalog: Catalog, journal: Journal, change: SealFlip) -> PendingSeal:
    """Switch every version of the dataset to pages without the cells, in one SQL transaction.

    Returns
    -------
    PendingSeal
        The files to remove and the versions whose commit objects to write anew; it is in the catalog, too.

    Raises
    ------
    ConflictError
        When a version was committed since the pages were read; nothing was changed.
    """
    dataset_id = change.seal.dataset_id
    with catalog.write() as connection:
        present = {row.page_hash for row in connection.execute(pages_of(dataset_id))}
        if not present <= change.seen_pages:
            raise ConflictError("The dataset grew while its cells were sealed.", retry=True, hint="Try again.")
        settle_objects(connection, change.seal.id, (i for page in change.new_pages.values() for i in page.objects))
        versions = switch_pages(connection, dataset_id, change.new_pages)
        _resize_commits(connection, dataset_id, change.replaced)
        gone = drop_objects(connection, change.replaced)
        gone |= drop_objects(connection, abandoned_objects(connection, dataset_id, change.now))
        redact_quotes(connection, versions_of(dataset_id), change.redact)
        redact_documents(
            connection, "schema", sa.select(t.dataset.c.name).where(t.dataset.c.id == dataset_id), change.redact_schema
        )
        pending = PendingSeal(objects=tuple(sorted(gone)), versions=tuple(sorted(versions)))
        row = {**_seal_row(change.seal), "state": "flipped", "pending": canonical_json(asdict(pending))}
        connection.execute(sa.update(t.seal).where(t.seal.c.id == change.seal.id).values(**row))
        connection.execute(
            sa.update(t.transaction).where(t.transaction.c.id == change.seal.id).values(state="committed")
        )
        body = {"seal": change.seal.id, "columns": list(change.seal.columns), "rows": change.seal.num_rows}
        journal.append(connection, f"seals/{dataset_id}", body, actor=change.actor, created_at=change.now)
    return pending


def _resize_commits(connection: sa.Connection, dataset_id: str, replaced: Mapping[str, frozenset[str]]) -> None:
    """Let versions say how many bytes they added as if the cells had been null: sizes tell of texts and numbers."""
    for old, new in replaced.items():
        row = connection.execute(sa.select(t.stored_object).where(t.stored_object.c.id == old)).first()
        if row is None:
            continue
        sizes = sa.select(sa.func.sum(t.stored_object.c.num_bytes)).where(t.stored_object.c.id.in_(new))
        change = (connection.execute(sizes).scalar() or 0) - row.num_bytes
        here = (t.version.c.dataset_id == dataset_id, t.version.c.transaction_id == row.transaction_id)
        connection.execute(sa.update(t.version).where(*here).values(bytes_added=t.version.c.bytes_added + change))


def abandon_seal(catalog: Catalog, seal_id: str) -> list[str]:
    """Forget a seal that did not flip; return the files that it had staged, which the catalog forgets too."""
    with catalog.write() as connection:
        staged = t.stored_object.c.state == "staged"
        query = sa.select(t.stored_object.c.id).where(t.stored_object.c.transaction_id == seal_id, staged)
        found = {row.id for row in connection.execute(query)}
        gone = drop_objects(connection, found)
        connection.execute(sa.delete(t.seal).where(t.seal.c.id == seal_id, t.seal.c.state == "open"))
        connection.execute(sa.update(t.transaction).where(t.transaction.c.id == seal_id).values(state="aborted"))
    return sorted(gone)


def add_file(catalog: Catalog, seal_id: str, name: str, file: SealedFile) -> None:
    """Give a file of a seal its name."""
    with catalog.write() as connection:
        row = connection.execute(sa.select(t.seal).where(t.seal.c.id == seal_id).with_for_update()).one()
        files = {**to_seal(row).files, name: file}
        text = canonical_json({each: asdict(item) for each, item in files.items()})
        connection.execute(sa.update(t.seal).where(t.seal.c.id == seal_id).values(files=text))


def merge_seals(
    catalog: Catalog, journal: Journal, merged: SealRecord, parts: Sequence[str], *, actor: str, now: str
) -> None:
    """Let one seal take the place of several, in one SQL transaction."""
    with catalog.write() as connection:
        connection.execute(sa.delete(t.seal).where(t.seal.c.id.in_(parts)))
        connection.execute(sa.update(t.seal).where(t.seal.c.id == merged.id).values(**_seal_row(merged)))
        body = {"seal": merged.id, "merged": list(parts), "rows": merged.num_rows}
        journal.append(connection, f"seals/{merged.dataset_id}", body, actor=actor, created_at=now)


def clear_pending(catalog: Catalog, seal_id: str) -> None:
    """Say that the files are removed and the commit objects written; their names go from the catalog too."""
    _update(catalog, seal_id, pending=canonical_json(asdict(PendingSeal())))


def finish_seal(catalog: Catalog, seal_id: str) -> None:
    """Say that nothing is left to do."""
    _update(catalog, seal_id, state="sealed")


def _update(catalog: Catalog, seal_id: str, **values: str) -> None:
    with catalog.write() as connection:
        connection.execute(sa.update(t.seal).where(t.seal.c.id == seal_id).values(**values))


def _seal_row(seal: SealRecord) -> dict[str, Any]:
    return {
        "id": seal.id,
        "dataset_id": seal.dataset_id,
        "columns": canonical_json(list(seal.columns)),
        "files": canonical_json({name: asdict(item) for name, item in seal.files.items()}),
        "num_rows": seal.num_rows,
        "state": seal.state,
        "pending": canonical_json(asdict(seal.pending)),
        "created_at": seal.created_at,
    }

"""Who reads a version, so that its rows stay: leases, for a while. Pins and consumers are in `runs`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.expiry import find_reason
from foldstore.errors import NotFoundError
from foldstore.types import format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Somebody reads a version until then."""

    id: str
    version_id: str
    holder: str
    lease_until: str
    created_at: str


@contextmanager
def holding(catalog: Catalog, version_id: str) -> Iterator[sa.Connection]:
    """Open a write transaction in which a version cannot expire; whoever adds a holder of it writes inside.

    Raises
    ------
    NotFoundError
        With code ``version-expired``, when its rows are gone already.
    """
    with catalog.write() as connection:
        query = sa.select(t.version.c.expired_at).where(t.version.c.id == version_id)
        row = connection.execute(query.with_for_update(read=True, key_share=True)).first()
        gone = row is not None and row.expired_at is not None
        if not gone:
            yield connection
    if gone:
        refuse_expired(catalog, version_id)


def refuse_expired(catalog: Catalog, version_id: str) -> None:
    """Say when and why a version gave its rows up, if it did.

    Raises
    ------
    NotFoundError
        When it did.
    """
    version = catalog.find_version_by_id(version_id)
    if version is None or version.expired_at is None:
        return
    dataset = catalog.find_dataset_by_id(version.dataset_id)
    address = f"{dataset.name if dataset else version.dataset_id}@{version.number}"
    reason = find_reason(catalog, version_id) or "retention gave its rows up"
    raise NotFoundError(
        f"{address} expired on {version.expired_at[:10]}: {reason}. Its rows are gone.",
        hint="Choose a later version. A pin, a tag or a lease keeps a version; see `foldstore retain`.",
        code="version-expired",
        address=address,
        expired_at=version.expired_at,
        reason=reason,
    )


def take_lease(catalog: Catalog, lease: LeaseRecord) -> None:
    """Hold a version until a time.

    Raises
    ------
    NotFoundError
        When its rows are gone already.
    """
    with holding(catalog, lease.version_id) as connection:
        connection.execute(sa.insert(t.lease).values(**asdict(lease)))


def renew_lease(catalog: Catalog, lease: LeaseRecord, until: datetime) -> str:
    """Hold a version longer, never shorter; one that was collected is taken again. Return until when.

    Raises
    ------
    NotFoundError
        When the lease had run out and the version's rows are gone.
    """
    text = format_time(until)
    with holding(catalog, lease.version_id) as connection:
        mine = t.lease.c.id == lease.id
        known = connection.execute(sa.select(t.lease.c.lease_until).where(mine)).scalar()
        if known is None:
            connection.execute(sa.insert(t.lease).values({**asdict(lease), "lease_until": text}))
            return text
        connection.execute(sa.update(t.lease).where(mine).values(lease_until=max(text, known)))
    return max(text, str(known))


def release_lease(catalog: Catalog, lease_id: str) -> None:
    """Let go of a version; a lease that is gone already is fine."""
    with catalog.write() as connection:
        connection.execute(sa.delete(t.lease).where(t.lease.c.id == lease_id))


def list_leases(catalog: Catalog) -> list[LeaseRecord]:
    """List the leases, those that end first before the others."""
    query = sa.select(t.lease).order_by(t.lease.c.lease_until, t.lease.c.id)
    with catalog.read() as connection:
        return [LeaseRecord(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001

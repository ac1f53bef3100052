"""Accounting: how many bytes datasets, versions and branches take, what they share, and what is garbage.

Sets are compared in the database, so memory does not grow with the store. Bytes are those on the disk: of an object
in the cold tier the size of its compressed form.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.records import DatasetRecord

Versions: TypeAlias = sa.Select[tuple[str]]
_SIZE = sa.func.coalesce(t.stored_object.c.cold_bytes, t.stored_object.c.num_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionUsage:
    """What a version takes.

    Attributes
    ----------
    num_bytes : int
        All files that it lists.
    own : int
        Files that no other version of any dataset lists: what its expiry would free.
    added : int
        Bytes that were new to the store when it was committed.
    """

    address: str
    num_bytes: int
    own: int
    added: int
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchUsage:
    """What the versions that a branch reaches take.

    Attributes
    ----------
    own : int
        Files of versions that only this branch reaches: what its removal would free in the end.
    """

    name: str
    versions: int
    num_bytes: int
    own: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetUsage:
    """What a dataset takes.

    Attributes
    ----------
    num_bytes : int
        All files that its versions list, each counted once.
    shared : int
        Those among them that versions of other datasets list, too.
    own : int
        The rest.
    """

    name: str
    num_bytes: int
    own: int
    shared: int
    versions: tuple[VersionUsage, ...] = ()
    branches: tuple[BranchUsage, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage:
    """What a store takes.

    Attributes
    ----------
    num_bytes : int
        The files of all versions, each counted once.
    staged : int
        Files of commits under way.
    garbage, condemned : int
        Files that nothing needs; those among them that a run of the collector has condemned.
    catalog : int
        The size of the catalog's database.
    """

    num_bytes: int
    staged: int
    garbage: int
    condemned: int
    catalog: int
    datasets: tuple[DatasetUsage, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain data."""
        return asdict(self)


def measure_store(catalog: Catalog) -> StoreUsage:
    """Return the account of a store, without that of each version."""
    listed = sa.exists().where(t.page_object.c.object_id == t.stored_object.c.id)
    held = sa.exists().where(t.transaction_object.c.object_id == t.stored_object.c.id)
    with catalog.read() as connection:
        num_bytes = _sum(connection, listed)
        staged = _sum(connection, ~listed, held)
        garbage = _sum(connection, ~listed, ~held)
        condemned = _sum(connection, ~listed, ~held, t.stored_object.c.condemned_at.is_not(None))
        size = _catalog_size(connection)
        datasets = connection.execute(sa.select(t.dataset.c.id, t.dataset.c.name).order_by(t.dataset.c.name)).all()
        accounts = tuple(_measure_total(connection, row.id, row.name) for row in datasets)
    return StoreUsage(
        num_bytes=num_bytes, staged=staged, garbage=garbage, condemned=condemned, catalog=size, datasets=accounts
    )


def measure_dataset(catalog: Catalog, dataset: DatasetRecord, among: Collection[str] | None = None) -> DatasetUsage:
    """Return the account of a dataset, its versions and its branches.

    Parameters
    ----------
    among : collection of str, optional
        The ids of the datasets that count as others, where not all may be known of; what is shared with the rest
        counts as its own.
    """
    known = None if among is None else _versions_of(*among, dataset.id)
    with catalog.read() as connection:
        whole = _measure_total(connection, dataset.id, dataset.name, known)
        return DatasetUsage(
            name=whole.name,
            num_bytes=whole.num_bytes,
            own=whole.own,
            shared=whole.shared,
            versions=_measure_versions(connection, dataset, known),
            branches=_measure_branches(connection, dataset, known),
        )


def _versions_of(*datasets: str) -> Versions:
    return sa.select(t.version.c.id).where(t.version.c.dataset_id.in_(datasets))


def _uses(known: Versions | None) -> sa.Subquery:
    """Return which version lists which object, each pair once; of known versions alone, where not all are."""
    pair = sa.select(t.version_page.c.version_id, t.page_object.c.object_id).distinct()
    if known is not None:
        pair = pair.where(t.version_page.c.version_id.in_(known))
    return pair.join(t.page_object, t.page_object.c.page_hash == t.version_page.c.page_hash).subquery()


def _sum(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.sum(_SIZE)).where(*conditions)).scalar() or 0)


def _used_by(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Say that a version that meets conditions lists an object."""
    return sa.exists(
        sa.select(sa.literal(1))
        .select_from(t.page_object.join(t.version_page, t.version_page.c.page_hash == t.page_object.c.page_hash))
        .where(t.page_object.c.object_id == t.stored_object.c.id, *conditions)
        .correlate(t.stored_object)
    )


def _used_in(versions: Versions) -> sa.ColumnElement[bool]:
    return _used_by(t.version_page.c.version_id.in_(versions))


def _used_outside(versions: Versions, known: Versions | None) -> sa.ColumnElement[bool]:
    """Say that another version than some lists an object: any, or one of those that may be known of."""
    place = t.version_page.c.version_id
    return _used_by(place.not_in(versions), *(() if known is None else (place.in_(known),)))


def _measure_total(
    connection: sa.Connection, dataset_id: str, name: str, known: Versions | None = None
) -> DatasetUsage:
    mine = _versions_of(dataset_id)
    total = _sum(connection, _used_in(mine))
    shared = _sum(connection, _used_in(mine), _used_outside(mine, known))
    return DatasetUsage(name=name, num_bytes=total, own=total - shared, shared=shared)


def _measure_versions(
    connection: sa.Connection, dataset: DatasetRecord, known: Versions | None
) -> tuple[VersionUsage, ...]:
    uses = _uses(known)
    sized = sa.select(uses.c.version_id, sa.func.sum(_SIZE).label("size"))
    sized = sized.join(t.stored_object, t.stored_object.c.id == uses.c.object_id)
    mine = _versions_of(dataset.id)
    query = sized.where(uses.c.version_id.in_(mine)).group_by(uses.c.version_id)
    total = {row.version_id: int(row.size) for row in connection.execute(query)}
    alone = (
        sa.select(sa.func.min(uses.c.version_id).label("version_id"), uses.c.object_id)
        .group_by(uses.c.object_id)
        .having(sa.func.count() == 1)
        .subquery()
    )
    query = sa.select(alone.c.version_id, sa.func.sum(_SIZE).label("size")).group_by(alone.c.version_id)
    query = query.join(t.stored_object, t.stored_object.c.id == alone.c.object_id)
    own = {row.version_id: int(row.size) for row in connection.execute(query.where(alone.c.version_id.in_(mine)))}
    rows = connection.execute(
        sa.select(t.version).where(t.version.c.dataset_id == dataset.id).order_by(t.version.c.number)
    )
    return tuple(
        VersionUsage(
            address=f"{dataset.name}@{row.number}",
            num_bytes=total.get(row.id, 0),
            own=own.get(row.id, 0),
            added=row.bytes_added,
            expired=row.expired_at is not None,
        )
        for row in rows
    )


def _measure_branches(
    connection: sa.Connection, dataset: DatasetRecord, known: Versions | None
) -> tuple[BranchUsage, ...]:
    refs = sa.select(t.ref).where(t.ref.c.dataset_id == dataset.id, t.ref.c.version_id.is_not(None))
    rows = connection.execute(refs.order_by(t.ref.c.name)).all()
    return tuple(_measure_branch(connection, dataset.id, row.name, known) for row in rows if row.kind == "branch")


def _measure_branch(connection: sa.Connection, dataset_id: str, name: str, known: Versions | None) -> BranchUsage:
    here = _reach(t.ref.c.dataset_id == dataset_id, t.ref.c.name == name)
    others = _reach(t.ref.c.dataset_id == dataset_id, t.ref.c.name != name)
    reached = sa.select(here.c.id)
    alone = sa.select(here.c.id).where(here.c.id.not_in(sa.select(others.c.id)))
    count = sa.select(sa.func.count()).select_from(t.version)
    kept = (t.version.c.id.in_(reached), t.version.c.expired_at.is_(None))
    return BranchUsage(
        name=name,
        versions=int(connection.execute(count.where(*kept)).scalar_one()),
        num_bytes=_sum(connection, _used_in(reached)),
        own=_sum(connection, _used_in(alone), ~_used_outside(alone, known)),
    )


def _reach(*conditions: sa.ColumnElement[bool]) -> sa.CTE:
    """Return the versions that some refs reach, through both parents."""
    v = t.version.c
    first = sa.select(v.id.label("child"), v.parent_id.label("parent")).where(v.parent_id.is_not(None))
    second = sa.select(v.id, v.merge_parent_id).where(v.merge_parent_id.is_not(None))
    edges = sa.union_all(first, second).subquery()
    heads = sa.select(t.ref.c.version_id.label("id")).where(*conditions, t.ref.c.version_id.is_not(None))
    reach = heads.cte(recursive=True)
    return reach.union(sa.select(edges.c.parent).join(reach, reach.c.id == edges.c.child))


def _catalog_size(connection: sa.Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages, size = (connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("page_count", "page_size"))
        return int(pages or 0) * int(size or 0)
    names = [table.name for table in t.metadata.sorted_tables]
    sizes = (connection.execute(sa.select(sa.func.pg_total_relation_size(f'"{name}"'))).scalar() for name in names)
    return sum(int(size or 0) for size in sizes)

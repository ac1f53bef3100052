"""Runs, the versions that they read and wrote, and the consumers of versions, as rows of the catalog."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.decoding import to_version
from foldstore.datastore.catalog.records import ConsumerRecord, NamedVersion, RunLink, RunRecord, VersionRecord
from foldstore.errors import AlreadyExistsError, CorruptObjectError, NotFoundError, UsageError

INPUT: Final = "input"
OUTPUT: Final = "output"
RUNNING: Final = "running"

# SQLite allows 32,766 bound values in a statement; lookups by many ids go in runs of this size.
_IN_LIMIT: Final = 5_000


def insert_run(catalog: Catalog, run: RunRecord) -> None:
    """Write a run; it is on disk when this returns.

    Raises
    ------
    AlreadyExistsError
        When there is one of its id.
    """
    values = {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "author": run.author,
        "message": run.message,
        "params": canonical_json(run.params),
        "code": canonical_json(run.code),
        "environment": canonical_json(run.environment),
        "error": canonical_json(run.error) if run.error else None,
        "repeats_id": run.repeats_id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }
    with catalog.write() as connection:
        if connection.execute(sa.select(t.run.c.id).where(t.run.c.id == run.id)).first() is not None:
            raise AlreadyExistsError(f"There is a run {run.id} already.", hint="Resume it, or begin another.")
        connection.execute(sa.insert(t.run).values(**values))


def end_run(catalog: Catalog, run_id: str, status: str, ended_at: str, error: dict[str, str] | None = None) -> bool:
    """Say how a run ended; False when it had ended already."""
    query = (
        sa.update(t.run)
        .where(t.run.c.id == run_id, t.run.c.status == RUNNING)
        .values(status=status, ended_at=ended_at, error=canonical_json(error) if error else None)
    )
    with catalog.write() as connection:
        return connection.execute(query).rowcount == 1


def find_runs(catalog: Catalog, prefix: str, limit: int = 2) -> list[RunRecord]:
    """List the runs whose ids begin with some hexadecimal digits."""
    query = sa.select(t.run).where(t.run.c.id.startswith(prefix, autoescape=True)).order_by(t.run.c.id).limit(limit)
    with catalog.read() as connection:
        return [_to_run(row) for row in connection.execute(query)]


def list_runs(
    catalog: Catalog, *, name: str | None = None, status: str | None = None, limit: int | None = None
) -> list[RunRecord]:
    """List runs, newest first."""
    query = sa.select(t.run).order_by(t.run.c.started_at.desc(), t.run.c.id).limit(limit)
    if name is not None:
        query = query.where(t.run.c.name == name)
    if status is not None:
        query = query.where(t.run.c.status == status)
    with catalog.read() as connection:
        return [_to_run(row) for row in connection.execute(query)]


def read_runs(catalog: Catalog, run_ids: Sequence[str]) -> dict[str, RunRecord]:
    """Return runs by id; unknown ids are left out."""
    rows = _select_in(catalog, t.run.c.id, run_ids, lambda condition: sa.select(t.run).where(condition))
    return {row.id: _to_run(row) for row in rows}


def add_link(catalog: Catalog, link: RunLink, *, at_end: bool = False) -> bool:
    """Write that a run read or wrote a version.

    A version has one run that wrote it: a second one that is given the same version back (an idempotency key
    does that) did not write it. False says that nothing was written for that reason.

    Parameters
    ----------
    at_end : bool
        Whether the link goes behind those that are there, whoever wrote them, unless it is one of them.
    """
    values = {
        "run_id": link.run_id,
        "role": link.role,
        "position": link.position,
        "version_id": link.version_id,
        "address": link.address,
    }
    producers = sa.select(t.run_version.c.run_id).where(
        t.run_version.c.role == OUTPUT,
        t.run_version.c.version_id == link.version_id,
        t.run_version.c.address == link.address,
        t.run_version.c.run_id != link.run_id,
    )
    with catalog.write() as connection:
        if link.role == OUTPUT and connection.execute(producers.limit(1)).first() is not None:
            return False
        if at_end:
            known = connection.execute(_own_links(link)).all()
            if any((row.version_id, row.address) == (link.version_id, link.address) for row in known):
                return True
            values["position"] = max((row.position for row in known), default=-1) + 1
        connection.execute(sa.insert(t.run_version).values(**values))
    return True


def _own_links(link: RunLink) -> sa.Select[Any]:
    c = t.run_version.c
    return sa.select(c.position, c.version_id, c.address).where(c.run_id == link.run_id, c.role == link.role)


def list_links(
    catalog: Catalog,
    *,
    runs: Sequence[str] = (),
    versions: Sequence[str] = (),
    addresses: Sequence[str] = (),
    role: str | None = None,
) -> list[RunLink]:
    """List the links of some runs, of some versions or of some addresses, in the order of each run."""
    c = t.run_version.c
    query = sa.select(t.run_version).order_by(c.run_id, c.role, c.position)
    if role is not None:
        query = query.where(c.role == role)
    wanted = ((c.run_id, runs), (c.version_id, versions), (c.address, addresses))
    rows = [row for column, values in wanted for row in _select_in(catalog, column, values, query.where)]
    return [RunLink(**row._mapping) for row in rows]  # noqa: SLF001  # a row as a mapping


def add_consumers(catalog: Catalog, consumers: Sequence[ConsumerRecord]) -> None:
    """Register consumers; those that are registered already stay as they are.

    Raises
    ------
    NotFoundError
        When a version does not exist.
    UsageError
        When retention has given a version up: nothing can keep it any more.
    """
    with catalog.write() as connection:
        for each in consumers:
            _check_kept(connection, each.version_id)
            same = _same_consumer(each.version_id, each.kind, each.name)
            if connection.execute(sa.select(t.consumer.c.name).where(same)).first() is None:
                connection.execute(
                    sa.insert(t.consumer).values(
                        version_id=each.version_id,
                        kind=each.kind,
                        name=each.name,
                        reason=each.reason,
                        author=each.author,
                        created_at=each.created_at,
                    )
                )


def remove_consumer(catalog: Catalog, version_id: str, kind: str, name: str) -> bool:
    """Take a consumer's claim back; False when there was none."""
    with catalog.write() as connection:
        return connection.execute(sa.delete(t.consumer).where(_same_consumer(version_id, kind, name))).rowcount == 1


def list_consumers(
    catalog: Catalog, *, versions: Sequence[str] | None = None, kind: str | None = None, name: str | None = None
) -> list[ConsumerRecord]:
    """List consumers: of some versions, of a kind, of a name, or all."""
    c = t.consumer.c
    query = sa.select(t.consumer).order_by(c.kind, c.name, c.created_at, c.version_id)
    if kind is not None:
        query = query.where(c.kind == kind)
    if name is not None:
        query = query.where(c.name == name)
    if versions is not None:
        rows = _select_in(catalog, c.version_id, versions, query.where)
    else:
        with catalog.read() as connection:
            rows = list(connection.execute(query))
    return [ConsumerRecord(**row._mapping) for row in rows]  # noqa: SLF001  # a row as a mapping


def read_versions(catalog: Catalog, version_ids: Sequence[str]) -> dict[str, NamedVersion]:
    """Return versions, with the names of their datasets, by id; unknown ids are left out."""
    found = _name_versions(catalog, _select_in(catalog, t.version.c.id, version_ids, sa.select(t.version).where))
    return {each.version.id: each for each in found}


def list_children(catalog: Catalog, version_ids: Sequence[str]) -> list[VersionRecord]:
    """List the versions whose parent, or other side of a merge, is one of some versions."""
    columns = (t.version.c.parent_id, t.version.c.merge_parent_id)
    return [
        to_version(row)
        for column in columns
        for row in _select_in(catalog, column, version_ids, sa.select(t.version).where)
    ]


def list_versions_with_property(catalog: Catalog, name: str) -> list[NamedVersion]:
    """List the versions that have a property, oldest first."""
    marked = t.version.c.properties.contains(canonical_json(name) + ":", autoescape=True)
    query = sa.select(t.version).where(marked).order_by(t.version.c.created_at, t.version.c.id)
    with catalog.read() as connection:
        rows = connection.execute(query).all()
    # The text may stand deeper, inside another property.
    return [each for each in _name_versions(catalog, rows) if name in each.version.properties]


def find_versions_by_address(catalog: Catalog, addresses: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return version ids by the name of the dataset and the number; unknown ones are left out."""
    wanted = set(addresses)
    names = sorted({name for name, _ in wanted})

    def select(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
        numbers = sorted({number for _, number in wanted})
        query = sa.select(t.version.c.id, t.version.c.number, t.dataset.c.name).join(t.dataset).where(condition)
        # A few numbers narrow the rows; many would be more values than a statement takes.
        return query.where(t.version.c.number.in_(numbers)) if len(numbers) <= _IN_LIMIT else query

    rows = _select_in(catalog, t.dataset.c.name, names, select)
    return {(row.name, row.number): row.id for row in rows if (row.name, row.number) in wanted}


def _name_versions(catalog: Catalog, rows: Iterable[sa.Row[Any]]) -> list[NamedVersion]:
    versions = [to_version(row) for row in rows]
    ids = sorted({version.dataset_id for version in versions})
    datasets = _select_in(catalog, t.dataset.c.id, ids, sa.select(t.dataset.c.id, t.dataset.c.name).where)
    names = {row.id: row.name for row in datasets}
    return [NamedVersion(names[version.dataset_id], version) for version in versions]


def _check_kept(connection: sa.Connection, version_id: str) -> None:
    # The lock holds off a collector that is about to give the version up (PostgreSQL; SQLite has one writer).
    query = sa.select(t.version.c.number, t.version.c.expired_at).where(t.version.c.id == version_id)
    row = connection.execute(query.with_for_update(read=True)).first()
    if row is None:
        raise NotFoundError("There is no such version.", hint="store.version('name@1') finds one.", version=version_id)
    if row.expired_at is not None:
        raise UsageError(
            f"Version {row.number} was given up at {row.expired_at}: nothing can keep it.",
            hint="Register with a version that is still there.",
            code="version-expired",
        )


def _same_consumer(version_id: str, kind: str, name: str) -> sa.ColumnElement[bool]:
    c = t.consumer.c
    return sa.and_(c.version_id == version_id, c.kind == kind, c.name == name)


def _select_in(
    catalog: Catalog,
    column: sa.ColumnElement[Any],
    values: Sequence[Any],
    select: Callable[[sa.ColumnElement[bool]], sa.Select[Any]],
) -> list[sa.Row[Any]]:
    """Return the rows whose column is one of some values, however many there are."""
    if not values:
        return []
    with catalog.read() as connection:
        return [
            row
            for start in range(0, len(values), _IN_LIMIT)
            for row in connection.execute(select(column.in_(values[start : start + _IN_LIMIT])))
        ]


def _to_run(row: sa.Row[Any]) -> RunRecord:
    values = dict(row._mapping)  # noqa: SLF001  # the documented name for a row as a mapping
    try:
        for name in ("params", "code", "environment"):
            values[name] = json.loads(values[name])
        values["error"] = json.loads(values["error"]) if values["error"] is not None else None
    except ValueError as error:
        raise CorruptObjectError(
            f"The catalog's row of run {row.id} is damaged: {error}.", hint="Restore the catalog from a backup."
        ) from error
    return RunRecord(**values)

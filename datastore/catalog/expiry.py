"""Versions that give their rows up: what retention says of a dataset, done in one SQL transaction.

The version's row stays, with its number and its time of expiry; its pages go when no other version lists them,
and the deletion bitmaps with the pages. Objects are the collector's next step.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.decoding import to_version
from foldstore.datastore.catalog.garbage import (
    STREAM,
    Moment,
    find_held,
    find_lapsed,
    is_confirmed,
    list_lost,
    read_notes,
    runs,
)
from foldstore.datastore.catalog.journal import Journal
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.roots import find_roots
from foldstore.datastore.retention import (
    Line,
    Parting,
    RetentionPolicy,
    Weights,
    choose_expired,
    choose_oldest,
    newest_published,
)
from foldstore.types import Status

POLICY: Final = "retention"
# Versions of one SQL transaction; the next one takes the rest.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What expires in a dataset now, and what is on its way out."""

    going: tuple[Parting, ...] = ()
    waiting: tuple[Parting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What goes with some versions."""

    pages: int = 0
    deletions: int = 0
    objects: int = 0
    num_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Versions that gave their rows up.

    Attributes
    ----------
    touched : tuple of VersionRecord
        They and their children: their commit objects say something else now.
    """

    partings: tuple[Parting, ...] = ()
    freed: Freed = field(default_factory=Freed)
    touched: tuple[VersionRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a plan is made from.

    Attributes
    ----------
    roots : collection of str
        Versions that must stay.
    notes : mapping of str to str
        When a version was first found to be on its way out.
    lapsed, over : tuple of str
        Leases that have run out; those among them that an earlier run found so already.
    """

    moment: Moment
    roots: Collection[str]
    notes: Mapping[str, str]
    lapsed: tuple[str, ...] = ()
    over: tuple[str, ...] = ()


def find_policy(connection: sa.Connection, dataset: str) -> RetentionPolicy:
    """Return the newest retention policy of a dataset; an empty one keeps everything that is reached."""
    query = (
        sa.select(t.document.c.body)
        .where(t.document.c.kind == POLICY, t.document.c.name == dataset)
        .order_by(t.document.c.version.desc())
        .limit(1)
    )
    body = connection.execute(query).scalar()
    return RetentionPolicy.from_dict(json.loads(body)) if body else RetentionPolicy()


def plan_dataset(connection: sa.Connection, dataset: DatasetRecord, outlook: Outlook) -> Plan:
    """Say which versions of a dataset expire."""
    lines = _read_lines(connection, dataset.id)
    policy = find_policy(connection, dataset.name)
    refs = connection.execute(sa.select(t.ref).where(t.ref.c.dataset_id == dataset.id)).all()
    branches = [row.version_id for row in refs if row.kind == "branch" and row.version_id]
    found = choose_expired(
        lines,
        policy,
        branches=branches,
        refs=[row.version_id for row in refs if row.version_id],
        kept=outlook.roots,
        now=outlook.moment.now,
    )
    going = [each for each in found if each.at_once or is_confirmed(outlook.notes, each.line.id, outlook.moment)]
    known = {each.line.id for each in going}
    waiting = tuple(each for each in found if each.line.id not in known)
    if policy.max_bytes is not None:
        stay = {*outlook.roots, *known, *(newest_published(lines, head) or "" for head in branches)}
        usual = (Status.PUBLISHED, Status.DEPRECATED)
        oldest = [e for e in lines.values() if not e.expired and e.id not in stay and e.status in usual]
        left = [e for e in lines.values() if not e.expired and e.id not in known]
        going += choose_oldest(oldest, policy, _weigh(connection, left, {each.id for each in oldest}))
    return Plan(going=tuple(going), waiting=waiting)


def look(connection: sa.Connection, moment: Moment) -> Outlook:
    """Find the roots and the notes; leases that an earlier run found to have run out hold nothing any more."""
    notes = read_notes(connection)
    lapsed = find_lapsed(connection, moment)
    over = [each for each in lapsed if is_confirmed(notes, each, moment)]
    roots = find_roots(connection, {*over, *list_lost(connection, moment)})
    return Outlook(moment=moment, roots=roots, notes=notes, lapsed=tuple(lapsed), over=tuple(over))


def expire_dataset(catalog: Catalog, journal: Journal, dataset: DatasetRecord, moment: Moment, actor: str) -> Expiry:
    """Let the versions of a dataset expire whose time it is, some hundreds at once.

    The plan is made anew under the locks: a tag, a pin or a lease that came meanwhile counts.
    """
    with catalog.write() as connection:
        # Where databases lock rows: no commit lists a page, and nobody pins a version, until this has ended.
        connection.execute(sa.select(t.dataset.c.id).order_by(t.dataset.c.id).with_for_update()).all()
        mine = sa.select(t.version.c.id).where(t.version.c.dataset_id == dataset.id)
        connection.execute(mine.order_by(t.version.c.id).with_for_update()).all()
        plan = plan_dataset(connection, dataset, look(connection, moment))
        partings = plan.going[:_AT_ONCE]
        if not partings:
            return Expiry()
        ids = [each.line.id for each in partings]
        freed = _release(connection, ids)
        touched = _mark_expired(connection, ids, moment)
        body = {
            "act": "expire",
            "dataset": dataset.id,
            "versions": {each.line.id: each.reason for each in partings},
            "numbers": [each.line.number for each in partings],
        }
        journal.append(connection, STREAM, body, actor=actor, created_at=moment.text)
    return Expiry(partings=partings, freed=freed, touched=tuple(touched))


def find_reason(catalog: Catalog, version_id: str) -> str | None:
    """Return why a version expired, as the journal has it."""
    query = sa.select(t.journal.c.body).where(
        t.journal.c.stream == STREAM, t.journal.c.body.contains(version_id, autoescape=True)
    )
    with catalog.read() as connection:
        for row in connection.execute(query):
            reason = json.loads(row.body).get("versions", {}).get(version_id)
            if reason is not None:
                return str(reason)
    return None


def forecast(connection: sa.Connection, version_ids: Sequence[str], *, held: bool = True) -> Freed:
    """Say what would go with some versions; nothing is locked or changed.

    Parameters
    ----------
    held : bool
        Whether objects count that commits under way hold.
    """
    pages = _only_of(connection, t.version_page.c.version_id, t.version_page.c.page_hash, version_ids)
    deletions = _only_of(connection, t.page_deletion.c.page_hash, t.page_deletion.c.deletion_hash, pages)
    objects = _only_of(connection, t.page_object.c.page_hash, t.page_object.c.object_id, pages)
    if not held:
        kept = find_held(connection, objects)
        objects = [each for each in objects if each not in kept]
    return Freed(
        pages=len(pages),
        deletions=len(deletions),
        objects=len(objects),
        num_bytes=_sum_bytes(connection, objects),
    )


def _read_lines(connection: sa.Connection, dataset_id: str) -> dict[str, Line]:
    v = t.version.c
    columns = (v.id, v.number, v.parent_id, v.merge_parent_id, v.status, v.created_at, v.expired_at)
    rows = connection.execute(sa.select(*columns).where(v.dataset_id == dataset_id).order_by(v.number))
    return {row.id: Line(*row[:6], expired=row.expired_at is not None) for row in rows}


def _weigh(connection: sa.Connection, lines: Sequence[Line], movable: Collection[str]) -> Weights:
    """Find how many bytes go when versions go, oldest first; files of versions that stay go with none."""
    last: dict[str, float] = {}
    numbers = {line.id: float(line.number) if line.id in movable else float("inf") for line in lines}
    for run in runs(numbers):
        query = sa.select(t.version_page.c.version_id, t.version_page.c.page_hash)
        for row in connection.execute(query.where(t.version_page.c.version_id.in_(run))):
            last[row.page_hash] = max(last.get(row.page_hash, 0.0), numbers[row.version_id])
    use: dict[str, tuple[float, int]] = {}
    size = sa.func.coalesce(t.stored_object.c.cold_bytes, t.stored_object.c.num_bytes).label("size")
    listed = sa.select(t.page_object.c.page_hash, t.page_object.c.object_id, size).join(
        t.stored_object, t.stored_object.c.id == t.page_object.c.object_id
    )
    for run in runs(last):
        for page_hash, object_id, size_bytes in connection.execute(listed.where(t.page_object.c.page_hash.in_(run))):
            before = use.get(object_id, (0.0, 0))[0]
            use[object_id] = (max(before, last[page_hash]), size_bytes)
    weights: Counter[int] = Counter()
    for number, size_bytes in use.values():
        if number < float("inf"):
            weights[int(number)] += size_bytes
    return Weights(total=sum(size_bytes for _, size_bytes in use.values()), last_use=weights)


def _release(connection: sa.Connection, version_ids: Sequence[str]) -> Freed:
    """Remove the pages that only some versions list, and the bitmaps that only these pages name."""
    pages = _only_of(connection, t.version_page.c.version_id, t.version_page.c.page_hash, version_ids)
    deletions = _only_of(connection, t.page_deletion.c.page_hash, t.page_deletion.c.deletion_hash, pages)
    objects = _only_of(connection, t.page_object.c.page_hash, t.page_object.c.object_id, pages)
    for run in runs(version_ids):
        connection.execute(sa.delete(t.version_page).where(t.version_page.c.version_id.in_(run)))
    for run in runs(pages):
        for table in (t.page_object, t.page_deletion):
            connection.execute(sa.delete(table).where(table.c.page_hash.in_(run)))
        connection.execute(sa.delete(t.page).where(t.page.c.hash.in_(run)))
    for run in runs(deletions):
        connection.execute(sa.delete(t.deletion).where(t.deletion.c.hash.in_(run)))
    freed = _sum_bytes(connection, objects)
    return Freed(pages=len(pages), deletions=len(deletions), objects=len(objects), num_bytes=freed)


def _only_of(
    connection: sa.Connection, holder: sa.Column[Any], held: sa.Column[Any], holders: Sequence[str]
) -> list[str]:
    """Return what only some holders hold, by comparing how often they hold it with how often anyone does."""
    count = sa.func.count()
    here: Counter[str] = Counter()
    for run in runs(holders):
        for row in connection.execute(sa.select(held, count).where(holder.in_(run)).group_by(held)):
            here[row[0]] += row[1]
    alone = []
    for run in runs(here):
        for row in connection.execute(sa.select(held, count).where(held.in_(run)).group_by(held)):
            alone += [row[0]] if row[1] == here[row[0]] else []
    return sorted(alone)


def _sum_bytes(connection: sa.Connection, object_ids: Sequence[str]) -> int:
    size = sa.func.coalesce(t.stored_object.c.cold_bytes, t.stored_object.c.num_bytes)
    total = 0
    for run in runs(object_ids):
        total += int(
            connection.execute(sa.select(sa.func.sum(size)).where(t.stored_object.c.id.in_(run))).scalar() or 0
        )
    return total


def _mark_expired(connection: sa.Connection, version_ids: Sequence[str], moment: Moment) -> list[VersionRecord]:
    touched: dict[str, VersionRecord] = {}
    for run in runs(version_ids):
        gone = sa.update(t.version).where(t.version.c.id.in_(run))
        connection.execute(gone.values(expired_at=moment.text, recorded=False))
        connection.execute(sa.update(t.version).where(t.version.c.parent_id.in_(run)).values(recorded=False))
    for run in runs(version_ids):
        either = sa.or_(t.version.c.id.in_(run), t.version.c.parent_id.in_(run))
        for row in connection.execute(sa.select(t.version).where(either)):
            touched[row.id] = to_version(row)
    return list(touched.values())

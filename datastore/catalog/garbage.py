"""The catalog's half of collection: which versions expire, which objects nothing needs, and their removal.

Nothing is removed on one sight. What a clock says (an age, a lease that ran out) or an absence (no branch reaches a
version) is noted first, and counts when a later run, at least the grace after, finds it still so. Objects are
condemned by one run and removed by a later one. Every removal asks again, under the locks, whether it is so.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from foldstore.datastore.catalog import tables as t
from foldstore.datastore.catalog.catalog import Catalog
from foldstore.datastore.catalog.commits import LEASE
from foldstore.datastore.catalog.journal import Journal
from foldstore.types import format_time

STREAM: Final = "gc"
_NOTE: Final = "gc/"
# Ids bound in one statement; SQLite allows 32,766 values.
_IN_RUN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a run looks, and how long ago something must have been noted to count."""

    now: datetime
    grace: timedelta

    @property
    def text(self) -> str:
        """The time of the run, as the catalog keeps times."""
        return format_time(self.now)

    @property
    def cutoff(self) -> str:
        """What was noted until then counts."""
        return format_time(self.now - self.grace)


@dataclass(frozen=True, slots=True)
class Unneeded:
    """An object that no page lists and no transaction under way holds."""

    id: str
    num_bytes: int
    condemned_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one removal took away."""

    object_ids: tuple[str, ...] = ()
    num_bytes: int = 0
    derived: int = 0


def read_notes(connection: sa.Connection) -> dict[str, str]:
    """Return when each version or lease was first found to be on its way out, by id."""
    rows = connection.execute(sa.select(t.store).where(t.store.c.key.like(f"{_NOTE}%")))
    return {row.key.removeprefix(_NOTE): row.value for row in rows}


def write_notes(connection: sa.Connection, found: Collection[str], known: Mapping[str, str], moment: Moment) -> None:
    """Note what was found now; forget what was noted and is no longer so.

    A note from the future was written by a clock that was ahead: its time begins anew.
    """
    fresh = [each for each in found if each not in known or known[each] > moment.text]
    stale = [each for each in known if each not in found or known[each] > moment.text]
    for run in runs(stale):
        connection.execute(sa.delete(t.store).where(t.store.c.key.in_([_NOTE + each for each in run])))
    if fresh:
        connection.execute(sa.insert(t.store), [{"key": _NOTE + each, "value": moment.text} for each in fresh])


def is_confirmed(notes: Mapping[str, str], found: str, moment: Moment) -> bool:
    """Say whether an earlier run noted this, at least the grace ago."""
    return found in notes and notes[found] <= moment.cutoff


def find_lapsed(connection: sa.Connection, moment: Moment) -> list[str]:
    """List the leases of readers that have run out."""
    query = sa.select(t.lease.c.id).where(t.lease.c.lease_until < moment.text)
    return [row.id for row in connection.execute(query)]


def drop_leases(connection: sa.Connection, lease_ids: Sequence[str]) -> None:
    """Forget leases."""
    for run in runs(lease_ids):
        connection.execute(sa.delete(t.lease).where(t.lease.c.id.in_(run)))


def list_lost(connection: sa.Connection, moment: Moment) -> list[str]:
    """List the transactions under way that were silent for longer than their lease."""
    lost = (t.transaction.c.state == "open", t.transaction.c.lease_until < moment.text)
    return [row.id for row in connection.execute(sa.select(t.transaction.c.id).where(*lost))]


def list_finished(connection: sa.Connection, moment: Moment) -> list[str]:
    """List the transactions that ended, one way or the other, and whose lease would be over."""
    ended = (t.transaction.c.state != "open", t.transaction.c.lease_until < moment.text)
    return [row.id for row in connection.execute(sa.select(t.transaction.c.id).where(*ended))]


def give_up_lost(connection: sa.Connection, moment: Moment) -> int:
    """Abort the transactions that lost their lease, and let go of whatever ended ones held; return how many.

    A lease that ends later than one can was written by a clock that was ahead: it begins anew.
    """
    is_open = t.transaction.c.state == "open"
    latest = format_time(moment.now + LEASE)
    ahead = sa.update(t.transaction).where(t.transaction.c.lease_until > latest)
    connection.execute(ahead.values(lease_until=latest))
    lost = sa.update(t.transaction).where(is_open, t.transaction.c.lease_until < moment.text)
    count = connection.execute(lost.values(state="aborted")).rowcount
    ended = ~t.transaction_object.c.transaction_id.in_(_open_transactions())
    connection.execute(sa.delete(t.transaction_object).where(ended))
    return count


def forget_transactions(connection: sa.Connection, transaction_ids: Sequence[str]) -> int:
    """Remove the rows of transactions whose folders are gone; those with staged objects wait for these."""
    staged = sa.select(t.stored_object.c.transaction_id).where(t.stored_object.c.state == "staged")
    gone = 0
    for run in runs(transaction_ids):
        these = t.transaction.c.id.in_(run)
        held = sa.delete(t.transaction_object).where(t.transaction_object.c.transaction_id.in_(run))
        connection.execute(held)
        done = sa.delete(t.transaction).where(these, t.transaction.c.state != "open", ~t.transaction.c.id.in_(staged))
        gone += connection.execute(done).rowcount
    return gone


def list_unneeded(connection: sa.Connection) -> list[Unneeded]:
    """List the objects that no page lists and no transaction under way holds, by id."""
    columns = (t.stored_object.c.id, t.stored_object.c.num_bytes, t.stored_object.c.condemned_at)
    query = sa.select(*columns).where(_is_unneeded()).order_by(t.stored_object.c.id)
    return [Unneeded(row.id, row.num_bytes, row.condemned_at) for row in connection.execute(query)]


def find_held(connection: sa.Connection, object_ids: Sequence[str]) -> set[str]:
    """Return those of some objects that transactions under way hold."""
    found: set[str] = set()
    for run in runs(object_ids):
        query = sa.select(t.transaction_object.c.object_id).where(
            t.transaction_object.c.object_id.in_(run),
            t.transaction_object.c.transaction_id.in_(_open_transactions()),
        )
        found.update(row.object_id for row in connection.execute(query))
    return found


def absolve(connection: sa.Connection) -> int:
    """Take back that objects are condemned which something needs again."""
    needed = sa.update(t.stored_object).where(t.stored_object.c.condemned_at.is_not(None), ~_is_unneeded())
    return connection.execute(needed.values(condemned_at=None)).rowcount


def condemn(connection: sa.Connection, object_ids: Sequence[str], moment: Moment) -> tuple[int, int]:
    """Condemn those of some objects that nothing needs; return how many, and their bytes.

    One that was condemned by a clock that was ahead is condemned anew.
    """
    found = _lock_unneeded(connection, object_ids)
    fresh = [each for each in found if each.condemned_at is None or each.condemned_at > moment.text]
    for run in runs([each.id for each in fresh]):
        these = sa.update(t.stored_object).where(t.stored_object.c.id.in_(run))
        connection.execute(these.values(condemned_at=moment.text))
    new = [each for each in fresh if each.condemned_at is None]
    return len(new), sum(each.num_bytes for each in new)


def sweep(
    catalog: Catalog,
    journal: Journal,
    object_ids: Sequence[str],
    moment: Moment,
    actor: str,
    unlink: Callable[[list[str]], None],
) -> Swept:
    """Remove those of some objects that were condemned long enough ago and that nothing needs.

    The files go while the transaction is open: whoever wants one of them in the meantime waits, and then finds
    that the catalog does not know it, or that it stayed. A crash in between leaves rows without files, which stay
    condemned; the next sweep takes them, and a commit that uses one again brings the file.
    """
    with catalog.write() as connection:
        found = _lock_unneeded(connection, object_ids)
        going = [each for each in found if each.condemned_at is not None and each.condemned_at <= moment.cutoff]
        if not going:
            return Swept()
        ids = [each.id for each in going]
        derived = 0
        for run in runs(ids):
            derived += connection.execute(sa.delete(t.derived).where(t.derived.c.object_id.in_(run))).rowcount
            connection.execute(sa.delete(t.stored_object).where(t.stored_object.c.id.in_(run)))
        swept = Swept(object_ids=tuple(ids), num_bytes=sum(each.num_bytes for each in going), derived=derived)
        body = {"act": "remove", "objects": ids, "bytes": swept.num_bytes}
        journal.append(connection, STREAM, body, actor=actor, created_at=moment.text)
        unlink(ids)
    return swept


def runs(ids: Iterable[str], size: int = _IN_RUN) -> list[list[str]]:
    """Cut ids into pieces that one statement takes."""
    found = list(ids)
    return [found[start : start + size] for start in range(0, len(found), size)]


def _lock_unneeded(connection: sa.Connection, object_ids: Sequence[str]) -> list[Unneeded]:
    """Lock some objects, and only then ask which of them nothing needs."""
    found: list[Unneeded] = []
    columns = (t.stored_object.c.id, t.stored_object.c.num_bytes, t.stored_object.c.condemned_at)
    for run in runs(sorted(object_ids)):
        these = sa.select(*columns).where(t.stored_object.c.id.in_(run)).order_by(t.stored_object.c.id)
        connection.execute(these.with_for_update()).all()
        rows = connection.execute(these.where(_is_unneeded()))
        found += [Unneeded(row.id, row.num_bytes, row.condemned_at) for row in rows]
    return found


def _open_transactions() -> sa.Select[Any]:
    return sa.select(t.transaction.c.id).where(t.transaction.c.state == "open")


def _is_unneeded() -> sa.ColumnElement[bool]:
    # A run gives up lost transactions before it asks this: each one that is open holds its objects.
    listed = sa.exists().where(t.page_object.c.object_id == t.stored_object.c.id)
    held = sa.exists().where(
        t.transaction_object.c.object_id == t.stored_object.c.id,
        t.transaction_object.c.transaction_id.in_(_open_transactions()),
    )
    staged = sa.and_(t.stored_object.c.state == "staged", t.stored_object.c.transaction_id.in_(_open_transactions()))
    return sa.and_(~listed, ~held, ~staged)

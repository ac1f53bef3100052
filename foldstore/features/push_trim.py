"""Drops pushed rows that count nowhere any more, when a version has caught up with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from foldstore.errors import CorruptObjectError, UnreadableError
from foldstore.features.layouts import Base, Layouts, Served
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.pushed_rows import identify, is_delete, read_key_of
from foldstore.views.online.store import OnlineStore, StoredRow, unpack_order


@dataclass(frozen=True, slots=True)
class _Base:
    """The files that lie under pushed rows for one service, and the newest push that they knew of."""

    reader: Base
    known: int


def trim_pushes(layouts: Layouts, done: Served) -> int:
    """Remove the pushed rows of a service's views that no service needs; return how many.

    A row stays while it is newer than all that one service's version has of the entity, or came after that version
    was read. Of several such that came before it the newest stays: what was pushed in between is history that only
    the dataset keeps. Of windows none stays: a version that was read later has all of their steps. All stay while the
    file of some service cannot be read: what that service needs of them is not known.
    """
    store = layouts.pushes
    if store is None:
        return 0
    removed = 0
    pushed = [view for view in done.views.values() if store.state(identify(view))[0]]
    everybody = list(layouts.list_served()) if pushed else []
    for view in pushed:
        view_id = identify(view)
        try:
            bases = list(_bases(layouts, everybody, view_id, store))
            dead = [(row.entity, row.order) for row in _dead_rows(store, view, bases)]
        except (UnreadableError, CorruptObjectError):  # the next materialization of that service mends it
            continue
        removed += store.trim(view_id, dead, min(base.known for base in bases)) if dead else 0
    return removed


def _bases(layouts: Layouts, everybody: Sequence[Served], view_id: bytes, store: OnlineStore) -> Iterator[_Base]:
    for served in everybody:
        for name, view in served.views.items():
            if identify(view) == view_id:
                yield _Base(layouts.open_base(served.files_of(name)), served.known(store))


def _dead_rows(store: OnlineStore, view: FeatureView, bases: Sequence[_Base]) -> Iterator[StoredRow]:
    hasher = KeyHasher(view.keys, "")
    for _, group in groupby(store.rows(identify(view)), key=lambda row: row.entity):
        rows = list(group)
        key = hasher.decode(read_key_of(rows[0]))
        latest = [(base.reader.latest(key), base.known) for base in bases]
        old = [row for row in rows if all(unpack_order(row.order)[2] <= known for _, known in latest)]
        for row in old:
            event, created, _ = unpack_order(row.order)
            caught_up = all(newest is not None and (event, created) <= newest for newest, _ in latest)
            deletes_nothing = is_delete(row) and row is rows[0] and all(newest is None for newest, _ in latest)
            if caught_up or deletes_nothing or row is not old[-1] or view.aggregations:
                yield row

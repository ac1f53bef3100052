"""Which rows of a feature table an online file has, and in which order: by key hash, event time, created time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.key_encoder import key_column
from foldstore.views.online.key_hash import KeyHasher
from foldstore.views.online.store import UNKNOWN_TIME
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.time_column import to_nanoseconds

_Words = NDArray[np.uint64]
_Integers = NDArray[np.int64]

_PACKED_LIMIT: Final = 2**63


class SharedHashError(Exception):
    """Two keys have one hash: another salt has to be taken."""


def salt_of(number: int) -> str:
    """Return the salt of a number; a file has the first under which no two of its keys share a hash."""
    return f"online/{number}"


def hash_rows(table: pa.Table, view: FeatureView, salt: str) -> _Words:
    """Return the hash of each row's key, whatever it is of a row with a null in it."""
    return hash_keys([key_column(table.column(name), name, kind) for name, kind in view.keys.items()], salt)


@dataclass(frozen=True, slots=True)
class SortedRows:
    """The rows of a table that go into a file, in its order.

    Attributes
    ----------
    rows : ndarray of int64
        Their places in the table.
    hashes, events : ndarray
        The hash of each row's key, and its event time in nanoseconds.
    keys : tuple of Array
        The key columns of the table, in the entity's types.
    salt : str
        What the hashes are salted with.
    num_entities : int
        How many keys there are.
    """

    rows: _Integers
    hashes: _Words
    events: _Integers
    keys: tuple[pa.Array, ...]
    salt: str
    num_entities: int


def sort_rows(table: pa.Table, view: FeatureView, since: int | None = None, salt: str | None = None) -> SortedRows:
    """Sort the rows that a lookup from `since` on can find; without a salt, under the first that will do.

    Raises
    ------
    SharedHashError
        When two keys share a hash under the salt that was given.
    """
    keys = tuple(key_column(table.column(name), name, kind) for name, kind in view.keys.items())
    events = to_nanoseconds(table.column(view.event_time), where=f"Event time {view.event_time!r}")
    usable = np.ones(table.num_rows, dtype=np.bool_) if events.nulls is None else ~events.nulls
    for key in keys:
        if key.null_count:
            usable &= key.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(usable)
    salt, hashes, order = _order_by_key(keys, rows, salt) if keys else _all_of_one(rows)
    rows = rows[order]
    entity = np.cumsum(np.concatenate([[0], hashes[1:] != hashes[:-1]])) if len(rows) else rows
    if len(rows) and int(entity[-1]) + 1 < len(rows):
        rows = rows[_order_by_time(entity, events.values[rows], created_times(table, view, rows), rows)]
    keep = _kept(entity, events.values[rows], since)
    return SortedRows(
        rows[keep],
        hashes[keep],
        events.values[rows[keep]],
        keys,
        salt,
        int(entity[-1]) + 1 if len(rows) else 0,
    )


def _order_by_key(keys: Sequence[pa.Array], rows: _Integers, given: str | None) -> tuple[str, _Words, _Integers]:
    """Hash the keys and sort by the hashes."""
    number = 0
    while True:
        salt = salt_of(number) if given is None else given
        hashes = hash_keys(list(keys), salt)[rows]
        order = np.argsort(hashes)
        hashes = hashes[order]
        if not _collide(keys, rows[order], hashes):
            return salt, hashes, order
        if given is not None:
            raise SharedHashError
        number += 1


def _all_of_one(rows: _Integers) -> tuple[str, _Words, _Integers]:
    """Give the rows of a view without keys the one hash that a lookup without keys has."""
    salt = salt_of(0)
    return salt, np.full(len(rows), KeyHasher({}, salt).hash_one(()), np.uint64), np.arange(len(rows))


def _collide(keys: Sequence[pa.Array], rows: _Integers, hashes: _Words) -> bool:
    """Say whether neighbours of one hash have different keys."""
    same = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not len(same):
        return False
    before, after = pa.array(rows[same]), pa.array(rows[same + 1])
    return any(pc.any(pc.not_equal(key.take(before), key.take(after))).as_py() for key in keys)


def created_times(table: pa.Table, view: FeatureView, rows: _Integers) -> _Integers | None:
    """Return when some rows were written down, in nanoseconds; None for a view without created times."""
    if view.created_time is None:
        return None
    known = to_nanoseconds(table.column(view.created_time), where=f"Created time {view.created_time!r}")
    values = known.values if known.nulls is None else np.where(known.nulls, UNKNOWN_TIME, known.values)
    return values[rows]


def _order_by_time(entity: _Integers, events: _Integers, created: _Integers | None, rows: _Integers) -> _Integers:
    """Sort the rows of each entity by event time, then created time, then write order."""
    low = int(events.min())
    width = int(events.max()) - low + 1
    if (int(entity[-1]) + 1) * width >= _PACKED_LIMIT:
        ranks = np.unique(events)
        offsets, width = np.searchsorted(ranks, events), len(ranks)
    else:
        offsets = events - low
    packed = entity * width + offsets
    order = np.argsort(packed)
    packed = packed[order]
    tied = np.zeros(len(packed), dtype=np.bool_)
    tied[1:] = packed[1:] == packed[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        # argsort is not stable, and need not be: only equal places are put in order here.
        among = order[places]
        later = rows[among] if created is None else created[among]
        order[places] = among[np.lexsort((rows[among], later, packed[places]))]
    return order


def _kept(entity: _Integers, events: _Integers, since: int | None) -> NDArray[np.bool_]:
    """Say which rows a lookup can find: the last of each entity and event time, from the one in force at `since` on."""
    keep = np.ones(len(events), dtype=np.bool_)
    same_entity = entity[1:] == entity[:-1]
    keep[:-1] = ~(same_entity & (events[1:] == events[:-1]))
    if since is not None:
        keep[:-1] &= ~(same_entity & (events[1:] <= since))
    return keep

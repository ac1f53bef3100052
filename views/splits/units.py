"""What is placed as a whole: the hash of each row's group or key, of its stratum, and of what else ties it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.sharing import Sharing
from foldstore.views.splits.xxh3 import Words

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Keys that tie rows together: rows with equal keys stay together.

    Attributes
    ----------
    hashes : ndarray of uint64
    has : ndarray of bool or None
        Which rows have a key; None for all.
    """

    hashes: Words
    has: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The hashes that decide where rows go.

    Attributes
    ----------
    hashes : ndarray of uint64
        Of each row's unit: its group (the first list), its duplicates or its key.
    strata : ndarray of uint64 or None
        Of its stratum.
    ties : tuple of Keys
        Its groups by other lists, its duplicates beside a group.
    """

    hashes: Words
    strata: Words | None
    ties: tuple[Keys, ...]

    @classmethod
    def join(cls, parts: Sequence["Units"]) -> "Units":
        """Put the units of several tables one after the other."""
        if len(parts) == 1:
            return parts[0]
        hashes = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)])
        stratified = bool(parts) and parts[0].strata is not None
        strata = np.concatenate([part.strata for part in parts if part.strata is not None]) if stratified else None
        columns = zip(*(part.ties for part in parts), strict=True)
        return cls(hashes, strata, tuple(_join_keys(column) for column in columns))


def read_units(spec: Sharing, table: pa.Table) -> Units:
    """Return the units of a table's rows.

    Raises
    ------
    UsageError
        When group columns hold nulls and there is no key to tell those rows apart.
    """
    strata = hash_keys([table.column(name) for name in spec.strata], f"{spec.salt}/stratum") if spec.strata else None
    ties = [_group_keys(spec, table, place) for place in range(1, len(spec.groups))]
    if spec.group_by and spec.duplicates:
        ties.append(Keys(hash_keys([table.column(name) for name in spec.duplicates], f"{spec.salt}/duplicate")))
    return Units(unit_hashes(spec, table), strata, tuple(ties))


def unit_hashes(spec: Sharing, table: pa.Table) -> Words:
    """Return the hash of each row's unit; a row whose group is null is a unit of its own.

    Raises
    ------
    UsageError
        When such a row has no key.
    """
    if not spec.group_by:
        return hash_keys([table.column(name) for name in spec.duplicates or spec.key], spec.salt)
    first = _group_keys(spec, table, 0)
    if first.has is None:
        return first.hashes
    hashes, alone = first.hashes, ~first.has
    if spec.key:
        rows = table.select(list(spec.key)).filter(pa.array(alone))
        # A salt of its own: a row's key must not meet a group's that happens to have the same value.
        hashes[alone] = hash_keys(rows.columns, f"{spec.salt}/row")
        return hashes
    for place in range(1, len(spec.groups)):
        other = _group_keys(spec, table, place)
        found = alone if other.has is None else alone & other.has
        hashes[found] = other.hashes[found]
        alone &= ~found
    if alone.any():
        raise UsageError(
            f"{int(alone.sum()):,} rows have no group, and there is no key to tell them apart.",
            hint="Give key=, the dataset's key: each of them is a group of its own.",
        )
    return hashes


def find_lost(spec: Sharing, table: pa.Table) -> Mask | None:
    """Return which rows have neither a group nor a key, or None when there are none."""
    if not spec.group_by or spec.key:
        return None
    lost = np.ones(table.num_rows, dtype=np.bool_)
    for group in spec.groups:
        columns = [table.column(name) for name in group if name in table.column_names]
        nulls = [column.is_null().to_numpy() for column in columns if column.null_count]
        lost &= np.logical_or.reduce(nulls) if nulls else False
    return lost if lost.any() else None


def _group_keys(spec: Sharing, table: pa.Table, place: int) -> Keys:
    """Return the keys of a list of group columns; a null in any of them is no key."""
    columns = [table.column(name) for name in spec.groups[place]]
    hashes = hash_keys(columns, f"{spec.salt}/group/{place + 1}" if place else spec.salt)
    has: Mask | None = None
    for column in columns:
        if column.null_count:
            valid = column.is_valid().to_numpy()
            has = valid if has is None else has & valid
    return Keys(hashes, has)


def _join_keys(parts: Sequence[Keys]) -> Keys:
    hashes = np.concatenate([part.hashes for part in parts])
    if all(part.has is None for part in parts):
        return Keys(hashes)
    return Keys(hashes, np.concatenate([_all(part) for part in parts]))


def _all(keys: Keys) -> Mask:
    return np.ones(len(keys.hashes), np.bool_) if keys.has is None else keys.has

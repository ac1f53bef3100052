"""Making a split and letting it grow: rows are placed once, and never move.

A split by hash or time looks at each row alone. A fitted one (strata, groups tied by duplicates) looks at all rows
once and remembers where groups went.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError, column_not_found
from foldstore.views.splits.assignment import FragmentMembers, Remembered, SplitAssignment
from foldstore.views.splits.hashing import hash_keys
from foldstore.views.splits.placement import Parts, place_by_hash, place_by_time, place_in_strata, tie_together
from foldstore.views.splits.split import UNASSIGNED, SplitSpec
from foldstore.views.splits.time_column import to_nanoseconds
from foldstore.views.splits.xxh3 import Words


@dataclass(frozen=True, slots=True)
class FragmentRows:
    """The rows of a fragment, as a split sees them.

    Attributes
    ----------
    fragment : str
        The fragment's id.
    table : pyarrow.Table
        All its rows, at least the columns that the specification names.
    selected : ndarray of bool, optional
        Which rows belong to the view that is split; the others stay unassigned.
    """

    fragment: str
    table: pa.Table
    selected: NDArray[np.bool_] | None = None


def fit_split(spec: SplitSpec, fragments: Iterable[FragmentRows]) -> SplitAssignment:
    """Share out the rows of a dataset.

    Raises
    ------
    ColumnNotFoundError
        When a fragment lacks a column that the specification names.
    UsageError
        When group columns hold nulls and there is no key to tell those rows apart.

    Examples
    --------
    >>> spec = SplitSpec("half", dataset="d", train=0.5, test=0.5, key=["id"])
    >>> assignment = fit_split(spec, [FragmentRows("f1", pa.table({"id": range(1000)}))])
    >>> assignment.count("train") + assignment.count("test"), assignment.count("train")
    (1000, 494)
    """
    return extend_split(SplitAssignment(spec, ()), fragments)


def extend_split(assignment: SplitAssignment, fragments: Iterable[FragmentRows]) -> SplitAssignment:
    """Place the rows of new fragments; no row that was placed moves.

    A row of a group that is known follows it. Strata are balanced when the split is fitted, not here: new groups
    follow their hash.

    Raises
    ------
    UsageError
        When a fragment is placed already.
    """
    spec, new = assignment.spec, list(fragments)
    names = [members.fragment for members in assignment.fragments] + [item.fragment for item in new]
    if len(set(names)) != len(names):
        raise UsageError("A fragment is placed already, or given twice.", hint="Give only the new fragments.")
    if not spec.is_fitted:
        placed = [_members(item, _place_alone(spec, _chosen(spec, item))) for item in new]
        return SplitAssignment(spec, (*assignment.fragments, *placed))
    tables = [_chosen(spec, item) for item in new]
    units = [_read_units(spec, table) for table in tables]
    kept = assignment.remembered
    parts, kept = _place_fitted(spec, units, kept)
    bounds = np.cumsum([0, *(table.num_rows for table in tables)]).tolist()
    placed = [_members(item, parts[a:b]) for item, (a, b) in zip(new, pairwise(bounds), strict=True)]
    return SplitAssignment(spec, (*assignment.fragments, *placed), kept)


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """What is placed as a whole, for each row: its group or its key, its stratum, its features."""

    hashes: Words
    strata: Words | None
    duplicates: Words | None


def _chosen(spec: SplitSpec, item: FragmentRows) -> pa.Table:
    for column in spec.columns():
        if column not in item.table.column_names:
            raise column_not_found(column, item.table.column_names, where=f"fragment {item.fragment!r}")
    if item.selected is not None and len(item.selected) != item.table.num_rows:
        raise UsageError(
            f"Fragment {item.fragment!r} has {item.table.num_rows} rows, the selection {len(item.selected)}.",
            hint="Say of each row whether it is selected.",
        )
    table = item.table.select(spec.columns())
    return table if item.selected is None else table.filter(pa.array(item.selected))


def _members(item: FragmentRows, parts: Parts) -> FragmentMembers:
    if item.selected is not None:
        everywhere = np.full(item.table.num_rows, UNASSIGNED, dtype=np.uint8)
        everywhere[item.selected] = parts
        parts = everywhere
    return FragmentMembers.from_parts(item.fragment, parts)


def _place_alone(spec: SplitSpec, table: pa.Table) -> Parts:
    if spec.by_time is not None:
        return place_by_time(to_nanoseconds(table.column(spec.by_time), where=repr(spec.by_time)), spec)
    return place_by_hash(_unit_hashes(spec, table), spec)


def _unit_hashes(spec: SplitSpec, table: pa.Table) -> Words:
    if not spec.group_by:
        return hash_keys([table.column(name) for name in spec.duplicates or spec.key], spec.salt)
    groups = [table.column(name) for name in spec.group_by]
    hashes = hash_keys(groups, spec.salt)
    alone = np.zeros(table.num_rows, dtype=np.bool_)
    for column in groups:
        if column.null_count:
            alone |= column.is_null().to_numpy()
    if alone.any():
        if not spec.key:
            raise UsageError(
                f"{int(alone.sum()):,} rows have no group, and there is no key to tell them apart.",
                hint="Give key=, the dataset's key: each of them is a group of its own.",
            )
        rows = table.select(list(spec.key)).filter(pa.array(alone))
        # A salt of its own: a row's key must not meet a group's that happens to have the same value.
        hashes[alone] = hash_keys(rows.columns, f"{spec.salt}/row")
    return hashes


def _read_units(spec: SplitSpec, table: pa.Table) -> _Units:
    strata = None if spec.stratify is None else hash_keys([table.column(spec.stratify)], f"{spec.salt}/stratum")
    duplicates = None
    if spec.group_by and spec.duplicates:
        duplicates = hash_keys([table.column(name) for name in spec.duplicates], f"{spec.salt}/duplicate")
    return _Units(_unit_hashes(spec, table), strata, duplicates)


def _place_fitted(spec: SplitSpec, units: Sequence[_Units], kept: Remembered | None) -> tuple[Parts, Remembered]:
    """Place rows by what is remembered, then by what they hang together with, then by strata or hash."""
    empty = np.empty(0, dtype=np.uint64)
    hashes = np.concatenate([empty, *(item.hashes for item in units)])
    duplicates = np.concatenate([empty, *(item.duplicates for item in units if item.duplicates is not None)])
    strata = np.concatenate([empty, *(item.strata for item in units if item.strata is not None)])
    fits = kept is None
    kept = kept or Remembered(empty, np.empty(0, np.uint8), empty, np.empty(0, np.uint8))
    distinct, inverse = np.unique(hashes, return_inverse=True)
    known, unit_parts = _recall(kept.units, kept.unit_parts, distinct)
    fresh = ~known[inverse]
    labels = np.arange(len(distinct))
    if len(duplicates):
        names, codes = np.unique(duplicates, return_inverse=True)
        labels = tie_together(inverse[fresh], codes[fresh], len(distinct))
    if fits and spec.stratify is not None:
        heads, components = np.unique(labels, return_inverse=True)
        unit_parts = place_in_strata(components[inverse], strata, distinct[heads], spec.shares)[components]
    else:
        unit_parts = np.where(known, unit_parts, place_by_hash(distinct[labels], spec)).astype(np.uint8)
        if len(duplicates):
            unit_parts = _follow_duplicates(kept, names, codes[fresh], labels, inverse[fresh], unit_parts)
    parts = unit_parts[inverse]
    return parts, _remember(kept, hashes, duplicates, parts)


def _follow_duplicates(
    kept: Remembered,
    names: Words,
    codes: NDArray[np.int64],
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    unit_parts: Parts,
) -> Parts:
    """Send new components after the duplicates that were placed before; the smallest hash speaks for several."""
    known, parts = _recall(kept.duplicates, kept.duplicate_parts, names)
    nobody = len(names)
    leader = np.full(len(labels), nobody, dtype=np.int64)
    there = known[codes]
    np.minimum.at(leader, labels[units[there]], codes[there])
    led = leader[labels]
    fresh = np.zeros(len(labels), dtype=np.bool_)
    fresh[units] = True
    follows = fresh & (led < nobody)
    placed = unit_parts.copy()
    placed[follows] = parts[led[follows]]
    return placed


def _recall(hashes: Words, parts: Parts, asked: Words) -> tuple[NDArray[np.bool_], Parts]:
    """Return which hashes are remembered, and their parts."""
    if not len(hashes):
        return np.zeros(len(asked), dtype=np.bool_), np.zeros(len(asked), dtype=np.uint8)
    places = np.minimum(np.searchsorted(hashes, asked), len(hashes) - 1)
    return hashes[places] == asked, parts[places]


def _remember(kept: Remembered, hashes: Words, duplicates: Words, parts: Parts) -> Remembered:
    units, unit_parts = _merged(kept.units, kept.unit_parts, hashes, parts)
    if not len(duplicates):
        return Remembered(units, unit_parts, kept.duplicates, kept.duplicate_parts)
    # Where groups that were placed before hold the same features in two parts, the smallest group's hash speaks.
    order = np.argsort(hashes, kind="stable")
    return Remembered(
        units, unit_parts, *_merged(kept.duplicates, kept.duplicate_parts, duplicates[order], parts[order])
    )


def _merged(hashes: Words, parts: Parts, new_hashes: Words, new_parts: Parts) -> tuple[Words, Parts]:
    merged, first = np.unique(np.concatenate([hashes, new_hashes]), return_index=True)
    return merged, np.concatenate([parts, new_parts])[first]

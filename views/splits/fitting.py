"""Making a split and letting it grow: rows are placed once, and never move.

A split by hash, by time or by a column looks at each row alone. A fitted one (strata, rows tied by several things)
looks at all rows once and remembers where groups went.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError, column_not_found
from foldstore.views.splits.assignment import FragmentMembers, Remembered, SplitAssignment
from foldstore.views.splits.column_parts import place_by_column
from foldstore.views.splits.findings import LargestUnit, check_rows, describe
from foldstore.views.splits.fitted import AlikeRows, Layers, Numbered, drop_unplaced, in_strata, merge_memories
from foldstore.views.splits.group_ties import place_groups
from foldstore.views.splits.placement import Labels, Parts, place_by_hash, place_by_time
from foldstore.views.splits.sharing import UNASSIGNED, Sharing
from foldstore.views.splits.split import SplitSpec
from foldstore.views.splits.ties import PlaceComponents
from foldstore.views.splits.units import Units, find_lost, read_units, unit_hashes
from foldstore.views.time_column import to_nanoseconds


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


@dataclass(frozen=True, slots=True, eq=False)
class OldRows:
    """Rows that are placed already, which new rows may be near duplicates of.

    Attributes
    ----------
    table : pyarrow.Table
        The columns that are compared.
    layers : ndarray of uint8, shape (layers, rows)
        Where they are: of a split one layer, its parts.
    """

    table: pa.Table
    layers: Layers


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
    new = list(fragments)
    check_new((), new)
    assignment, _ = _extend(SplitAssignment(spec, ()), new, [choose_rows(spec, item) for item in new], (), None)
    return assignment


def examine_split(spec: SplitSpec, fragments: Iterable[FragmentRows]) -> tuple[SplitAssignment, tuple[str, ...]]:
    """Do what `fit_split` does, and say what about it is worth a look: groups and strata that do not fit the parts.

    Raises
    ------
    UsageError
        Also when a value of the column that decides means nothing, or strata would be numbers as they are.
    """
    new = list(fragments)
    check_new((), new)
    tables = [choose_rows(spec, item) for item in new]
    check_rows(spec, tables)
    largest = LargestUnit.begin(spec, sum(table.num_rows for table in tables))
    assignment, placed = _extend(SplitAssignment(spec, ()), new, tables, (), largest)
    return assignment, describe(spec, tables, placed.parts, placed.components, largest)


def extend_split(
    assignment: SplitAssignment, fragments: Iterable[FragmentRows], *, old: Sequence[OldRows] = ()
) -> SplitAssignment:
    """Place the rows of new fragments; no row that was placed moves.

    A row of a group that is known follows it. Strata are balanced when the split is fitted, not here: new groups
    follow their hash. A row that has neither a group nor a key is left unassigned: a split must not stop data.

    Parameters
    ----------
    assignment : SplitAssignment
        What was placed.
    fragments : iterable of FragmentRows
        The new fragments.
    old : sequence of OldRows
        The rows that were placed, for a split that keeps near duplicates together.

    Raises
    ------
    UsageError
        When a fragment is placed already.
    """
    new = [keep_placeable(assignment.spec, item) for item in fragments]
    check_new([members.fragment for members in assignment.fragments], new)
    extended, _ = _extend(assignment, new, [choose_rows(assignment.spec, item) for item in new], old, None)
    return extended


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRows:
    """The part of each row, and of a fitted split what each hangs together with."""

    parts: Parts
    components: Labels | None = None


def _extend(
    assignment: SplitAssignment,
    new: Sequence[FragmentRows],
    tables: Sequence[pa.Table],
    old: Sequence[OldRows],
    largest: LargestUnit | None,
) -> tuple[SplitAssignment, PlacedRows]:
    spec = assignment.spec
    if spec.is_fitted:
        placed, memory = _place_together(spec, tables, assignment.remembered, old)
        kept: Remembered | None = memory
        parts = cut_rows(placed.parts, tables)
    else:
        parts = [_place_alone(spec, table, largest) for table in tables]
        placed, kept = PlacedRows(np.concatenate([np.empty(0, np.uint8), *parts])), assignment.remembered
    members = [
        FragmentMembers.from_parts(item.fragment, expand(item, part)) for item, part in zip(new, parts, strict=True)
    ]
    return SplitAssignment(spec, (*assignment.fragments, *members), kept), placed


def check_new(known: Sequence[str], new: Sequence[FragmentRows]) -> None:
    """Refuse fragments that are placed already.

    Raises
    ------
    UsageError
        When there is one.
    """
    names = [*known, *(item.fragment for item in new)]
    if len(set(names)) != len(names):
        raise UsageError("A fragment is placed already, or given twice.", hint="Give only the new fragments.")


def keep_placeable(spec: Sharing, item: FragmentRows) -> FragmentRows:
    """Leave rows out that nothing tells apart: they have neither a group nor a key."""
    lost = find_lost(spec, item.table)
    if lost is None:
        return item
    return replace(item, selected=~lost if item.selected is None else item.selected & ~lost)


def choose_rows(spec: Sharing, item: FragmentRows) -> pa.Table:
    """Return the rows that are to be placed, in the columns that the specification names.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    """
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


def expand(item: FragmentRows, parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codes of all rows of a fragment (the last axis), given those of the selected ones."""
    if item.selected is None:
        return parts
    everywhere = np.full((*parts.shape[:-1], item.table.num_rows), UNASSIGNED, dtype=np.uint8)
    everywhere[..., item.selected] = parts
    return everywhere


def cut_rows(parts: NDArray[np.uint8], tables: Sequence[pa.Table]) -> list[NDArray[np.uint8]]:
    """Cut codes of all rows (the last axis) into those of each table."""
    bounds = np.cumsum([0, *(table.num_rows for table in tables)]).tolist()
    return [parts[..., a:b] for a, b in pairwise(bounds)]


def join_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables one after the other, without a copy."""
    return pa.concat_tables(tables, promote_options="none") if len(tables) != 1 else tables[0]


def _place_alone(spec: SplitSpec, table: pa.Table, largest: LargestUnit | None) -> Parts:
    if spec.by_column is not None:
        return place_by_column(spec, table.column(spec.by_column))
    if spec.by_time is not None:
        return place_by_time(to_nanoseconds(table.column(spec.by_time), where=repr(spec.by_time)), spec)
    hashes = unit_hashes(spec, table)
    if largest is not None:
        largest.count(hashes)
    return place_by_hash(hashes, spec)


def _place_together(
    spec: SplitSpec, tables: Sequence[pa.Table], kept: Remembered | None, old: Sequence[OldRows]
) -> tuple[PlacedRows, Remembered]:
    units = Units.join([read_units(spec, table) for table in tables])
    if spec.to_dict()["format"] == 1:
        parts, components, remembered = place_groups(spec, units, kept)
        return PlacedRows(parts, components), remembered
    near = None
    if spec.near_duplicates and tables:
        near = AlikeRows.find(spec, join_tables(tables), [(rows.table, rows.layers) for rows in old], 1)
    numbered = Numbered.of(units, near)
    before = kept or Remembered.empty()
    every = np.arange(len(units.hashes))
    place: PlaceComponents = lambda _, hashes: place_by_hash(hashes, spec)  # noqa: E731
    if kept is None:
        place = in_strata(units.strata, spec.shares)
    tied = numbered.place(every, before, 0, place)
    (memory,) = merge_memories([before], [numbered.remember(every, tied)])
    return PlacedRows(tied.parts, tied.components), drop_unplaced(memory)

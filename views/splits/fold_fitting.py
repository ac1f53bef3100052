"""Making folds and letting them grow: a row is in one fold only, for good."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.views.instant import parse_duration, parse_instant
from foldstore.views.splits.assignment import Remembered
from foldstore.views.splits.column_parts import count_values, place_by_column
from foldstore.views.splits.findings import LargestUnit, check_rows, describe
from foldstore.views.splits.fitted import AlikeRows, Layers, Numbered, in_strata, merge_memories
from foldstore.views.splits.fitting import (
    FragmentRows,
    OldRows,
    PlacedRows,
    check_new,
    choose_rows,
    cut_rows,
    expand,
    join_tables,
    keep_placeable,
)
from foldstore.views.splits.fold_assignment import FoldAssignment, FoldCodes, Mask, hold_out
from foldstore.views.splits.folds import FoldSpec
from foldstore.views.splits.placement import Labels, Parts, place_in_blocks, place_in_folds
from foldstore.views.splits.sharing import UNASSIGNED
from foldstore.views.splits.ties import PlaceComponents
from foldstore.views.splits.tokens import mix
from foldstore.views.splits.units import Units, read_units, unit_hashes
from foldstore.views.splits.xxh3 import Words
from foldstore.views.time_column import Instants, to_nanoseconds


def examine_folds(spec: FoldSpec, fragments: Iterable[FragmentRows]) -> tuple[FoldAssignment, tuple[str, ...]]:
    """Share out the rows of a dataset to folds, and say what about it is worth a look.

    Raises
    ------
    ColumnNotFoundError
        When a fragment lacks a column that the specification names.
    UsageError
        When a value of the column that decides means nothing, there are too few different times, or strata would be
        numbers as they are.

    Examples
    --------
    >>> spec = FoldSpec("cv", dataset="d", k=2, key=["id"])
    >>> folds, notes = examine_folds(spec, [FragmentRows("f1", pa.table({"id": range(1000)}))])
    >>> np.bincount(folds.parts()).tolist(), notes
    ([0, 497, 503], ())
    """
    new = list(fragments)
    check_new((), new)
    tables = [choose_rows(spec, item) for item in new]
    check_rows(spec, tables)
    spec = _settle(spec, tables)
    largest = LargestUnit.begin(spec, sum(table.num_rows for table in tables))
    assignment, placed = _extend(FoldAssignment(spec, ()), new, tables, (), largest)
    return assignment, describe(spec, tables, placed.parts, placed.components, largest)


def extend_folds(
    assignment: FoldAssignment, fragments: Iterable[FragmentRows], *, old: Sequence[OldRows] = ()
) -> FoldAssignment:
    """Place the rows of new fragments; no row that was placed moves. See `fitting.extend_split`."""
    new = [keep_placeable(assignment.spec, item) for item in fragments]
    check_new([codes.fragment for codes in assignment.fragments], new)
    extended, _ = _extend(assignment, new, [choose_rows(assignment.spec, item) for item in new], old, None)
    return extended


def inner_hashes(hashes: Words, number: int) -> Words:
    """Return the hashes that place the rest of a fold in inner folds: ``mix(hash + mix(number))``, modulo 2^64.

    The step of splitmix64 makes them independent of the fold, and those of one fold of those of another.
    """
    return mix(hashes + mix(np.array([number], dtype=np.uint64)))


def _extend(
    assignment: FoldAssignment,
    new: Sequence[FragmentRows],
    tables: Sequence[pa.Table],
    old: Sequence[OldRows],
    largest: LargestUnit | None,
) -> tuple[FoldAssignment, PlacedRows]:
    spec = assignment.spec
    kept = assignment.remembered
    components: Labels | None = None
    if spec.is_fitted:
        placed = _PlacedFolds(spec, tables, kept, old)
        layers, kept, components = cut_rows(placed.layers, tables), placed.memory, placed.components
    else:
        layers = [_place_alone(spec, table, largest) for table in tables]
    codes = [FoldCodes(item.fragment, expand(item, each)) for item, each in zip(new, layers, strict=True)]
    parts = np.concatenate([np.empty(0, np.uint8), *(each[0] for each in layers)])
    return FoldAssignment(spec, (*assignment.fragments, *codes), kept), PlacedRows(parts, components)


def _place_alone(spec: FoldSpec, table: pa.Table, largest: LargestUnit | None) -> Layers:
    if spec.by_column is not None:
        return place_by_column(spec, table.column(spec.by_column))[None, :]
    if spec.by_time is not None:
        return _place_by_time(spec, _times(spec, table))
    hashes = unit_hashes(spec, table)
    if largest is not None:
        largest.count(hashes)
    outer = place_in_folds(hashes, spec.count)
    layers = [outer]
    for number in range(1, spec.inner_layers + 1):
        inner = place_in_folds(inner_hashes(hashes, number), spec.inner)
        inner[outer == number] = UNASSIGNED
        layers.append(inner)
    return np.stack(layers)


def _place_by_time(spec: FoldSpec, times: Instants) -> Layers:
    outer = _blocks(spec, times, spec.boundaries)
    layers = [outer]
    for number in range(1, spec.inner_layers + 1):
        inner = _blocks(spec, times, spec.inner_boundaries[number - 1])
        _, rest = hold_out(spec, outer, number)
        inner[:, ~rest] = UNASSIGNED
        layers.append(inner)
    return np.concatenate(layers)


def _blocks(spec: FoldSpec, times: Instants, boundaries: Sequence[object]) -> Layers:
    instants = [parse_instant(str(boundary)) for boundary in boundaries]
    found = place_in_blocks(times, instants, parse_duration(spec.purge), parse_duration(spec.embargo))
    return np.stack([found.blocks, found.first, found.last])


def _times(spec: FoldSpec, table: pa.Table) -> Instants:
    return to_nanoseconds(table.column(spec.by_time), where=repr(spec.by_time))


class _PlacedFolds:
    """Fitted folds: every row is looked at once, and each layer is placed with what is remembered of it."""

    def __init__(
        self, spec: FoldSpec, tables: Sequence[pa.Table], kept: tuple[Remembered, ...] | None, old: Sequence[OldRows]
    ) -> None:
        units = Units.join([read_units(spec, table) for table in tables])
        near = None
        if spec.near_duplicates and tables:
            known = [(rows.table, rows.layers) for rows in old]
            near = AlikeRows.find(spec, join_tables(tables), known, spec.layers)
        self._spec = spec
        self._numbered = Numbered.of(units, near)
        self._fits = kept is None
        before = kept or (Remembered.empty(),) * spec.layers
        every = np.arange(len(units.hashes))
        outer, memory, self.components = self._place(every, before[0], 0)
        layers, memories = [outer], [memory]
        for number in range(1, spec.inner_layers + 1):
            rest = np.flatnonzero((outer != UNASSIGNED) & (outer != number))
            found, memory, _ = self._place(rest, before[number], number)
            inner = np.zeros(len(outer), dtype=np.uint8)
            inner[rest] = found
            layers.append(inner)
            memories.append(memory)
        self.layers: Layers = np.stack(layers)
        self.memory = merge_memories(before, memories)

    def _place(self, rows: Labels, kept: Remembered, layer: int) -> tuple[Parts, Remembered, Labels]:
        count = self._spec.inner if layer else self._spec.count
        place: PlaceComponents = lambda _, hashes: place_in_folds(  # noqa: E731
            inner_hashes(hashes, layer) if layer else hashes, count
        )
        strata = self._numbered.strata
        if self._fits:
            hashed = in_strata(None if strata is None else strata[rows], (Fraction(1, count),) * count)
            place = lambda components, hashes: hashed(  # noqa: E731
                components, inner_hashes(hashes, layer) if layer else hashes
            )
        tied = self._numbered.place(rows, kept, layer, place)
        return tied.parts, self._numbered.remember(rows, tied), tied.components


def _settle(spec: FoldSpec, tables: Sequence[pa.Table]) -> FoldSpec:
    """Find in the data what the specification leaves to it: the folds of a column, or when folds begin."""
    if spec.is_settled:
        return spec
    if spec.by_column is not None:
        counts = [count_values(spec, table.column(spec.by_column)) for table in tables]
        return spec.with_values(sorted({value for each in counts for value in each}, key=_natural))
    if any(table.num_rows for table in tables):
        return _settle_times(spec, tables)
    raise UsageError("There are no rows to find the boundaries of folds in.", hint="Append some first.")


def _natural(value: str) -> tuple[int, int, str]:
    """Order numbers as numbers, before texts."""
    plain = value.removeprefix("-").isdecimal() and value.isascii()
    return (0, int(value), value) if plain else (1, 0, value)


def _settle_times(spec: FoldSpec, tables: Sequence[pa.Table]) -> FoldSpec:
    columns = [_times(spec, table) for table in tables]
    values = np.concatenate([each.values for each in columns])
    known = np.concatenate([~_nulls(each) for each in columns])
    times = Instants(values[known], None)
    more = 1 if spec.past_only else 0
    outer = [parse_instant(str(each)) for each in spec.boundaries] or _quantiles(spec, times, spec.count + more)
    if not spec.inner:
        return spec.with_boundaries(outer, ())
    layers = _blocks(spec.with_boundaries(outer, ()), times, spec.with_boundaries(outer, ()).boundaries)
    inner = []
    for number in range(1, spec.count + 1):
        _, rest = hold_out(spec, layers, number)
        inner.append(_quantiles(spec, Instants(times.values[rest], None), spec.inner + more))
    return spec.with_boundaries(outer, inner)


def _nulls(times: Instants) -> Mask:
    return np.zeros(len(times.values), np.bool_) if times.nulls is None else times.nulls


def _quantiles(spec: FoldSpec, times: Instants, blocks: int) -> list[int]:
    """Return where blocks begin, so that each has as many rows as the others, but for equal times.

    Raises
    ------
    UsageError
        When there are too few different times.
    """
    rows = len(times.values)
    places = [-(-number * rows // blocks) for number in range(1, blocks)]
    if rows >= blocks:
        ordered = np.partition(times.values, [0, *places])
        found = [int(ordered[0]), *(int(ordered[place]) for place in places)]
        if found == sorted(set(found)):
            return found[1:]
    different = len(np.unique(times.values))
    raise UsageError(
        f"{spec.by_time!r} has {different:,} different times among {rows:,} rows, which make no {blocks} blocks.",
        hint="Make fewer folds, or say where they begin: boundaries=[...].",
    )

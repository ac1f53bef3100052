"""The same segments of two sets of rows: their profiles side by side, and their counts on pinned grids."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.statistics.nested import find_path, take_inside
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, count_array, counts_from_column
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import kind_of, value_type
from foldstore.datastore.statistics.row_source import Batches, RowSource, Scan, cut_rows, take_rows
from foldstore.datastore.statistics.segments import (
    CHUNK_ROWS,
    MAX_SEGMENTS,
    OTHER,
    OTHER_HASH,
    Key,
    SegmentSizes,
    check_by,
    count_segments,
    hash_segments,
    key_of,
    places_of,
    profile_chosen,
)
from foldstore.errors import UsageError

_KIND: Final = "segment-grids/1"
# What is counted of each segment, which is named by its hash: columns or paths, and the grids for them.
Wanted: TypeAlias = Mapping[int, Sequence[tuple[str, PinnedGrid]]]
Counted: TypeAlias = dict[int, list[GridCounts]]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentPair:
    """One segment on both sides.

    Attributes
    ----------
    key : Key
        Its value, or pair of values, or `OTHER`.
    hash : int
        Of the values.
    before, after : Profile or None
        None where that side has no such row.
    """

    key: Key
    hash: int
    before: Profile | None
    after: Profile | None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentPairs:
    """The segments of two sets of rows: those that hold most of either stand alone, in this order.

    Attributes
    ----------
    by : tuple of str
    pairs : tuple of SegmentPair
        `OTHER` is the last, where rows are left over.
    left_over : int
        How many segments were joined to `OTHER`.
    """

    by: tuple[str, ...]
    pairs: tuple[SegmentPair, ...]
    left_over: int


def pair_segments(
    sides: tuple[RowSource, RowSource],
    columns: tuple[Sequence[str], Sequence[str]],
    by: str | Sequence[str],
    limit: int = MAX_SEGMENTS,
) -> SegmentPairs:
    """Profile two sets of rows by the same segments.

    Parameters
    ----------
    sides : pair of RowSource
    columns : pair of sequences of str
        What is profiled of each side.
    by : str or sequence of str
        One column or two.
    limit : int
        How many segments stand alone: those with the greatest share of one side and of the other, added up.

    Raises
    ------
    UsageError
        As `profile_segments` does; and when the values of a column are of another kind on the other side.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise UsageError(f"max_segments is {limit!r}; at least one segment stands alone.", hint="Leave it out for 50.")
    names, _ = (
        check_by(pa.schema([rows.arrow_schema.field(name) for name in chosen]), by)
        for rows, chosen in zip(sides, columns, strict=True)
    )
    for name in names:
        _check_same(name, *(rows.arrow_schema.field(name).type for rows in sides))
    found = [count_segments(rows, names) for rows in sides]
    sizes = [SegmentSizes.join(parts) for parts in found]
    order = _largest_first(*sizes)
    largest = order[:limit]
    before, after = (
        profile_chosen(rows, names, list(chosen), largest, parts)
        for rows, chosen, parts in zip(sides, columns, found, strict=True)
    )
    return SegmentPairs(names, tuple(_pair(names, largest, before, after)), len(order) - len(largest))


def _check_same(name: str, before: pa.DataType, after: pa.DataType) -> None:
    """Refuse values of which equal ones have other hashes on the other side."""
    before, after = value_type(before), value_type(after)
    same = before == after if pa.types.is_temporal(before) else kind_of(before) is kind_of(after)
    if not same:
        raise UsageError(
            f"Rows are not sliced by {name}: it is {before} on one side and {after} on the other.",
            hint="Compare with rows where it has the same type, or slice by another column.",
            column=name,
        )


def _largest_first(before: SegmentSizes, after: SegmentSizes) -> Any:
    """Order the segments by the sum of their shares of both sides; among equals the smaller hash stands first."""
    hashes = np.union1d(before.hashes, after.hashes)
    shares = np.zeros(len(hashes))
    for side in (before, after):
        if len(side.hashes):
            shares[np.searchsorted(hashes, side.hashes)] += side.counts / side.counts.sum()
    return hashes[np.argsort(-np.round(shares, 12), kind="stable")]


def _pair(
    by: tuple[str, ...], largest: Any, before: Mapping[int, Profile], after: Mapping[int, Profile]
) -> list[SegmentPair]:
    pairs = []
    for each in (*largest.tolist(), int(OTHER_HASH)):
        held = before.get(each, after.get(each))
        if held is not None:
            key = OTHER if each == int(OTHER_HASH) else key_of(held, by)
            pairs.append(SegmentPair(key, each, before.get(each), after.get(each)))
    return pairs


def count_pairs_on(
    rows: RowSource, by: tuple[str, ...], alone: Sequence[int], profiles: Mapping[int, Profile], wanted: Wanted
) -> Counted:
    """Count segments on pinned grids: from their profiles where that is exact, and else in one pass over the rows.

    Parameters
    ----------
    rows : RowSource
    by : tuple of str
    alone : sequence of int
        The hashes of the segments that stand alone.
    profiles : mapping of int to Profile
        Of the segments, with what is inside of nested columns beside the columns.
    wanted : mapping of int to sequence of (str, PinnedGrid)
    """
    known = {
        key: [counts_from_column(profiles[key].columns[name], grid) for name, grid in asked]
        for key, asked in wanted.items()
    }
    missing: dict[int, list[tuple[str, PinnedGrid]]] = defaultdict(list)
    for key, asked in wanted.items():
        missing[key] += [each for each, counts in zip(asked, known[key], strict=True) if counts is None]
    missing = {key: asked for key, asked in missing.items() if asked}
    read = {key: iter(each) for key, each in _read(rows, by, alone, missing).items()} if missing else {}
    return {
        key: [counts if counts is not None else next(read[key]) for counts in found] for key, found in known.items()
    }


def _read(rows: RowSource, by: tuple[str, ...], alone: Sequence[int], wanted: Wanted) -> Counted:
    schema = rows.arrow_schema
    paths = {name: find_path(name, schema) or (name, ()) for asked in wanted.values() for name, _ in asked}
    columns = tuple(dict.fromkeys([*by, *(column for column, _ in paths.values())]))
    places = {name: (columns.index(column), steps) for name, (column, steps) in paths.items()}
    told = {str(key): [[*places[name], grid.to_dict()] for name, grid in asked] for key, asked in wanted.items()}
    slices = len(by)

    def compute(kinds: pa.Schema, batches: Batches) -> Counted:
        found = {key: [GridCounts((0,) * grid.cells) for _, grid in asked] for key, asked in wanted.items()}
        for chunk in cut_rows(kinds, batches, CHUNK_ROWS):
            hashes = hash_segments(chunk.columns[:slices])
            hashes = np.where(np.isin(hashes, np.array(alone, np.uint64)), hashes, OTHER_HASH)
            for key, here in places_of(hashes):
                part = take_rows(chunk, here) if key in wanted else None
                for at, (name, grid) in enumerate(wanted.get(key, ())):
                    place, steps = places[name]
                    assert part is not None  # noqa: S101  (something is wanted of it)
                    cells = part.column(place).combine_chunks()
                    counted = count_array(take_inside(cells, steps)[0] if steps else cells, grid)
                    found[key][at] = found[key][at].merge(counted)
        return found

    scan = Scan(_KIND, columns, compute, _encode, _decode, {"by": slices, "alone": list(map(str, alone)), "of": told})
    total: Counted = {key: [GridCounts((0,) * grid.cells) for _, grid in asked] for key, asked in wanted.items()}
    for part in range(rows.parts):
        for key, counts in rows.scan(part, scan).items():
            total[key] = [a.merge(b) for a, b in zip(total[key], counts, strict=True)]
    return total


def _encode(counts: Counted) -> bytes:
    return canonical_json({str(key): [each.to_dict() for each in found] for key, found in counts.items()}).encode()


def _decode(data: bytes) -> Counted:
    return {int(key): [GridCounts.from_dict(each) for each in found] for key, found in json.loads(data).items()}

"""What is worth a look when rows are first shared out: wholes larger than a part, strata that are not in each part.

What cannot be meant is refused; what can be meant, but does not give what it hopes for, is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.reading import Kind, kind_of
from foldstore.errors import UsageError
from foldstore.views.splits.column_parts import check_known, count_values
from foldstore.views.splits.placement import Labels, Parts
from foldstore.views.splits.sharing import Sharing
from foldstore.views.splits.units import unit_hashes
from foldstore.views.splits.xxh3 import Words
from foldstore.views.values import display_values

Buckets: TypeAlias = NDArray[np.int64]

_MOST_NUMBERS: Final = 100
_BUCKET_BITS: Final = 16
_SHOWN: Final = 3
# What hangs together by several things is told from this share of the rows on, however large the parts are.
_MUCH: Final = 0.1
_NUMBERS: Final = (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL, Kind.TEMPORAL)


@dataclass(frozen=True, slots=True)
class Stratum:
    """A stratum that is not in each part.

    Attributes
    ----------
    values : tuple of str
        Its value of each column, as text.
    rows : int
        How many rows it has.
    missing : tuple of str
        The parts with a share that have none of them.
    """

    values: tuple[str, ...]
    rows: int
    missing: tuple[str, ...]


@dataclass(slots=True)
class LargestUnit:
    """Finds groups that are larger than a part without sorting all rows.

    Rows are counted by the first 16 bits of their hashes; only where a bucket holds more than a part may, its rows
    are looked at again.
    """

    limit: float
    buckets: Buckets = field(default_factory=lambda: np.zeros(1 << _BUCKET_BITS, dtype=np.int64))

    @classmethod
    def begin(cls, spec: Sharing, rows: int) -> "LargestUnit | None":
        """Return a counter, or None when no unit can be large: they are keys, or counted otherwise."""
        limit = least_part(spec, rows)
        if limit is None or spec.is_fitted or not (spec.group_by or spec.duplicates):
            return None
        return cls(limit)

    def count(self, hashes: Words) -> None:
        """Count some rows."""
        places = (hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)
        self.buckets += np.bincount(places, minlength=len(self.buckets))

    def find(self, spec: Sharing, tables: Sequence[pa.Table]) -> tuple[int, int, int] | None:
        """Return the rows of the largest unit, one of them, and how many units are as large; None for none."""
        full = np.flatnonzero(self.buckets > self.limit).astype(np.uint64)
        if not len(full):
            return None
        places, found, first = [], [], 0
        for table in tables:
            hashes = unit_hashes(spec, table)
            inside = np.flatnonzero(np.isin(hashes >> np.uint64(64 - _BUCKET_BITS), full))
            places.append(first + inside)
            found.append(hashes[inside])
            first += table.num_rows
        _, numbers = np.unique(np.concatenate(found), return_inverse=True)
        largest = _largest(numbers, self.limit)
        return None if largest is None else (largest[0], int(np.concatenate(places)[largest[1]]), largest[2])


def least_part(spec: Sharing, rows: int) -> float | None:
    """Return how many rows the smallest part is to have, or None when shares do not say it."""
    shares = [share for share in spec.part_shares if share]
    return float(min(shares) * rows) if shares and rows else None


def check_rows(spec: Sharing, tables: Sequence[pa.Table]) -> None:
    """Refuse rows that cannot be shared out as asked.

    Raises
    ------
    UsageError
        When a value of the column that decides means nothing, or strata would be numbers as they are.
    """
    if spec.by_column is not None and tables:
        counts: dict[str, int] = {}
        for table in tables:
            for value, rows in count_values(spec, table.column(spec.by_column)).items():
                counts[value] = counts.get(value, 0) + rows
        check_known(spec, dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))
    for name in spec.strata:
        _check_stratum(name, [table.column(name) for table in tables])


def describe(
    spec: Sharing, tables: Sequence[pa.Table], parts: Parts, components: Labels | None, largest: LargestUnit | None
) -> tuple[str, ...]:
    """Say what is worth a look.

    Parameters
    ----------
    spec : Sharing
        How rows are shared out.
    tables : sequence of Table
        The rows.
    parts : ndarray of uint8
        The part of each.
    components : ndarray of int64, optional
        Of a fitted split, what each hangs together with.
    largest : LargestUnit, optional
        Of another, the counts of its groups.
    """
    return (*_describe_large(spec, tables, parts, components, largest), *_describe_strata(spec, tables, parts))


def find_short_strata(spec: Sharing, tables: Sequence[pa.Table], parts: Parts) -> list[Stratum]:
    """Return the strata that are not in each part with a share, the largest first."""
    wanted = [code for code, share in enumerate(spec.part_shares, start=1) if share]
    if not spec.strata or not wanted:
        return []
    counts: dict[tuple[str, ...], dict[int, int]] = {}
    first = 0
    for table in tables:
        here = parts[first : first + table.num_rows]
        first += table.num_rows
        for stratum, code, rows in _count_strata(spec, table, here):
            held = counts.setdefault(stratum, {})
            held[code] = held.get(code, 0) + rows
    short = [
        Stratum(values, sum(held.values()), tuple(spec.parts[code - 1] for code in wanted if not held.get(code)))
        for values, held in counts.items()
        if any(not held.get(code) for code in wanted)
    ]
    return sorted(short, key=lambda stratum: (-stratum.rows, stratum.values))


def _check_stratum(name: str, columns: Sequence[pa.ChunkedArray]) -> None:
    if not columns or kind_of(columns[0].type) not in _NUMBERS or pa.types.is_dictionary(columns[0].type):
        return
    chunks = [chunk for column in columns for chunk in column.chunks]
    found = pc.count_distinct(pa.chunked_array(chunks, columns[0].type)).as_py()
    if found > _MOST_NUMBERS:
        raise UsageError(
            f"The column to stratify by, {name!r}, has {found:,} values, and they are numbers: strata are for labels.",
            hint=f"Bin it first: add_columns({{'{name}_bin': 'floor({name} / 15)'}}), then stratify='{name}_bin'.",
            column=name,
        )


def _count_strata(spec: Sharing, table: pa.Table, parts: Parts) -> Iterator[tuple[tuple[str, ...], int, int]]:
    columns = [table.column(name) for name in spec.strata]
    names = [str(place) for place in range(len(columns))]
    plain = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in columns
    ]
    counted = pa.table([*plain, pa.array(parts)], names=[*names, "part"]).group_by([*names, "part"])
    for row in counted.aggregate([([], "count_all")]).to_pylist():
        yield tuple(str(row[name]) for name in names), row["part"], row["count_all"]


def _describe_strata(spec: Sharing, tables: Sequence[pa.Table], parts: Parts) -> Iterator[str]:
    short = find_short_strata(spec, tables, parts)
    if not short:
        return
    shown = "; ".join(
        f"{_pairs(spec.strata, stratum.values)} ({_rows(stratum.rows)}, none in {_listed(stratum.missing)})"
        for stratum in short[:_SHOWN]
    )
    more = f", and {len(short) - _SHOWN:,} more" if len(short) > _SHOWN else ""
    what = "1 stratum is" if len(short) == 1 else f"{len(short):,} strata are"
    yield f"{what} not in each part: {shown}{more}. Join rare values to one, or leave them out."


def _describe_large(
    spec: Sharing, tables: Sequence[pa.Table], parts: Parts, components: Labels | None, largest: LargestUnit | None
) -> Iterator[str]:
    limit = least_part(spec, len(parts))
    if limit is None or not (spec.group_by or spec.duplicates or spec.near_duplicates):
        return
    found = None
    if components is not None:
        found = _largest(components, min(limit, _MUCH * len(parts)) if spec.is_tied else limit)
    elif largest is not None:
        found = largest.find(spec, tables)
    if found is not None:
        yield _say_large(spec, tables, len(parts), found)


def _largest(numbers: Labels, limit: float) -> tuple[int, int, int] | None:
    """Return the rows of the largest whole, the place of one, and how many are larger than the limit."""
    placed = np.flatnonzero(numbers >= 0)
    sizes = np.bincount(numbers[placed])
    large = sizes > limit
    if not large.any():
        return None
    name = int(sizes.argmax())
    return int(sizes[name]), int(np.flatnonzero(numbers == name)[0]), int(np.count_nonzero(large))


def _say_large(spec: Sharing, tables: Sequence[pa.Table], rows: int, found: tuple[int, int, int]) -> str:
    size, place, count = found
    example = _pairs(*_example(spec, tables, place))
    tied = spec.is_tied or bool(spec.group_by and spec.duplicates)
    what = f"Rows that hang together, such as those of {example}, are" if tied else f"The group {example} has"
    others = "" if count == 1 else " One more is as large." if count == 2 else f" {count - 1:,} more are as large."
    return f"{what} {size:,} of {rows:,} rows ({size / rows:.1%}){_consequence(spec, size, rows)}{others}"


def _consequence(spec: Sharing, size: int, rows: int) -> str:
    shares = {name: share for name, share in zip(spec.parts, spec.part_shares, strict=True) if share}
    smaller = [name for name, share in shares.items() if share * rows < size]
    if not smaller:
        return ": the parts cannot have their shares exactly."
    least = min(float(shares[name]) for name in smaller)
    which = _listed(smaller) if len(smaller) <= _SHOWN else f"each of {len(smaller)} folds"
    return f", more than the share of {which} ({least:.1%}): the parts cannot have their shares."


def _example(spec: Sharing, tables: Sequence[pa.Table], place: int) -> tuple[Sequence[str], Sequence[str]]:
    for table in tables:
        if place < table.num_rows:
            names = spec.groups[0] if spec.groups else (spec.duplicates or spec.near_duplicates)
            return names, [str(display_values(table.column(name).slice(place, 1))[0]) for name in names]
        place -= table.num_rows
    return (), ()


def _pairs(names: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{name}={ascii(value)[:40]}" for name, value in zip(names, values, strict=True))


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")

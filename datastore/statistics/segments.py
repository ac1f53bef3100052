"""Profiles of segments: the rows that share the values of one or two columns."""

import html
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.column import ColumnProfile, json_value, merge_columns, profile_array
from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.hashing import Hashes, hash_column, hash_rows
from foldstore.datastore.statistics.profile import Profile, empty_profile
from foldstore.datastore.statistics.reading import Value
from foldstore.datastore.statistics.row_source import Batches, RowSource, Scan, cut_rows, take_rows
from foldstore.errors import NotFoundError, UsageError, column_not_found, did_you_mean

MAX_SEGMENTS: Final = 50
# So many combinations of values are counted, in 16 bytes each, to find the largest.
MAX_COMBINATIONS: Final = 1_000_000
CHUNK_ROWS: Final = 131_072
_ROWS_KIND: Final = "segment-rows/1"
_KIND: Final = "segments/1"
OTHER_HASH: Final = np.uint64(0)


class Rest(Enum):
    """The place of the rows whose segments were too small to stand alone."""

    OTHER = "other"

    def __repr__(self) -> str:
        return "OTHER"


OTHER: Final = Rest.OTHER
Key: TypeAlias = Value | tuple[Value | None, ...] | Rest | None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedProfile(Mapping[Key, Profile]):
    """A profile of each segment, the largest first; what is left over stands under `OTHER`.

    Attributes
    ----------
    by : tuple of str
        The columns whose values make a segment.
    segments : Mapping
        By value; by a pair of values where there are two columns. None stands for null.
    left_over : int
        How many segments were joined to `OTHER`; 0 when each stands alone.

    Notes
    -----
    Which segments stand alone depends on the rows alone: the largest by rows, equal ones by the hash of
    their values. A `low_at` or `high_at` counts the rows of the segment.
    """

    by: tuple[str, ...]
    segments: Mapping[Key, Profile]
    left_over: int = 0

    def __getitem__(self, key: Key) -> Profile:
        if key not in self.segments:
            shown = [str(each) for each in self.segments]
            raise NotFoundError(
                f"There is no segment {key!r} of {' and '.join(self.by)}.",
                hint=did_you_mean(str(key), shown),
                segments=shown[:MAX_SEGMENTS],
            )
        return self.segments[key]

    def __contains__(self, key: object) -> bool:
        return key in self.segments

    def __iter__(self) -> Iterator[Key]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def __repr__(self) -> str:
        rest = f", {self.left_over} joined as OTHER" if self.left_over else ""
        return f"SegmentedProfile(by {', '.join(self.by)}: {len(self)} segments{rest})"

    def _repr_html_(self) -> str:
        lines = (f"<tr><th>{html.escape(show_key(key))}</th><td>{p.rows}</td></tr>" for key, p in self.items())
        return f"<table><tr><th>{html.escape(', '.join(self.by))}</th><th>rows</th></tr>{''.join(lines)}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data: the segments in a list, since JSON's keys are texts."""
        segments = [
            {"segment": "other" if key is OTHER else self._values(key), "is_other": key is OTHER, **profile.to_dict()}
            for key, profile in self.segments.items()
        ]
        return {"by": list(self.by), "left_over": self.left_over, "segments": segments}

    def to_arrow(self) -> pa.Table:
        """Return one table with a row per segment and column: ``segment`` in front, null for OTHER."""
        tables = []
        for key, profile in self.segments.items():
            table = profile.to_arrow()
            shown = None if key is OTHER else show_key(key)
            cells = pa.array([shown] * table.num_rows, pa.string())
            tables.append(table.replace_schema_metadata(None).add_column(0, "segment", cells))
        if not tables:
            table = Profile(0, {}).to_arrow().replace_schema_metadata(None)
            return table.add_column(0, "segment", pa.array([], pa.string()))
        return pa.concat_tables(tables)

    def _values(self, key: Key) -> list[Any]:
        return [json_value(value) for value in (key if isinstance(key, tuple) else (key,))]  # type: ignore[arg-type]


def show_key(key: Key) -> str:
    """Return what a segment is called for people."""
    if key is OTHER:
        return "other"
    return ", ".join("null" if value is None else str(value) for value in (key if isinstance(key, tuple) else (key,)))


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSizes:
    """How many rows each combination of values has, by the hash of the combination, ascending.

    Attributes
    ----------
    hashes, counts : ndarray
        One for each combination.
    """

    hashes: Hashes
    counts: Ints

    @classmethod
    def of(cls, hashes: Hashes, counts: Ints) -> "SegmentSizes":
        """Sum up the counts of equal hashes."""
        unique, places = np.unique(hashes, return_inverse=True)
        summed = np.zeros(len(unique), np.int64)
        np.add.at(summed, places, counts)
        if len(unique) > MAX_COMBINATIONS:
            raise UsageError(
                f"There are more than {MAX_COMBINATIONS:,} segments.",
                hint="Slice by columns with fewer values, or make such a column in a view.",
                code="too-many-segments",
            )
        return cls(unique, summed)

    @classmethod
    def join(cls, parts: Sequence["SegmentSizes"]) -> "SegmentSizes":
        """Return the sizes in all parts together."""
        empty = cls(np.empty(0, np.uint64), np.empty(0, np.int64))
        hashes, counts = ([getattr(each, name) for each in (empty, *parts)] for name in ("hashes", "counts"))
        return cls.of(np.concatenate(hashes), np.concatenate(counts))

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads back."""
        return self.hashes.astype("<u8").tobytes() + self.counts.astype("<i8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "SegmentSizes":
        """Read what `to_bytes` gave."""
        half = len(data) // 2
        return cls(np.frombuffer(data[:half], "<u8"), np.frombuffer(data[half:], "<i8"))


def profile_segments(rows: RowSource, by: str | Sequence[str], limit: int = MAX_SEGMENTS) -> SegmentedProfile:
    """Profile the rows of each value of a column, or of each pair of values of two.

    Parameters
    ----------
    rows : RowSource
    by : str or sequence of str
        One column or two.
    limit : int
        How many segments stand alone; the rest is joined under `OTHER`.

    Raises
    ------
    UsageError
        When `by` has none or more than two columns, or one without a stable hash; or when there are more
        than a million combinations (code ``too-many-segments``).
    """
    names = check_by(rows.arrow_schema, by)
    if limit < 1:
        raise UsageError(f"max_segments is {limit}; at least one segment stands alone.", hint="Leave it out for 50.")
    found = count_segments(rows, names)
    total = SegmentSizes.join(found)
    # The greatest counts first; among equals the smaller hash, which stands first.
    largest = total.hashes[np.argsort(-total.counts, kind="stable")][:limit]
    merged = profile_chosen(rows, names, rows.arrow_schema.names, largest, found)
    segments: dict[Key, Profile] = {key_of(merged[int(key)], names): merged[int(key)] for key in largest}
    if int(OTHER_HASH) in merged:
        segments[OTHER] = merged[int(OTHER_HASH)]
    return SegmentedProfile(names, segments, len(total.hashes) - len(largest))


def count_segments(rows: RowSource, by: tuple[str, ...]) -> "list[SegmentSizes]":
    """Count the rows of each segment, part by part."""
    sizes = Scan(_ROWS_KIND, by, _count_rows, SegmentSizes.to_bytes, SegmentSizes.from_bytes)
    return [rows.scan(part, sizes) for part in range(rows.parts)]


def profile_chosen(
    rows: RowSource, by: tuple[str, ...], columns: Sequence[str], chosen: Hashes, found: "Sequence[SegmentSizes]"
) -> dict[int, Profile]:
    """Profile some segments, by their hash, and all others together under `OTHER_HASH`.

    Parameters
    ----------
    rows : RowSource
    by : tuple of str
        The columns whose values make a segment; they are among `columns`.
    columns : sequence of str
        What is profiled.
    chosen : ndarray of uint64
        The segments that stand alone; those that have no rows are left out.
    found : sequence of SegmentSizes
        From `count_segments`.
    """
    merged: dict[int, Profile] = {}
    for part, each in enumerate(found):
        # Named are only those of the part, so that a segment that is new elsewhere leaves what was kept good.
        here = np.intersect1d(chosen, each.hashes)
        for key, profile in rows.scan(part, _segment_scan(columns, by, here)).items():
            merged[key] = Profile.merge(merged[key], profile) if key in merged else profile
    named = {str(place): name for place, name in enumerate(columns)}
    return {key: profile.rename(named) for key, profile in merged.items()}


def check_by(schema: pa.Schema, by: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns to slice by, looked at once."""
    names = (by,) if isinstance(by, str) else tuple(by)
    if not 1 <= len(names) <= 2 or len(set(names)) != len(names):
        raise UsageError("Rows are sliced by one column or by two.", hint="by='origin' or by=['origin', 'carrier'].")
    for name in names:
        if name not in schema.names:
            raise column_not_found(name, schema.names, where="the rows")
        hash_column(pa.nulls(0, schema.field(name).type))  # says so when values of the type have no hash
    return names


def _count_rows(schema: pa.Schema, batches: Batches) -> SegmentSizes:
    total = SegmentSizes.join([])
    for chunk in cut_rows(schema, batches, CHUNK_ROWS):
        hashes = hash_segments(chunk.columns)
        total = SegmentSizes.join([total, SegmentSizes(hashes, np.ones(len(hashes), np.int64))])
    return total


def hash_segments(columns: Sequence[pa.ChunkedArray]) -> Hashes:
    """Return the segment of each row, as a hash that is never that of the rest."""
    hashes = hash_rows(columns)
    hashes[hashes == OTHER_HASH] = np.uint64(1)  # 0 is that of the rest
    return hashes


def _segment_scan(columns: Sequence[str], by: tuple[str, ...], chosen: Hashes) -> Scan[dict[int, Profile]]:
    places = [list(columns).index(name) for name in by]

    def compute(schema: pa.Schema, batches: Batches) -> dict[int, Profile]:
        return _profile_each(schema, batches, places, chosen)

    parameters = {"by": places, "chosen": [f"{int(each):016x}" for each in chosen]}
    return Scan(_KIND, tuple(columns), compute, _encode, _decode, parameters)


def _profile_each(schema: pa.Schema, batches: Batches, by: Sequence[int], chosen: Hashes) -> dict[int, Profile]:
    """Profile the rows of each chosen segment, and those of all others together."""
    fresh = list(empty_profile(schema).columns.values())
    held: dict[int, list[ColumnProfile]] = defaultdict(lambda: fresh)
    rows: dict[int, int] = defaultdict(int)
    for chunk in cut_rows(schema, batches, CHUNK_ROWS):
        hashes = hash_segments([chunk.column(place) for place in by])
        hashes = np.where(np.isin(hashes, chosen), hashes, OTHER_HASH)
        for key, places in places_of(hashes):
            part = take_rows(chunk, places)
            held[key] = [merge_columns(a, profile_array(b)) for a, b in zip(held[key], part.columns, strict=True)]
            rows[key] += len(places)
    return {key: Profile(rows[key], dict(zip(schema.names, held[key], strict=True))) for key in held}


def places_of(hashes: Hashes) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each hash with the places of its rows."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    edges: Any = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])) if len(ordered) else []
    for start, end in pairwise(edges):
        yield int(ordered[start]), order[start:end]


def key_of(profile: Profile, by: Sequence[str]) -> Key:
    """Return the value, or the pair of values, that all rows of a segment have."""
    values = tuple(_constant(profile.columns[name]) for name in by)
    return values[0] if len(values) == 1 else values


def _constant(column: ColumnProfile) -> Value | None:
    """Return the one value that every row of a segment has."""
    return math.nan if column.nan else column.minimum


def _encode(profiles: Mapping[int, Profile]) -> bytes:
    sink = pa.BufferOutputStream()
    tables = []
    for key, profile in profiles.items():
        table = profile.to_arrow()
        keys = pa.array([key] * table.num_rows, pa.uint64())
        counts = pa.array([profile.rows] * table.num_rows, pa.int64())
        tables.append(table.add_column(0, "segment", keys).add_column(1, "segment_rows", counts))
    head = tables[0].schema.metadata if tables else None
    joined = pa.concat_tables([table.replace_schema_metadata(head) for table in tables]) if tables else pa.table({})
    with pa.ipc.new_stream(sink, joined.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(joined)
    return bytes(sink.getvalue())


def _decode(data: bytes) -> dict[int, Profile]:
    with pa.ipc.open_stream(data) as reader:
        joined = reader.read_all().combine_chunks()
    if not joined.num_columns:
        return {}
    keys = joined["segment"].to_numpy()
    found: dict[int, Profile] = {}
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=True):
        part = joined.slice(start, end - start)
        columns = Profile.from_arrow(part.drop_columns(["segment", "segment_rows"])).columns
        found[int(keys[start])] = Profile(part["segment_rows"][0].as_py(), columns)
    return found

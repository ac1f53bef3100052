"""The profile of one column: what can be said of its values from mergeable counts.

Everything but floating moments and the counters of a sketch is the same for every cut of the rows,
and only that part enters `digest`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from numpy.typing import NDArray

from foldstore.datastore.exact_cast import map_entries
from foldstore.datastore.statistics.clock import Gap, count_clock
from foldstore.datastore.statistics.counting import (
    INT64,
    check_text,
    count_lengths,
    count_numbers,
    first_row,
    first_rows,
)
from foldstore.datastore.statistics.distinct import DistinctHashes, Overlap
from foldstore.datastore.statistics.frequent import EXACT_LIMIT, ValueCounts
from foldstore.datastore.statistics.grid import Grid, Ints, Scale
from foldstore.datastore.statistics.hashing import hash_column, hash_numbers
from foldstore.datastore.statistics.moments import Moments
from foldstore.datastore.statistics.nested import MOST_LEVELS, is_list, steps_of, take_step
from foldstore.datastore.statistics.reading import (
    Kind,
    Raw,
    Value,
    kind_of,
    kind_of_text,
    plain_array,
    present,
    read_numbers,
    value_type,
    write_raw,
)
from foldstore.datastore.statistics.text_shape import CLASSES, shape_texts
from foldstore.errors import SchemaMismatchError

_NO_MOMENTS: Final = Moments()
_PIECE: Final = 131_072


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, weakref_slot=True)
class ColumnProfile:
    """The statistics of one column.

    Attributes
    ----------
    type : str
        The Arrow type of the values, as text.
    rows, nulls, nan, pos_inf, neg_inf, zero, negative, empty : int
        Exact counts; `empty` is text, bytes or a list of length 0.
    low, high : Raw or None
        The extremes as held (ticks for times); NaN left out. See `minimum` and `maximum`.
    low_at, high_at : int or None
        The first row that holds each, counted from 0 in the order of the rows.
    moments : Moments
        Of the finite numbers.
    grid, log_grid, lengths : Grid or None
        Of finite numbers by width and (floats) by leading bits; of text lengths in characters (bytes for bytes).
    byte_lengths, valency : Grid or None
        Of text lengths in bytes of UTF-8; of the number of items in lists.
    masks : ValueCounts or None
        Which forms texts have; see `foldstore.datastore.statistics.text_shape`.
    classes : tuple of int or None
        How many texts belong to each class; see `text_classes`.
    hours, weekdays : tuple of int or None
        Times by hour of the day, and by day of the week from Monday on; in UTC where they have a zone.
    week : tuple of int or None
        Timestamps by hour of the week, from Monday 00:00 on, on the clock of their zone.
    values : ValueCounts or None
        Which values, how often.
    hashes : DistinctHashes or None
        The set of values, once they are too many for exact counts.
    children : mapping of str to ColumnProfile
        Of nested values, what is inside, by the piece of path that it adds: ``.field`` of a struct, ``[]`` of a list.
        The rows of items are the items.
    """

    type: str
    rows: int = 0
    nulls: int = 0
    nan: int = 0
    pos_inf: int = 0
    neg_inf: int = 0
    zero: int = 0
    negative: int = 0
    empty: int = 0
    low: Raw | None = None
    high: Raw | None = None
    low_at: int | None = None
    high_at: int | None = None
    moments: Moments = _NO_MOMENTS
    grid: Grid | None = None
    log_grid: Grid | None = None
    lengths: Grid | None = None
    byte_lengths: Grid | None = None
    valency: Grid | None = None
    masks: ValueCounts | None = None
    classes: tuple[int, ...] | None = None
    hours: tuple[int, ...] | None = None
    weekdays: tuple[int, ...] | None = None
    week: tuple[int, ...] | None = None
    values: ValueCounts | None = None
    hashes: DistinctHashes | None = None
    children: Mapping[str, "ColumnProfile"] = field(default_factory=lambda: MappingProxyType({}))

    def __repr__(self) -> str:
        span = "" if self.low is None else f", {_brief(self.minimum)}..{_brief(self.maximum)}"
        return f"ColumnProfile({self.type}, rows={self.rows}, nulls={self.nulls}, distinct={self.distinct}{span})"

    @property
    def kind(self) -> Kind:
        """How the values are read."""
        return kind_of_text(self.type)

    @property
    def present(self) -> int:
        """How many values are neither null nor NaN."""
        return self.rows - self.nulls - self.nan

    @property
    def null_fraction(self) -> float:
        """The share of rows that are null; 0 without rows."""
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def minimum(self) -> Value | None:
        """The least value that is not NaN."""
        return present(self.low, self.type)

    @property
    def maximum(self) -> Value | None:
        """The greatest value that is not NaN."""
        return present(self.high, self.type)

    @property
    def mean(self) -> float | None:
        """The mean of the finite numbers."""
        return self.moments.mean if self.moments.n and np.isfinite(self.moments.mean) else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation of the finite numbers."""
        return self.moments.std

    @property
    def skewness(self) -> float | None:
        """The population skewness of the finite numbers; None where nothing varies."""
        return self.moments.skewness

    @property
    def kurtosis(self) -> float | None:
        """The population excess kurtosis of the finite numbers, 0 for a normal distribution."""
        return self.moments.kurtosis

    @property
    def text_classes(self) -> dict[str, int]:
        """How many texts belong to each class that occurs: uuid, ipv4, email, url, date, number, json and so on."""
        return {name: count for name, count in zip(CLASSES, self.classes or (), strict=False) if count}

    @property
    def largest_gap(self) -> Gap | None:
        """The longest stretch between times that follow each other; exact while `values.exact`."""
        if self.kind is not Kind.TEMPORAL or self.grid is None or len(self.grid.bins) < 2:
            return None
        exact = self.values is not None and self.values.exact
        starts = self.finite_values()[0] if exact else self.grid.bins << self.grid.level
        gaps = np.diff(starts.astype(np.uint64))  # a difference of int64 may need all 64 bits
        place = int(np.argmax(gaps))
        start, end = (_seen(int(starts[at]), self.type) for at in (place, place + 1))
        return Gap(start, end, int(gaps[place]), 0 if exact else 2 << self.grid.level)

    @property
    def distinct(self) -> int | None:
        """How many different values (null and NaN apart); an estimate unless `distinct_exact`."""
        if self.values is None:
            return None
        return self.hashes.estimate if self.hashes is not None else len(self.values)

    @property
    def distinct_exact(self) -> bool:
        """Whether `distinct` was counted rather than estimated."""
        return self.values is not None and (self.hashes is None or self.hashes.exact)

    def inside(self, path: str = "") -> Iterator[tuple[str, "ColumnProfile"]]:
        """Yield what nested values hold, level by level, each with its path from here on.

        Examples
        --------
        >>> [path for path, _ in profile_array(pa.array([[{"a": 1, "b": [2]}]])).inside("x")]
        ['x[]', 'x[].a', 'x[].b', 'x[].b[]']
        """
        for step, child in self.children.items():
            yield path + step, child
            yield from child.inside(path + step)

    def overlap(self, other: "ColumnProfile") -> Overlap:
        """Say how many different values two columns share, from their profiles alone."""
        if self.values is None or other.values is None:
            raise SchemaMismatchError("Nested values have no set that could be compared.")
        return _distinct_of(self).overlap(_distinct_of(other))

    def top_masks(self, n: int = 10) -> list[tuple[str, int]]:
        """Return the most frequent forms of texts with their counts; ``A9`` is that of ``N12345``."""
        return [] if self.masks is None else self.masks.top(n)

    def top(self, n: int = 10) -> list[tuple[Value, int]]:
        """Return the most frequent values with their counts (a lower bound once values are a sketch)."""
        if self.values is None:
            return []
        return [(_seen(value, self.type), count) for value, count in self.values.top(n)]

    def quantile(self, q: float) -> float | None:
        """Return the value below which a share q of the finite numbers lies.

        Exact while the values are counted exactly (the smallest value with ``F(x) >= q``); else
        interpolated inside one bin of the finer of the two grids. Times come as ticks.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"A quantile lies between 0 and 1, not {q}.")
        if self.grid is None or not self.grid.total:
            return None
        if self.values is not None and self.values.exact:
            finite, counts = self.finite_values()
            place = np.searchsorted(np.cumsum(counts), q * counts.sum() * (1 - 1e-15))
            return float(finite[min(int(place), len(finite) - 1)])
        spans = [grid.quantile_span(q) for grid in (self.grid, self.log_grid) if grid is not None]
        _, value = min(spans)
        return float(np.clip(value, *self._finite_range()))

    def finite_values(self) -> tuple[NDArray[Any], Ints]:
        """Return the finite numbers and their exact counts; only while `values.exact`."""
        assert self.values is not None  # noqa: S101  (a numeric column always has them)
        numbers = np.asarray(self.values.values)
        keep = np.isfinite(numbers) if numbers.dtype.kind == "f" else np.ones(len(numbers), bool)
        return numbers[keep], self.values.counts[keep]

    def mass(self) -> tuple[NDArray[Any], Ints]:
        """Return ascending edges and, exactly, how many finite numbers lie between one and the next.

        ``counts[i]`` numbers are greater than ``edges[i-1]`` and at most ``edges[i]``. The edges are
        the values themselves while these are counted exactly, else the ends of the free grid's bins.
        """
        if self.grid is None:
            return np.empty(0), np.empty(0, np.int64)
        if self.values is not None and self.values.exact:
            return self.finite_values()
        return self.grid.last_values(), self.grid.counts

    def histogram(self, bins: int = 20) -> tuple[list[float], list[int]]:
        """Return edges and counts of equal-width bins, for display; ``len(edges) == len(counts) + 1``.

        A free bin that straddles an edge counts where its middle lies.
        """
        if self.grid is None or not self.grid.total:
            return [], []
        low, high = self._finite_range()
        if low == high:
            return [low, high], [self.grid.total]
        steps = np.linspace(0, 1, bins + 1)
        edges = low * (1 - steps) + high * steps  # the whole span may be more than a double can say
        middles = self.grid.lower_bounds() / 2 + self.grid.upper_bounds() / 2
        if self.grid.scale is Scale.INTEGER and self.grid.level == 0:
            middles = self.grid.lower_bounds()
        cells = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, bins - 1)
        counts = np.zeros(bins, np.int64)
        np.add.at(counts, cells, self.grid.counts)
        return edges.tolist(), counts.tolist()

    def _finite_range(self) -> tuple[float, float]:
        assert self.grid is not None  # noqa: S101  (callers hold a grid with values)
        low = float(self.grid.lower_bounds()[0])
        high = float(self.grid.last_values()[-1])
        if self.low is not None and not self.neg_inf:
            low = float(self.low)
        if self.high is not None and not self.pos_inf:
            high = float(self.high)
        return low, high

    @property
    def digest(self) -> bytes:
        """BLAKE3 of the part that no cut and no order of the rows can change, as the first format had it.

        What the second format added follows from the same values, so ids that were written down stay good.
        """
        counts = [self.rows, self.nulls, self.nan, self.pos_inf, self.neg_inf, self.zero, self.negative, self.empty]
        head: list[Any] = ["column/v1", self.type, counts, write_raw(self.low), write_raw(self.high)]
        arrays: list[NDArray[Any]] = []
        for grid in (self.grid, self.log_grid, self.lengths):
            head.append(None if grid is None else [grid.level, len(grid.bins)])
            arrays += [] if grid is None else [grid.bins, grid.counts]
        head.append(None if self.hashes is None else [len(self.hashes.hashes), self.hashes.exact])
        arrays += [] if self.hashes is None else [self.hashes.hashes]
        head.append(None if self.values is None else [self.values.exact])
        if self.children:
            head.append([[step, child.digest.hex()] for step, child in self.children.items()])
        if self.values is not None and self.values.exact:
            arrays += [_value_hashes(self.values), self.values.counts]
        digest = blake3(json.dumps(head, separators=(",", ":")).encode() + b"\n")
        for array in arrays:
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return bytes(digest.digest())

    def to_dict(self) -> dict[str, Any]:
        """Return the figures a person asks for as plain, JSON-safe data."""
        plain: dict[str, Any] = {
            "type": self.type,
            "rows": self.rows,
            "nulls": self.nulls,
            "null_fraction": self.null_fraction,
            "nan": self.nan,
            "zero": self.zero,
            "negative": self.negative,
            "empty": self.empty,
            "minimum": json_value(self.minimum),
            "maximum": json_value(self.maximum),
            "distinct": self.distinct,
            "distinct_exact": self.distinct_exact,
            "top": [[json_value(value), count] for value, count in self.top(10)],
        }
        if self.kind.is_numeric and self.kind is not Kind.TEMPORAL:
            quantiles = {f"q{q:g}": self.quantile(q / 100) for q in (5, 25, 50, 75, 95)}
            shape = {"skewness": self.skewness, "kurtosis": self.kurtosis}
            infinite = {"pos_inf": self.pos_inf, "neg_inf": self.neg_inf}
            plain |= {"mean": self.mean, "std": self.std, **shape, **infinite, **quantiles}
        return plain | self._shape_to_dict()

    def _shape_to_dict(self) -> dict[str, Any]:
        """Return what only some kinds of column have."""
        plain: dict[str, Any] = {"minimum_at": self.low_at, "maximum_at": self.high_at}
        for name in ("lengths", "byte_lengths", "valency"):
            grid: Grid | None = getattr(self, name)
            if grid is not None and grid.total:
                plain[name] = [int(grid.lower_bounds()[0]), int(grid.last_values()[-1])]
        if self.masks is not None:
            plain |= {"masks": [list(pair) for pair in self.top_masks(10)], "classes": self.text_classes}
        plain |= {name: list(counts) for name in ("hours", "weekdays") if (counts := getattr(self, name)) is not None}
        if self.children:
            plain["inside"] = {step: child.to_dict() for step, child in self.children.items()}
        if (gap := self.largest_gap) is not None:
            ends = {"start": json_value(gap.start), "end": json_value(gap.end)}
            plain["largest_gap"] = {**ends, "ticks": gap.ticks, "error": gap.error}
        return plain


def empty_column(kind: pa.DataType, rows: int = 0) -> ColumnProfile:
    """Return the profile of a column in which every one of `rows` rows is null."""
    return replace(_no_rows(value_type(kind)), rows=rows, nulls=rows)


@lru_cache(maxsize=256)
def _no_rows(kind: pa.DataType) -> ColumnProfile:
    """Profile no rows once a type: every merge begins with it."""
    return profile_array(pa.nulls(0, kind))


def profile_array(array: pa.Array | pa.ChunkedArray, level: int = 0) -> ColumnProfile:
    """Profile the values of one array in one step; `level` says how deep inside of others they are.

    Examples
    --------
    >>> profile_array(pa.array([3, 1, None, 3])).top(1)
    [(3, 2)]
    """
    plain = plain_array(array)
    kind = kind_of(plain.type)
    base = ColumnProfile(type=str(plain.type), rows=len(plain), nulls=plain.null_count)
    if kind is Kind.OPAQUE:
        return _profile_nested(base, plain, level)
    if kind.is_numeric:
        return _profile_numbers(base, plain, kind)
    return _profile_text(base, plain, kind)


def merge_columns(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    """Join the profiles of two ranges of rows of one column, in order."""
    if a.type != b.type:
        raise SchemaMismatchError(
            f"Profiles of {a.type} and {b.type} values cannot be merged.",
            hint="Profile the data again under one type.",
            types=[a.type, b.type],
        )
    if not a.rows or not b.rows:
        return a if a.rows else b
    values = None if a.values is None or b.values is None else a.values.merge(b.values)
    hashes = None
    if values is not None and not values.exact:
        hashes = _distinct_of(a).merge(_distinct_of(b))
    (low, low_at), (high, high_at) = _extreme(a, b, "low", min), _extreme(a, b, "high", max)
    return ColumnProfile(
        type=a.type,
        rows=a.rows + b.rows,
        nulls=a.nulls + b.nulls,
        nan=a.nan + b.nan,
        pos_inf=a.pos_inf + b.pos_inf,
        neg_inf=a.neg_inf + b.neg_inf,
        zero=a.zero + b.zero,
        negative=a.negative + b.negative,
        empty=a.empty + b.empty,
        low=low,
        high=high,
        low_at=low_at,
        high_at=high_at,
        moments=_merge_moments(a, b, values),
        grid=_merge_grids(a.grid, b.grid),
        log_grid=_merge_grids(a.log_grid, b.log_grid),
        lengths=_merge_grids(a.lengths, b.lengths),
        byte_lengths=_merge_grids(a.byte_lengths, b.byte_lengths),
        valency=_merge_grids(a.valency, b.valency),
        masks=None if a.masks is None or b.masks is None else a.masks.merge(b.masks),
        classes=_add(a.classes, b.classes),
        hours=_add(a.hours, b.hours),
        weekdays=_add(a.weekdays, b.weekdays),
        week=_add(a.week, b.week),
        values=values,
        hashes=hashes,
        children=_merge_children(a.children, b.children),
    )


def _profile_numbers(base: ColumnProfile, array: pa.Array, kind: Kind) -> ColumnProfile:
    numbers = read_numbers(array, kind)
    values, counts, nan = count_numbers(numbers, kind)
    is_float = values.dtype.kind == "f"
    finite = np.isfinite(values) if is_float else np.ones(len(values), bool)
    floats = values.astype(np.float64)[finite] if kind not in INT64 else values
    weights = counts[finite]
    tally = ValueCounts.of(values, counts)
    low, high = (values[0].item(), values[-1].item()) if len(values) else (None, None)
    low_at, high_at = first_rows(array, numbers, (low, high))
    if kind is Kind.DECIMAL and low is not None:
        wide = array.cast(pa.decimal256(array.type.precision, array.type.scale))  # short decimals lack the kernels
        extremes = pc.min_max(wide).as_py()
        low, high = extremes["min"], extremes["max"]
        low_at, high_at = (first_row(wide, extreme) for extreme in (low, high))
    return replace(
        base,
        nan=nan,
        pos_inf=int(counts[-1]) if is_float and high == np.inf else 0,
        neg_inf=int(counts[0]) if is_float and low == -np.inf else 0,
        zero=int(counts[values == 0].sum()),
        negative=int(counts[values < 0].sum()),
        low=low,
        high=high,
        low_at=low_at,
        high_at=high_at,
        moments=Moments.of(floats, weights),
        grid=Grid.of_integers(values, counts) if kind in INT64 else Grid.of_floats(floats, weights),
        log_grid=Grid.of_logarithms(floats, weights) if kind is Kind.FLOAT else None,
        **(count_clock(values, counts, array.type) if kind is Kind.TEMPORAL else {}),
        values=tally,
        hashes=None if tally.exact else DistinctHashes.of(hash_numbers(values)),
    )


def _profile_text(base: ColumnProfile, array: pa.Array, kind: Kind) -> ColumnProfile:
    """Profile text and bytes from their different values, each looked at once."""
    target = pa.large_string() if kind is Kind.TEXT else pa.large_binary()
    if array.type in (pa.string_view(), pa.binary_view()):  # Arrow has no filter for these
        array = array.cast(target)
    encoded = array.dictionary_encode()
    values, codes = encoded.dictionary.cast(target), encoded.indices.fill_null(-1).to_numpy()
    counts = np.bincount(codes + 1, minlength=len(values) + 1)[1:]
    if kind is Kind.TEXT:
        check_text(values)
    hashes = hash_column(values) if len(values) > EXACT_LIMIT else None
    tally = ValueCounts.of(values, counts)
    order = pc.array_sort_indices(tally.values)
    low, high = _ends(order.to_numpy()) if tally.exact else _extremes_of(values)
    byte_lengths = pc.binary_length(values).to_numpy()
    profile = replace(
        base,
        empty=int(counts[byte_lengths == 0].sum()),
        low=None if low is None else values[low].as_py(),
        high=None if high is None else values[high].as_py(),
        low_at=None if low is None else int(np.argmax(codes == low)),
        high_at=None if high is None else int(np.argmax(codes == high)),
        lengths=count_lengths(byte_lengths, counts),
        values=replace(tally, values=tally.values.take(order), counts=tally.counts[order.to_numpy()]),
        hashes=None if hashes is None else DistinctHashes.of(hashes),
    )
    if kind is Kind.BINARY:
        return profile
    masks, classes = shape_texts(values, counts, byte_lengths)
    in_characters = count_lengths(pc.utf8_length(values).to_numpy(), counts)
    return replace(profile, lengths=in_characters, byte_lengths=profile.lengths, masks=masks, classes=classes)


def _ends(order: NDArray[Any]) -> tuple[int | None, int | None]:
    """Return the places of the least and the greatest of values, given their order."""
    return (int(order[0]), int(order[-1])) if len(order) else (None, None)


def _extremes_of(values: pa.Array) -> tuple[int | None, int | None]:
    extremes = pc.min_max(values)
    return pc.index(values, extremes["min"]).as_py(), pc.index(values, extremes["max"]).as_py()


def _profile_nested(base: ColumnProfile, array: pa.Array, level: int) -> ColumnProfile:
    """Count how many items lists have, and profile what nested values hold."""
    steps = steps_of(array.type) if level < MOST_LEVELS else {}
    children = {step: _profile_inside(take_step(array, step)[0], level + 1) for step in steps}
    base = replace(base, children=MappingProxyType(children))
    if not is_list(array.type) and not pa.types.is_map(array.type):
        return base
    if isinstance(array, pa.MapArray):
        array = map_entries(array)
    lengths, counts = count_numbers(np.asarray(pc.list_value_length(array).drop_null().to_numpy()), Kind.INTEGER)[:2]
    return replace(base, valency=Grid.of_integers(lengths, counts), empty=int(counts[lengths == 0].sum()))


def _profile_inside(values: pa.Array, level: int) -> ColumnProfile:
    """Profile values piece by piece: few rows may hold many items."""
    profile = profile_array(values.slice(0, _PIECE), level)
    for start in range(_PIECE, len(values), _PIECE):
        profile = merge_columns(profile, profile_array(values.slice(start, _PIECE), level))
    return profile


def _merge_children(a: Mapping[str, ColumnProfile], b: Mapping[str, ColumnProfile]) -> Mapping[str, ColumnProfile]:
    """Join what is inside, where both parts say something of it; a type has the same steps in all parts."""
    return MappingProxyType({step: merge_columns(a[step], b[step]) for step in a if step in b})


def _distinct_of(column: ColumnProfile) -> DistinctHashes:
    if column.hashes is not None:
        return column.hashes
    assert column.values is not None  # noqa: S101  (merge_columns asks only where there are values)
    return DistinctHashes.of(_value_hashes(column.values))


def _value_hashes(counts: ValueCounts) -> NDArray[np.uint64]:
    values = counts.values
    return hash_column(values) if isinstance(values, pa.Array) else hash_numbers(values)


def _merge_grids(a: Grid | None, b: Grid | None) -> Grid | None:
    return None if a is None or b is None else a.merge(b)


def _merge_moments(a: ColumnProfile, b: ColumnProfile, values: ValueCounts | None) -> Moments:
    """Join moments; while all values are held, measure them anew, so that no cut shows in the last bits."""
    if values is None or not values.exact or isinstance(values.values, pa.Array):
        return a.moments.merge(b.moments)
    if not a.moments.n or not b.moments.n:
        return a.moments if a.moments.n else b.moments
    numbers = values.values.astype(np.float64)
    finite = np.isfinite(numbers)
    return Moments.of(numbers[finite], values.counts[finite])


def _add(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if a is None or b is None else tuple(map(sum, zip(a, b, strict=True)))


def _extreme(a: ColumnProfile, b: ColumnProfile, name: str, choose: Any) -> tuple[Raw | None, int | None]:
    """Return the extreme of two ranges of rows, and the first row that holds it."""
    (mine, at), (theirs, there) = ((getattr(each, name), getattr(each, f"{name}_at")) for each in (a, b))
    there = None if there is None else there + a.rows
    if mine is None or theirs is None:
        return (theirs, there) if mine is None else (mine, at)
    return (mine, at) if choose(mine, theirs) == mine else (theirs, there)


def _seen(raw: Raw, type_text: str) -> Value:
    seen = present(raw, type_text)
    assert seen is not None  # noqa: S101  (only null has no appearance, and nulls are counted apart)
    return seen


def _brief(value: Value | None) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:23] + "…"


def json_value(value: Value | None) -> Any:
    """Return a value as JSON can carry it: NaN, infinities, times, decimals and bytes as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value.hex() if isinstance(value, bytes) else str(value)

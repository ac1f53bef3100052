"""The profile of one column: what can be said of its values from mergeable counts.

Everything but floating moments and the counters of a sketch is the same for every cut of the rows,
and only that part enters `digest`.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from numpy.typing import NDArray

from foldstore.datastore.statistics.distinct import DistinctHashes
from foldstore.datastore.statistics.frequent import EXACT_LIMIT, ValueCounts
from foldstore.datastore.statistics.grid import Grid, Ints, Scale, join_equal
from foldstore.datastore.statistics.hashing import hash_column, hash_numbers
from foldstore.datastore.statistics.moments import Moments
from foldstore.datastore.statistics.reading import (
    Kind,
    Raw,
    Value,
    kind_of,
    parse_type,
    plain_array,
    present,
    read_numbers,
    value_type,
    write_raw,
)
from foldstore.errors import SchemaMismatchError

# Whole numbers in a narrow range are counted by place instead of sorted.
_DENSE_RANGE: Final = 1 << 20
_NO_MOMENTS: Final = Moments()
_INT64: Final = frozenset(kind for kind in Kind if kind.has_integer_grid)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ColumnProfile:
    """The statistics of one column.

    Attributes
    ----------
    type : str
        The Arrow type of the values, as text.
    rows, nulls, nan, pos_inf, neg_inf, zero, negative, empty : int
        Exact counts; `empty` is text or bytes of length 0.
    low, high : Raw or None
        The extremes as held (ticks for times); NaN left out. See `minimum` and `maximum`.
    moments : Moments
        Of the finite numbers.
    grid, log_grid, lengths : Grid or None
        Of finite numbers by width and (floats) by leading bits; of text lengths.
    values : ValueCounts or None
        Which values, how often.
    hashes : DistinctHashes or None
        The set of values, once they are too many for exact counts.
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
    moments: Moments = _NO_MOMENTS
    grid: Grid | None = None
    log_grid: Grid | None = None
    lengths: Grid | None = None
    values: ValueCounts | None = None
    hashes: DistinctHashes | None = None

    def __repr__(self) -> str:
        span = "" if self.low is None else f", {_brief(self.minimum)}..{_brief(self.maximum)}"
        return f"ColumnProfile({self.type}, rows={self.rows}, nulls={self.nulls}, distinct={self.distinct}{span})"

    @property
    def kind(self) -> Kind:
        """How the values are read."""
        kind = parse_type(self.type)
        return Kind.OPAQUE if kind is None else kind_of(kind)

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
    def distinct(self) -> int | None:
        """How many different values (null and NaN apart); an estimate unless `distinct_exact`."""
        if self.values is None:
            return None
        return self.hashes.estimate if self.hashes is not None else len(self.values)

    @property
    def distinct_exact(self) -> bool:
        """Whether `distinct` was counted rather than estimated."""
        return self.values is not None and (self.hashes is None or self.hashes.exact)

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
        spans = [_quantile_span(grid, q) for grid in (self.grid, self.log_grid) if grid is not None]
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
        edges = np.linspace(low, high, bins + 1)
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
        """BLAKE3 of the part that no cut of the rows can change."""
        counts = [self.rows, self.nulls, self.nan, self.pos_inf, self.neg_inf, self.zero, self.negative, self.empty]
        head: list[Any] = ["column/v1", self.type, counts, write_raw(self.low), write_raw(self.high)]
        arrays: list[NDArray[Any]] = []
        for grid in (self.grid, self.log_grid, self.lengths):
            head.append(None if grid is None else [grid.level, len(grid.bins)])
            arrays += [] if grid is None else [grid.bins, grid.counts]
        head.append(None if self.hashes is None else [len(self.hashes.hashes), self.hashes.exact])
        arrays += [] if self.hashes is None else [self.hashes.hashes]
        head.append(None if self.values is None else [self.values.exact])
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
            plain |= {"mean": self.mean, "std": self.std, **quantiles}
        return plain


def empty_column(kind: pa.DataType, rows: int = 0) -> ColumnProfile:
    """Return the profile of a column in which every one of `rows` rows is null."""
    return replace(profile_array(pa.nulls(0, value_type(kind))), rows=rows, nulls=rows)


def profile_array(array: pa.Array | pa.ChunkedArray) -> ColumnProfile:
    """Profile the values of one array in one step.

    Examples
    --------
    >>> profile_array(pa.array([3, 1, None, 3])).top(1)
    [(3, 2)]
    """
    plain = plain_array(array)
    kind = kind_of(plain.type)
    base = ColumnProfile(type=str(plain.type), rows=len(plain), nulls=plain.null_count)
    if kind is Kind.OPAQUE:
        return base
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
    values = None if a.values is None or b.values is None else a.values.merge(b.values)
    hashes = None
    if values is not None and not values.exact:
        hashes = _distinct_of(a).merge(_distinct_of(b))
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
        low=_extreme(min, a.low, b.low),
        high=_extreme(max, a.high, b.high),
        moments=a.moments.merge(b.moments),
        grid=_merge_grids(a.grid, b.grid),
        log_grid=_merge_grids(a.log_grid, b.log_grid),
        lengths=_merge_grids(a.lengths, b.lengths),
        values=values,
        hashes=hashes,
    )


def _profile_numbers(base: ColumnProfile, array: pa.Array, kind: Kind) -> ColumnProfile:
    values, counts, nan = _count_numbers(read_numbers(array, kind), kind)
    is_float = values.dtype.kind == "f"
    finite = np.isfinite(values) if is_float else np.ones(len(values), bool)
    floats = values.astype(np.float64)[finite] if kind not in _INT64 else values
    weights = counts[finite]
    tally = ValueCounts.of(values, counts)
    low, high = (values[0].item(), values[-1].item()) if len(values) else (None, None)
    if kind is Kind.DECIMAL and low is not None:
        extremes = pc.min_max(array).as_py()
        low, high = extremes["min"], extremes["max"]
    return replace(
        base,
        nan=nan,
        pos_inf=int(counts[-1]) if is_float and high == np.inf else 0,
        neg_inf=int(counts[0]) if is_float and low == -np.inf else 0,
        zero=int(counts[values == 0].sum()),
        negative=int(counts[values < 0].sum()),
        low=low,
        high=high,
        moments=Moments.of(floats, weights),
        grid=Grid.of_integers(values, counts) if kind in _INT64 else Grid.of_floats(floats, weights),
        log_grid=Grid.of_logarithms(floats, weights) if kind is Kind.FLOAT else None,
        values=tally,
        hashes=None if tally.exact else DistinctHashes.of(hash_numbers(values)),
    )


def _count_numbers(numbers: NDArray[Any], kind: Kind) -> tuple[NDArray[Any], Ints, int]:
    """Return the different numbers ascending, their counts, and how many were NaN."""
    nan = 0
    if numbers.dtype.kind == "f":
        is_nan = np.isnan(numbers)
        nan = int(np.count_nonzero(is_nan))
        numbers = (numbers[~is_nan] if nan else numbers) + 0.0  # adding zero turns -0.0 into 0.0
    target = np.int64 if kind in _INT64 else numbers.dtype
    if not len(numbers):
        return np.empty(0, target), np.empty(0, np.int64), nan
    if kind in _INT64:
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < min(_DENSE_RANGE, 8 * len(numbers) + 1_024):
            places = np.bincount(numbers.astype(np.int64) - low)
            present_places = np.flatnonzero(places)
            return present_places + low, places[present_places], nan
    ordered = np.sort(numbers)
    values, counts = _run_lengths(ordered)
    return values.astype(target, copy=False), counts, nan


def _run_lengths(ordered: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[starts], np.diff(starts, append=len(ordered)).astype(np.int64)


def _profile_text(base: ColumnProfile, array: pa.Array, kind: Kind) -> ColumnProfile:
    """Profile text and bytes from their different values, each looked at once."""
    counted = pc.value_counts(array.drop_null())
    target = pa.large_string() if kind is Kind.TEXT else pa.large_binary()
    values, counts = counted.field(0).cast(target), counted.field(1).to_numpy()
    hashes = hash_column(values) if len(values) > EXACT_LIMIT else None
    lengths = (pc.utf8_length(values) if kind is Kind.TEXT else pc.binary_length(values)).to_numpy()
    by_length = np.argsort(lengths, kind="stable")
    grid = Grid.of_integers(*join_equal(lengths[by_length], counts[by_length]))
    extremes = pc.min_max(values).as_py()
    tally = ValueCounts.of(values, counts)
    order = pc.array_sort_indices(tally.values)
    return replace(
        base,
        empty=int(counts[lengths == 0].sum()),
        low=extremes["min"],
        high=extremes["max"],
        lengths=grid,
        values=replace(tally, values=tally.values.take(order), counts=tally.counts[order.to_numpy()]),
        hashes=None if hashes is None else DistinctHashes.of(hashes),
    )


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


def _extreme(choose: Any, a: Raw | None, b: Raw | None) -> Raw | None:
    if a is None or b is None:
        return b if a is None else a
    chosen: Raw = choose(a, b)
    return chosen


def _quantile_span(grid: Grid, q: float) -> tuple[float, float]:
    """Return the width of the bin that holds the quantile, and the value interpolated in it."""
    cumulated = np.cumsum(grid.counts)
    rank = q * float(cumulated[-1])
    place = min(int(np.searchsorted(cumulated, rank)), len(cumulated) - 1)
    low, high = float(grid.lower_bounds()[place]), float(grid.upper_bounds()[place])
    inside = (rank - float(cumulated[place] - grid.counts[place])) / float(grid.counts[place])
    # Two halves, since the bounds of the widest bins are farther apart than a double can say.
    return high / 2 - low / 2, low * (1 - inside) + min(high, float(np.finfo(np.float64).max)) * inside


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

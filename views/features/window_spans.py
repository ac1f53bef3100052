"""What windows hold, computed: ranges of rows in each tile, put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.exact_sum import Floats, Integers, add, round_pair, round_sum, to_int64
from foldstore.views.features.window import Window
from foldstore.views.features.window_ranges import find_extremes, find_next_equal, find_nth
from foldstore.views.features.window_tiles import Tile
from foldstore.views.features.window_values import ColumnTotals, from_ordered, to_floats, to_ordered

Flags = NDArray[np.bool_]

_UNKNOWN: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Span:
    """Ranges of a tile's rows, one for each window.

    Attributes
    ----------
    first, past : ndarray of int64
        The first place of a range, and the one after its last.
    lowest : ndarray of int64
        The first place of the entity at any time.
    """

    tile: Tile
    first: Integers
    past: Integers
    lowest: Integers


class WindowSpans:
    """Computes functions of windows of one kind.

    Parameters
    ----------
    window : Window
        What the ranges are of.
    spans : sequence of Span
        What each tile has of them; tiles of earlier rows first.
    """

    def __init__(self, window: Window, spans: Sequence[Span]) -> None:
        self._window = window
        self._spans = tuple(spans)
        self._unseen: Flags = np.logical_and.reduce([span.past <= span.lowest for span in spans])
        self._count = len(self._unseen)
        self._values: dict[str, list[tuple[Integers, Integers]]] = {}
        self._sums: dict[str, Floats] = {}

    def compute(self, aggregation: Aggregation) -> pa.Array:
        """Return one value for each window."""
        if aggregation.column is None:
            rows = np.sum([span.past - span.first for span in self._spans], axis=0, dtype=np.int64)
            return pa.array(rows, mask=self._unseen)
        column = aggregation.column
        functions: Mapping[str, Callable[[], pa.Array]] = {
            "count": lambda: pa.array(self._counts(column), mask=self._unseen),
            "sum": lambda: self._sum(column),
            "mean": lambda: self._mean(column),
            "std": lambda: self._std(column),
            "min": lambda: self._extreme(column, greatest=False),
            "max": lambda: self._extreme(column, greatest=True),
            "first": lambda: self._edge(column, last=False),
            "last": lambda: self._edge(column, last=True),
            "distinct": lambda: self._distinct(column),
            "quantile": lambda: self._quantile(column, aggregation.quantile or 0.0),
        }
        return functions[aggregation.function]()

    def _totals(self, column: str) -> list[ColumnTotals]:
        return [span.tile.totals[column] for span in self._spans]

    def _ranges(self, column: str) -> list[tuple[Integers, Integers]]:
        """Return which values each window holds of each tile."""
        if column not in self._values:
            pairs = zip(self._totals(column), self._spans, strict=True)
            self._values[column] = [totals.span(span.first, span.past) for totals, span in pairs]
        return self._values[column]

    def _counts(self, column: str) -> Integers:
        counts: Integers = np.sum([past - first for first, past in self._ranges(column)], axis=0, dtype=np.int64)
        return counts

    def _digits(self, column: str, part: str) -> dict[int, Integers]:
        found: dict[int, Integers] = {}
        for totals, (first, past) in zip(self._totals(column), self._ranges(column), strict=True):
            add(found, {place: held[past] - held[first] for place, held in getattr(totals, part).items()})
        return found

    def _odd(self, column: str, name: str) -> Integers:
        """Return how many values of each window are NaN, or infinite."""
        found = np.zeros(self._count, dtype=np.int64)
        for totals, (first, past) in zip(self._totals(column), self._ranges(column), strict=True):
            if name in totals.odd:
                found += totals.odd[name][past] - totals.odd[name][first]
        return found

    def _sum(self, column: str) -> pa.Array:
        empty = self._counts(column) == 0
        if pa.types.is_floating(self._totals(column)[0].values.type):
            return pa.array(self._sum_floats(column), mask=empty, from_pandas=False)
        whole, beyond = to_int64(self._digits(column, "digits"), self._count)
        if beyond.any():
            raise UsageError(
                f"A sum of {column!r} is beyond 64 bits.",
                hint="Cast the column to double in the source, or take the mean.",
                code="sum-too-large",
                column=column,
            )
        return pa.array(whole, mask=empty)

    def _sum_floats(self, column: str) -> Floats:
        if column not in self._sums:
            self._sums[column] = self._add_floats(column)
        return self._sums[column]

    def _add_floats(self, column: str) -> Floats:
        total = round_sum(self._digits(column, "digits"), self._count)
        up, down = self._odd(column, "inf") > 0, self._odd(column, "-inf") > 0
        total[up] = np.inf
        total[down] = -np.inf
        total[(up & down) | (self._odd(column, "nan") > 0)] = np.nan
        return total

    def _mean(self, column: str) -> pa.Array:
        counts = self._counts(column)
        return pa.array(self._sum_floats(column) / np.maximum(counts, 1), mask=counts == 0, from_pandas=False)

    def _std(self, column: str) -> pa.Array:
        """Return sqrt((n * sum of squares - square of the sum) / (n * (n - 1))), in pairs of doubles."""
        counts = self._counts(column)
        size = np.maximum(counts, 2).astype(np.float64)
        squares = _times(*round_pair(self._digits(column, "squares"), self._count), size)
        total, rest = round_pair(self._digits(column, "digits"), self._count)
        with np.errstate(over="ignore", invalid="ignore"):
            whole, left = _product(total, total)
            left += 2 * total * rest
            difference = (squares[0] - whole) + (squares[1] - left)
            spread = np.sqrt(np.maximum(difference, 0) / (size * (size - 1)))
        spread[self._constant(column)] = 0.0
        spread[self._odd(column, "wide") > 0] = np.inf
        odd = self._odd(column, "nan") + self._odd(column, "inf") + self._odd(column, "-inf")
        spread[odd > 0] = np.nan
        return pa.array(spread, mask=counts < 2, from_pandas=False)

    def _constant(self, column: str) -> Flags:
        """Say where all values of a window are one: their spread is 0, and not what rounding leaves."""
        same = np.ones(self._count, dtype=np.bool_)
        value = np.full(self._count, np.nan)
        for totals, (first, past) in zip(self._totals(column), self._ranges(column), strict=True):
            here = past > first
            if totals.steps is None or not here.any():
                continue
            inside = totals.steps[past] - totals.steps[np.minimum(first + 1, past)]
            mine = to_floats(totals.values)[np.minimum(first, len(totals.values) - 1)]
            same &= ~here | ((inside == 0) & (np.isnan(value) | (value == mine)))
            value = np.where(here, mine, value)
        return same

    def _extreme(self, column: str, *, greatest: bool) -> pa.Array:
        answers = []
        best: tuple[NDArray[Any], Flags] | None = None
        for totals, (first, past) in zip(self._totals(column), self._ranges(column), strict=True):
            numbers, names = to_ordered(totals.values)
            found, here = find_extremes(numbers, first, past, greatest=greatest), past > first
            if names is not None:  # ranks, which mean nothing in another tile
                answers.append(from_ordered(found, ~here, totals.values, names))
            elif best is None:
                best = found, here
            else:
                both = (np.fmax if greatest else np.fmin)(best[0], found)
                best = np.where(best[1] & here, both, np.where(here, found, best[0])), best[1] | here
        if best is not None:
            return from_ordered(best[0], ~best[1], self._totals(column)[0].values, None)
        pick = pc.max_element_wise if greatest else pc.min_element_wise
        return answers[0] if len(answers) == 1 else pick(*answers, skip_nulls=True)

    def _edge(self, column: str, *, last: bool) -> pa.Array:
        """Return the first or the last value by event time, created time and write order."""
        chosen = np.full(self._count, -1, dtype=np.int64)
        best: tuple[Integers, Integers] | None = None
        places = []
        for number, (span, totals) in enumerate(zip(self._spans, self._totals(column), strict=True)):
            first, past = self._ranges(column)[number]
            here = past > first
            place = np.where(here, past - 1 if last else first, 0)
            places.append(place)
            if not here.any():
                continue
            row = place if totals.before is None else np.searchsorted(totals.before, place, side="right") - 1
            times = span.tile.index.times_at(row)
            created = span.tile.index.created_at(row)
            known = np.full(self._count, _UNKNOWN) if created is None else created
            if best is None:
                better = here
                best = times, known
            else:
                # Of equal ones that of the later tile is the last, and that of the earlier the first.
                later = (times > best[0]) | ((times == best[0]) & (known >= best[1]))
                better = here & ((chosen < 0) | (later if last else ~later))
                best = np.where(better, times, best[0]), np.where(better, known, best[1])
            chosen[better] = number
        answers = [
            totals.values.take(pa.array(place, mask=chosen != number))
            for number, (totals, place) in enumerate(zip(self._totals(column), places, strict=True))
        ]
        kept = [answer for answer in answers if answer.null_count < len(answer)]
        if len(kept) < 2:
            return (kept or answers)[0]
        picked = pa.array(np.maximum(chosen, 0) * self._count + np.arange(self._count), mask=chosen < 0)
        return pa.chunked_array(answers).take(picked).combine_chunks()

    def _only(self, column: str) -> tuple[Span, ColumnTotals, Integers, Integers]:
        """Return the one tile of functions that are not put together."""
        (span,) = self._spans
        return (span, span.tile.totals[column], *self._ranges(column)[0])

    def _distinct(self, column: str) -> pa.Array:
        """Count values less pairs of neighbours among equal ones that are both in the window."""
        span, totals, first, past = self._only(column)
        index = span.tile.index
        rows = np.arange(index.num_rows) if totals.before is None else np.flatnonzero(np.diff(totals.before))
        numbers, _ = to_ordered(totals.values)
        following = find_next_equal(numbers, index.entities_in_order()[rows] if len(rows) else rows)
        pairs = np.flatnonzero(following >= 0)
        if self._window.kind == "session":
            began = span.tile.session_starts(self._window.length)
            together = began[rows[pairs]] == began[rows[following[pairs]]]
        else:
            times = index.times_at(rows)
            _, leaves = self._window.changes(times[pairs])
            enters, _ = self._window.changes(times[following[pairs]])
            together = enters < leaves
        # A pair begins when its second enters and ends when its first leaves; windows only move on, so that all that
        # ended in them began before.
        begun, ended = np.zeros((2, len(numbers) + 1), dtype=np.int64)
        begun[following[pairs[together]] + 1] = 1
        ended[pairs[together] + 1] = 1
        np.cumsum(begun, out=begun)
        np.cumsum(ended, out=ended)
        distinct = np.where(past > first, (past - first) - (begun[past] - ended[first]), 0)
        return pa.array(distinct, mask=self._unseen)

    def _quantile(self, column: str, asked: float) -> pa.Array:
        """Interpolate linearly between the two nearest values, as numpy does (Hyndman and Fan 1996, type 7)."""
        _, totals, first, past = self._only(column)
        empty = past <= first
        numbers = to_floats(totals.values)
        place = asked * np.maximum(past - first - 1, 0)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(past - first - 1, 0))
        share = place - below
        low, high = np.split(
            find_nth(
                numbers, np.concatenate([first, first]), np.concatenate([past, past]), np.concatenate([below, above])
            ),
            2,
        )
        with np.errstate(invalid="ignore", over="ignore"):
            step = high - low
            found = np.where(share < 0.5, low + step * share, high - step * (1 - share))
        found = np.where(low == high, low, found)  # of two infinities too
        found[self._odd(column, "nan") > 0] = np.nan
        return pa.array(found, mask=empty, from_pandas=False)


def _product(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return a product as a double and what it leaves out (Dekker 1971)."""
    splitter = 2.0**27 + 1
    product = left * right
    (a, b), (c, d) = (_halves(each, splitter) for each in (left, right))
    return product, ((a * c - product) + a * d + b * c) + b * d


def _halves(value: Floats, splitter: float) -> tuple[Floats, Floats]:
    half = value * splitter
    high = half - (half - value)
    return high, value - high


def _times(whole: Floats, rest: Floats, factor: Floats) -> tuple[Floats, Floats]:
    with np.errstate(over="ignore", invalid="ignore"):
        product, left = _product(whole, factor)
        return product, left + rest * factor

"""Changes since the reference that have a name: another unit, another time zone, new categories, longer tails.

All is read from profiles and counts on pinned grids; each needs both a large effect and more than chance.
"""

from collections.abc import Iterator
from math import isfinite, log, sqrt
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.pinned import CategoryGrid, GridCounts, NumericGrid
from foldstore.datastore.statistics.reading import Kind
from foldstore.validation.anomaly import percent
from foldstore.validation.column_domains import CategoryDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.document import is_number
from foldstore.validation.drift.measures import divergence
from foldstore.validation.failing_rows import Predicate, Question, above, below
from foldstore.validation.finding import Finding
from foldstore.validation.intervals import cohen_h, wilson

_LEAST_ROWS: Final = 100
_NUMBERS: Final = (Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL)
# Jensen-Shannon distances (base 2, debiased): so far apart as they are, and so near, and so much nearer, once undone.
_APART: Final = 0.20
_UNDONE: Final = 0.05
_NEARER: Final = 4
# Hours of the day are few, and seasons move them a little.
_HOURS_UNDONE: Final = 0.10
# Cohen h of the share of unknown categories: from nothing to 1 %.
_NEW_CATEGORIES: Final = 0.20
_TAIL_SHARE: Final = 0.02
_Z: Final = 3.0
_SCALES: Final = (
    *((10.0**power, f"multiplied by {10**power}") for power in (1, 2, 3, 4, 5, 6, 9)),
    (60.0, "multiplied by 60 (seconds for minutes, or minutes for hours?)"),
    (3_600.0, "multiplied by 3600 (seconds for hours?)"),
    (24.0, "multiplied by 24 (hours for days?)"),
    (86_400.0, "multiplied by 86400 (seconds for days?)"),
    (12.0, "multiplied by 12 (inches for feet, or months for years?)"),
    (2.54, "multiplied by 2.54 (centimetres for inches?)"),
    (0.3048, "multiplied by 0.3048 (metres for feet?)"),
    (1.609344, "multiplied by 1.609344 (kilometres for miles?)"),
    (0.45359237, "multiplied by 0.45359237 (kilograms for pounds?)"),
    (28.349523125, "multiplied by 28.349523125 (grams for ounces?)"),
    (3.785411784, "multiplied by 3.785411784 (litres for gallons?)"),
)
# Scale, offset, and what was done.
_CONVERSIONS: Final = (
    *((scale, 0.0, words) for scale, words in _SCALES),
    *((1 / scale, 0.0, words.replace("multiplied", "divided").partition(" (")[0]) for scale, words in _SCALES),
    (1.8, 32.0, "turned from degrees Celsius into Fahrenheit"),
    (1 / 1.8, -32 / 1.8, "turned from degrees Fahrenheit into Celsius"),
    (1.0, 273.15, "turned from degrees Celsius into kelvins"),
    (1.0, -273.15, "turned from kelvins into degrees Celsius"),
)


def check_shifts(
    name: str, schema: ColumnSchema, column: ColumnProfile, counts: GridCounts | None, *, drifted: bool = False
) -> Iterator[Finding]:
    """Yield the changes of a column since the reference that can be named.

    Parameters
    ----------
    counts : GridCounts or None
        Of the judged rows on the schema's grid, where they are known.
    drifted : bool
        Whether the distribution as a whole was found to have moved: then its tails and its other values go unsaid.
    """
    yield from _check_hours(name, schema, column)
    if schema.grid is None or schema.reference is None or schema.reference.total < _LEAST_ROWS:
        return
    if isinstance(schema.grid, CategoryGrid):
        if counts is not None and not drifted and not isinstance(schema.domain, CategoryDomain):
            yield from _check_new_categories(name, schema.reference, counts)
    elif isinstance(schema.grid, NumericGrid) and column.kind in _NUMBERS:
        yield from _check_unit(name, schema.grid, schema.reference, column)
        if not drifted:
            yield from _check_tails(name, schema, column)


def may_shift(schema: ColumnSchema) -> bool:
    """Whether a column has something that a change could be told from."""
    return "hours" in schema.evidence or (schema.grid is not None and schema.reference is not None)


def _distance(f: NDArray[Any], g: NDArray[Any]) -> float:
    """Return the Jensen-Shannon distance, base 2, less what chance alone would make of it."""
    noise = (len(f) - 1) * (1 / f.sum() + 1 / g.sum()) / 8
    return sqrt(max(0.0, float(divergence(f, g)) - noise) / log(2))


def _check_unit(name: str, grid: NumericGrid, reference: GridCounts, column: ColumnProfile) -> Iterator[Finding]:
    """Look for the conversion after which the reference's cells would hold what they held."""
    ends, counts = column.mass()
    if len(grid.edges) < 3 or counts.sum() < _LEAST_ROWS:
        return
    f, edges = np.array(reference.cells), np.array(grid.edges, np.float64)
    values = np.asarray(ends, np.float64)
    as_is = _distance(f, _cells(values, counts, edges))
    if as_is < _APART:
        return
    with np.errstate(over="ignore"):  # edges near the greatest double
        tried = [
            (_distance(f, _cells(values, counts, edges * scale + offset)), scale, offset, words)
            for scale, offset, words in _CONVERSIONS
        ]
    distance, scale, offset, words = min(tried)
    if distance <= min(_UNDONE, as_is / _NEARER):
        evidence = {"scale": scale, "offset": offset, "distance": distance, "distance_as_is": as_is}
        yield Finding(
            code="unit_change_suspect",
            column=name,
            facts={"words": words, "before": f"{as_is:.2f}", "after": f"{distance:.2f}"},
            observed=scale,
            expected=1,
            evidence={**evidence, "n_ref": reference.total, "n_cur": int(counts.sum())},
        )


def _cells(values: NDArray[np.float64], counts: Ints, edges: NDArray[np.float64]) -> NDArray[Any]:
    # What was divided and is multiplied again may miss an edge by a rounding.
    slack = np.where(np.isfinite(edges), np.abs(edges) * 1e-9, 0.0)
    places = np.searchsorted(values, edges + slack, side="right")
    up_to = np.concatenate([[0], np.cumsum(counts)])
    return np.diff(up_to[places], prepend=0, append=up_to[-1])


def _check_hours(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    """Compare hours of the day with those that the inference saw, turned by each number of hours.

    A shift by one hour is what daylight saving makes of local times, and not reported.
    """
    before = schema.evidence.get("hours")
    if column.hours is None or not isinstance(before, list | tuple) or len(before) != len(column.hours):
        return
    if not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in before):
        return
    f, g = np.array(before, np.int64), np.array(column.hours, np.int64)
    if min(f.sum(), g.sum()) < _LEAST_ROWS:
        return
    by_lag = {lag: _distance(f, np.roll(g, -lag)) for lag in range(-11, 13)}
    lag = min(by_lag, key=lambda each: (by_lag[each], abs(each)))
    as_is, distance = by_lag[0], by_lag[lag]
    if abs(lag) > 1 and as_is >= _APART and distance <= min(_HOURS_UNDONE, as_is / _NEARER):
        yield Finding(
            code="timezone_shift_suspect",
            column=name,
            facts={"lag": f"{abs(lag)} h {'later' if lag > 0 else 'earlier'}"},
            observed=lag,
            expected=0,
            evidence={"distance": distance, "distance_as_is": as_is, "n_ref": int(f.sum()), "n_cur": int(g.sum())},
        )


def _check_new_categories(name: str, reference: GridCounts, counts: GridCounts) -> Iterator[Finding]:
    if not counts.total:
        return
    before, after = (each.cells[-1] / each.total for each in (reference, counts))
    _, high = wilson(reference.cells[-1], reference.total, _Z)
    low, _ = wilson(counts.cells[-1], counts.total, _Z)
    if low > high and cohen_h(before, after) >= _NEW_CATEGORIES:
        yield Finding(
            code="new_category_mass",
            column=name,
            facts={"before": percent(before), "after": percent(after)},
            observed=after,
            expected=before,
            count=counts.cells[-1],
            of=counts.total,
            evidence={"effect": cohen_h(before, after), "n_ref": reference.total, "n_cur": counts.total},
        )


def _check_tails(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    low, high = schema.evidence.get("minimum"), schema.evidence.get("maximum")
    if low is None or high is None or not all(is_number(each) and isfinite(each) for each in (low, high)):
        return
    ends, counts = column.mass()
    beyond, total = _beyond(column, ends, counts, low, high), int(counts.sum())
    if beyond < _TAIL_SHARE * total or wilson(beyond, total, _Z)[0] < _TAIL_SHARE / 2:
        return
    yield Finding(
        code="tail_mass",
        column=name,
        facts={"share": percent(beyond / total), "low": low, "high": high},
        question=Question(name, _outside(low, high)),
        observed=beyond / total,
        expected=0,
        of=column.present,
        evidence={"minimum": low, "maximum": high},
    )


def _beyond(column: ColumnProfile, ends: NDArray[Any], counts: Ints, low: float, high: float) -> int:
    """Count finite numbers outside of a range: exactly, or by the bins that lie wholly outside."""
    if not len(ends) or column.values is None:
        return 0
    first = int(np.searchsorted(ends, low, side="left"))
    last = int(np.searchsorted(ends, high, side="right" if column.values.exact else "left"))
    return int(counts[:first].sum() + counts[last + (not column.values.exact) :].sum())


def _outside(low: float, high: float) -> Predicate:
    is_below, is_above = below(low), above(high)

    def fails(values: pa.Array) -> pa.Array:
        return pc.or_(is_below(values), is_above(values))

    return fails

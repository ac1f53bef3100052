"""Drift by segment: the rows that share the values of one or two columns, compared with the same of the reference.

The p-values are adjusted over columns x segments. Segments have few rows: what these cannot show is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from foldstore.datastore.statistics.column import json_value
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, WeekGrid
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.row_source import RowSource
from foldstore.datastore.statistics.segment_pairs import SegmentPair, SegmentPairs, count_pairs_on, pair_segments
from foldstore.datastore.statistics.segments import MAX_SEGMENTS, OTHER, OTHER_HASH, show_key
from foldstore.errors import UsageError
from foldstore.validation.check import compared_columns, drift_between, nulls_compared, with_untested
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.comparison import (
    ColumnDrift,
    Comparison,
    DriftResult,
    DriftTarget,
    detect_drift,
    detect_drift_together,
)
from foldstore.validation.drift.concept import PairCounts
from foldstore.validation.drift.mix import ColumnParts, split_changes
from foldstore.validation.drift.segments import SegmentDrift, SegmentedDrift
from foldstore.validation.drift.text import GRADES, drift_grade
from foldstore.validation.drift_checks import drift_targets, pinned_grids
from foldstore.validation.subject import Subject, sealed_columns, source_of

# Two columns of fifty values each; every segment costs a comparison for each column.
MOST_SEGMENTS: Final = 2_500


def drift_by_segment(
    reference: Subject,
    current: Subject,
    by: str | Sequence[str],
    *,
    policy: DriftPolicy | None = None,
    adjustment: Adjustment = "bh",
    max_segments: int = MAX_SEGMENTS,
) -> SegmentedDrift:
    """Compare two sets of rows segment by segment, column by column, each as `drift_between` compares all rows.

    Parameters
    ----------
    reference, current : Subject
    by : str or sequence of str
        One column or two.
    policy : DriftPolicy, optional
        Limits, level and metric; the defaults unless given.
    adjustment : {'bh', 'by', 'holm'}
        How p-values are adjusted for the number of columns and segments.
    max_segments : int
        How many segments stand alone: those with most rows of either side. The rest is compared as one.

    Raises
    ------
    UsageError
        When rows cannot be sliced by these columns.
    ColumnNotFoundError
        When a column is not there, on either side.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.subject import TableSubject
    >>> zone, x = ["in", "out"] * 1000, [0, 1, 1, 0] * 500
    >>> before = TableSubject(pa.table({"zone": zone, "x": x}), "a")
    >>> after = TableSubject(pa.table({"zone": zone, "x": [a * (z == "in") for a, z in zip(x, zone)]}), "b")
    >>> drift_by_segment(before, after, "zone").drifted
    (('out', 'x'),)
    """
    if isinstance(max_segments, int) and max_segments > MOST_SEGMENTS:
        raise UsageError(f"max_segments is {max_segments:,}; at most {MOST_SEGMENTS:,} segments are compared.")
    overall = drift_between(reference, current, policy=policy, adjustment=adjustment)
    sides = source_of(reference), source_of(current)
    columns = tuple(reference.profile().columns), tuple(current.profile().columns)
    pairs = pair_segments(sides, columns, by, max_segments)
    whole, sealed = (reference.profile(), current.profile()), sealed_columns(reference, current)
    compared = _compare(pairs, sides, whole, policy, sealed)
    found = detect_drift_together([each.asked for each in compared.pairs], adjustment=adjustment)
    results = {
        each.pair.hash: with_untested(result, each.before, each.after)
        for each, result in zip(compared.pairs, found, strict=True)
    }
    limits = policy or DriftPolicy()
    return SegmentedDrift(
        by=pairs.by,
        segments=_worst_first(pairs, results),
        overall=overall,
        mix=_compare_shares(pairs, limits),
        columns=_split(compared.tables, limits, f"{reference.profile().id}\n{current.profile().id}"),
        left_over=pairs.left_over,
        tests=sum(len(each.asked.targets) for each in compared.pairs),
        alpha=limits.alpha,
        tau=limits.tau_warn,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """What is compared of one segment that both sides have."""

    pair: SegmentPair
    before: Profile
    after: Profile
    asked: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class _Comparisons:
    pairs: list[_Compared]
    tables: list[PairCounts]


def _compare(
    pairs: SegmentPairs,
    sides: tuple[RowSource, RowSource],
    whole: tuple[Profile, Profile],
    policy: DriftPolicy | None,
    sealed: Sequence[str],
) -> _Comparisons:
    """Count the segments: each on the grids that its reference chooses, and all on those of all rows of the reference.

    Both are asked for at once, so that rows whose profiles do not suffice are read once on each side.
    """
    before, after = (_flat(pairs, is_after=is_after) for is_after in (False, True))
    plans: dict[int, dict[str, ColumnSchema]] = {
        key: compared_columns(before[key], after[key], policy=policy) for key in before if key in after
    }
    own = {key: list(pinned_grids(columns).items()) for key, columns in plans.items()}
    shared = [
        (name, column.grid)
        for name, column in compared_columns(*map(with_inner, whole), policy=policy).items()
        if column.grid is not None and not isinstance(column.grid, WeekGrid) and name not in pairs.by
    ]
    alone = [each.hash for each in pairs.pairs if each.hash != int(OTHER_HASH)]
    of_reference = count_pairs_on(sides[0], pairs.by, alone, before, dict.fromkeys(before, shared))
    of_current = count_pairs_on(sides[1], pairs.by, alone, after, {key: [*own.get(key, ()), *shared] for key in after})
    compared = []
    for each in pairs.pairs:
        if each.hash in plans:
            names = [name for name, _ in own[each.hash]]
            counts = dict(zip(names, of_current[each.hash], strict=False))
            p, q = before[each.hash], after[each.hash]
            targets = drift_targets(counts, plans[each.hash], q)
            nulls = nulls_compared(p, q, plans[each.hash], policy=policy, sealed=sealed)
            compared.append(_Compared(each, p, q, Comparison(targets, f"{p.id}\n{q.id}", nulls)))
    current = {key: counts[len(own.get(key, ())) :] for key, counts in of_current.items()}
    return _Comparisons(compared, _tables(pairs, shared, of_reference, current))


def with_inner(profile: Profile) -> Profile:
    """Return a profile with what is inside of nested columns beside them, as it is compared."""
    return Profile(profile.rows, {**profile.columns, **profile.nested}) if profile.nested else profile


def _flat(pairs: SegmentPairs, *, is_after: bool) -> dict[int, Profile]:
    held = {each.hash: each.after if is_after else each.before for each in pairs.pairs}
    return {key: with_inner(profile) for key, profile in held.items() if profile is not None}


def _tables(
    pairs: SegmentPairs,
    grids: Sequence[tuple[str, PinnedGrid]],
    before: Mapping[int, Sequence[GridCounts]],
    after: Mapping[int, Sequence[GridCounts]],
) -> list[PairCounts]:
    """Return for each column the counts of all segments on the cells of all rows."""
    names = tuple(show_key(each.key) for each in pairs.pairs)
    tables = []
    for place, (name, grid) in enumerate(grids):
        f, g = (
            np.array(
                [
                    [*side[each.hash][place].cells, side[each.hash][place].nan]
                    if each.hash in side
                    else [0] * (grid.cells + 1)
                    for each in pairs.pairs
                ],
                np.int64,
            )
            for side in (before, after)
        )
        tables.append(PairCounts(feature=name, labels=names, classes=(*grid.labels, "NaN"), reference=f, current=g))
    return tables


def _split(tables: Sequence[PairCounts], limits: DriftPolicy, seed: str) -> dict[str, ColumnParts]:
    taus = limits.tau_warn, limits.tau_error
    return split_changes(tables, seed=f"{seed}\nwithin segments", limits=taus, alpha=limits.alpha)


def _compare_shares(pairs: SegmentPairs, limits: DriftPolicy) -> ColumnDrift:
    """Compare the shares of the segments themselves: a cell for each, those that one side alone has among them."""
    before, after = (
        GridCounts(tuple(0 if each is None else each.rows for each in side))
        for side in ([each.before for each in pairs.pairs], [each.after for each in pairs.pairs])
    )
    name = ", ".join(pairs.by)
    target = DriftTarget(
        column=name,
        labels=tuple(show_key(each.key) for each in pairs.pairs) or ("none",),
        reference=before if pairs.pairs else GridCounts((0,)),
        current=after if pairs.pairs else GridCounts((0,)),
        policy=DriftPolicy(tau_warn=limits.tau_warn, tau_error=limits.tau_error, alpha=limits.alpha),
    )
    return detect_drift([target], seed=f"mix of {name}").columns[name]


def _worst_first(pairs: SegmentPairs, results: Mapping[int, DriftResult]) -> tuple[SegmentDrift, ...]:
    n = sum(each.before.rows for each in pairs.pairs if each.before is not None)
    m = sum(each.after.rows for each in pairs.pairs if each.after is not None)
    segments = []
    for each in pairs.pairs:
        f, g = (0 if side is None else side.rows for side in (each.before, each.after))
        values = () if each.key is OTHER else each.key if isinstance(each.key, tuple) else (each.key,)
        segments.append(
            SegmentDrift(
                name=show_key(each.key),
                values=tuple(json_value(value) for value in values),
                is_other=each.key is OTHER,
                rows_reference=f,
                rows_current=g,
                share_reference=f / n if n else 0.0,
                share_current=g / m if m else 0.0,
                drift=results.get(each.hash),
            )
        )
    return tuple(sorted(segments, key=_gravity))


def _gravity(segment: SegmentDrift) -> tuple[float, ...]:
    if segment.drift is None:
        return 1.0, 0.0, -max(segment.share_reference, segment.share_current)
    columns = segment.drift.columns.values()
    moved = [(drift_grade(each), max(each.effect, each.null_effect)) for each in columns]
    moved += [
        (GRADES[str(each.verdict)], each.effect) for each in segment.drift.nulls_alone.values() if each.is_flagged
    ]
    grade = min((grade for grade, _ in moved), default=4)
    worst = max((effect for each, effect in moved if each == grade), default=0.0)
    return float(grade), -float(len(segment.drifted)), -worst

"""The checks of a column's statistics: how many values, how many different ones, between what they lie."""

from collections.abc import Iterator, Mapping
from typing import Any

from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.validation.anomaly import percent
from foldstore.validation.column_bounds import Bounds, Span, Uniqueness
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.evolution import Patch
from foldstore.validation.finding import Finding
from foldstore.validation.intervals import is_more


def check_statistics(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    """Yield what is wrong with a column's statistics."""
    if schema.stage is Stage.DEPRECATED:
        yield Finding(code="column_deprecated_present", column=name, facts={})
    if column.present < schema.min_count:
        yield Finding(
            code="present_count_low",
            column=name,
            facts={"present": column.present, "expected": schema.min_count},
            observed=column.present,
            expected=schema.min_count,
            fix=(_set(name, "min_count", column.present),),
        )
    if schema.unique is not None:
        yield from _check_unique(name, schema.unique, column)
    if schema.bounds is not None and (column.present or column.nan):
        yield from _check_bounds(name, schema.bounds, column)


def _set(column: str, field: str, value: Any) -> Patch:
    return {"op": "set", "column": column, "field": field, "value": value}


def _check_unique(name: str, unique: Uniqueness, column: ColumnProfile) -> Iterator[Finding]:
    distinct = column.distinct
    if distinct is None and unique == Uniqueness(max=0):  # whether there is one is known of any type
        distinct = min(column.present, 1)
    if distinct is None:
        yield Finding(
            code="stats_unavailable",
            column=name,
            facts={"field": "unique", "reason": f"different values of type {column.type} are not counted"},
        )
        return
    evidence = {"exact": column.distinct_exact}
    for code, limit, is_beyond in (
        ("unique_low", unique.min, unique.min is not None and distinct < unique.min),
        ("unique_high", unique.max, unique.max is not None and distinct > unique.max),
    ):
        if is_beyond:
            yield Finding(
                code=code,
                column=name,
                facts={"distinct": distinct, "limit": limit},
                observed=distinct,
                expected=limit,
                evidence=evidence,
                fix=(_fix_unique(name, unique, code, distinct),),
            )
    ratio = distinct / column.present if column.present else None
    span = (unique.min_ratio, unique.max_ratio)
    if ratio is not None and _is_outside(ratio, span):
        side = "min_ratio" if unique.min_ratio is not None and ratio < unique.min_ratio else "max_ratio"
        yield Finding(
            code="unique_ratio",
            column=name,
            facts={"ratio": percent(ratio), "allowed": _shown(span)},
            observed=ratio,
            expected=list(span),
            evidence=evidence,
            fix=(_set(name, f"unique.{side}", min(ratio, 1.0)),),
        )


def _fix_unique(name: str, unique: Uniqueness, code: str, distinct: int) -> Patch:
    if unique == Uniqueness(max=0):  # a column gets its first values: how many there will be is not known
        return _set(name, "unique", None)
    return _set(name, f"unique.{'min' if code == 'unique_low' else 'max'}", distinct)


def _check_bounds(name: str, bounds: Bounds, column: ColumnProfile) -> Iterator[Finding]:
    for code, field, span, observed in (
        ("mean_out_of_bounds", "mean", bounds.mean, column.mean),
        ("std_out_of_bounds", "std", bounds.std, column.std),
    ):
        if span is not None:
            yield from _judge(code, name, field, span, observed)
    yield from _check_quantiles(name, bounds, column)
    top = column.top(1)
    if bounds.max_top_share is None or not top:
        return
    value, count = top[0]
    if count > bounds.max_top_share * column.present:
        share_seen = count / column.present
        allowed = percent(bounds.max_top_share)
        yield Finding(
            code="near_constant",
            column=name,
            facts={"share": percent(share_seen), "value": repr(json_value(value)), "allowed": allowed},
            observed=share_seen,
            expected=bounds.max_top_share,
            count=count,
            of=column.present,
            fix=(_set(name, "bounds.max_top_share", share_seen),),
        )


def _check_quantiles(name: str, bounds: Bounds, column: ColumnProfile) -> Iterator[Finding]:
    """Judge each quantile; every fix widens all that are outside, since a patch sets them together.

    They are named apart in the patch: shares hold dots, which paths are cut at.
    """
    observed = {share: column.quantile(float(share)) for share in bounds.quantiles}
    outside = {
        share: seen
        for share, seen in observed.items()
        if seen is None
        or bounds.confidence is None
        or _is_surely_outside(column, float(share), bounds.quantiles[share], bounds.confidence)
    }
    kept = {share: _widened(span, outside.get(share)) for share, span in bounds.quantiles.items()}
    for share, seen in outside.items():
        yield from _judge(
            "quantile_out_of_bounds", name, "quantiles", bounds.quantiles[share], seen, share=share, kept=kept
        )


def _widened(span: Span, observed: float | None) -> list[float | None]:
    low, high = span
    if observed is None:
        return [low, high]
    return [low if low is None else min(low, observed), high if high is None else max(high, observed)]


def _judge(
    code: str,
    name: str,
    field: str,
    span: Span,
    observed: float | None,
    *,
    share: str | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Iterator[Finding]:
    if observed is None:
        reason = "there is no finite number, or too few"
        yield Finding(code="stats_unavailable", column=name, facts={"field": f"bounds.{field}", "reason": reason})
        return
    if not _is_outside(observed, span):
        return
    wider: Any = _widened(span, observed)
    yield Finding(
        code=code,
        column=name,
        facts={"share": share, "observed": f"{observed:.6g}", "allowed": _shown(span)},
        observed=observed,
        expected=list(span),
        fix=(_set(name, f"bounds.{field}", wider if share is None else dict(kept or {})),),
    )


def _is_surely_outside(column: ColumnProfile, share: float, span: Span, confidence: float) -> bool:
    """Whether more numbers lie beyond a limit than the quantile leaves there, by more than chance.

    Counted by the cells that lie beyond as a whole.
    """
    ends, counts = column.mass()
    n = int(counts.sum())
    low, high = span
    exact = column.values is not None and column.values.exact
    for limit, allowed, is_high in ((low, share, False), (high, 1 - share, True)):
        if limit is None:
            continue
        if not is_high:
            beyond = counts[ends < limit].sum()
        else:  # a cell holds what lies above the end of the one before
            beyond = counts[ends > limit].sum() if exact else counts[1:][ends[:-1] >= limit].sum()
        if is_more(int(beyond), n, allowed, confidence):
            return True
    return False


def _is_outside(value: float, span: Span) -> bool:
    low, high = span
    return (low is not None and value < low) or (high is not None and value > high)


def _shown(span: Span) -> str:
    low, high = span
    if low is None:
        return f"at most {high:.6g}"
    return f"at least {low:.6g}" if high is None else f"{low:.6g} to {high:.6g}"

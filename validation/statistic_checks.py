"""The checks of a column's statistics: how many values, how many different ones, between what they lie."""

from collections.abc import Iterator, Mapping
from typing import Any

from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.validation.anomaly import percent
from foldstore.validation.column_bounds import Bounds, Span, Uniqueness
from foldstore.validation.column_schema import ColumnSchema, Stage
from foldstore.validation.evolution import Patch
from foldstore.validation.finding import Finding


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
    if schema.bounds is not None and column.present:
        yield from _check_bounds(name, schema.bounds, column)


def _set(column: str, field: str, value: Any) -> Patch:
    return {"op": "set", "column": column, "field": field, "value": value}


def _check_unique(name: str, unique: Uniqueness, column: ColumnProfile) -> Iterator[Finding]:
    distinct = column.distinct
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
                fix=(_set(name, f"unique.{'min' if code == 'unique_low' else 'max'}", distinct),),
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


def _check_bounds(name: str, bounds: Bounds, column: ColumnProfile) -> Iterator[Finding]:
    for code, field, span, observed in (
        ("mean_out_of_bounds", "mean", bounds.mean, column.mean),
        ("std_out_of_bounds", "std", bounds.std, column.std),
    ):
        if span is not None:
            yield from _judge(code, name, field, span, observed)
    for share, span in bounds.quantiles.items():
        # Named apart in the patch: the shares hold dots, which paths are cut at.
        kept = {each: list(limits) for each, limits in bounds.quantiles.items()}
        observed = column.quantile(float(share))
        yield from _judge("quantile_out_of_bounds", name, "quantiles", span, observed, share=share, kept=kept)
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
    low, high = span
    wider: Any = [low if low is None else min(low, observed), high if high is None else max(high, observed)]
    yield Finding(
        code=code,
        column=name,
        facts={"share": share, "observed": f"{observed:.6g}", "allowed": _shown(span)},
        observed=observed,
        expected=list(span),
        fix=(_set(name, f"bounds.{field}", wider if share is None else {**(kept or {}), share: wider}),),
    )


def _is_outside(value: float, span: Span) -> bool:
    low, high = span
    return (low is not None and value < low) or (high is not None and value > high)


def _shown(span: Span) -> str:
    low, high = span
    if low is None:
        return f"at most {high:.6g}"
    return f"at least {low:.6g}" if high is None else f"{low:.6g} to {high:.6g}"

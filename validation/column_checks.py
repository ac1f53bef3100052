"""The checks of one column's values: nulls, ranges, vocabularies, constancy."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.datastore.statistics.pinned import CategoryGrid
from foldstore.datastore.statistics.reading import Kind
from foldstore.validation.anomaly import percent
from foldstore.validation.column_domains import CategoryDomain, NumericDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.evolution import Patch
from foldstore.validation.failing_rows import Question, above, below, is_missing, is_nan, is_null, outside
from foldstore.validation.finding import Finding
from foldstore.validation.intervals import Z_CHECK, allowed_null_share, is_more, wilson
from foldstore.validation.row_checks import check_rows
from foldstore.validation.statistic_checks import check_statistics
from foldstore.validation.subject import Subject
from foldstore.validation.suspect_values import check_missing_marks, check_near_misses

_SHOWN_VALUES: Final = 5
_FIXED_VALUES: Final = 100
# Fewer equal values than this are no sign of a column that stopped varying.
_CONSTANT_ROWS: Final = 20
_ROWS_FOR_DECIMALS: Final = 100


def check_column(
    name: str, schema: ColumnSchema, column: ColumnProfile, subject: Subject, now: datetime | None = None
) -> Iterator[Finding]:
    """Yield what is wrong with a column that is there and has the right type."""
    yield from check_nulls(name, schema, column)
    if may_be_constant(schema, column) and column.distinct == 1:
        value = json_value(column.minimum)
        yield Finding(
            code="constant_column",
            column=name,
            facts={"value": repr(value)},
            observed=value,
            count=column.present,
            of=column.rows,
            fix=(set_field(name, "constant", value=True),),
        )
    if isinstance(schema.domain, NumericDomain):
        yield from check_range(name, schema.domain, column)
        yield from _check_decimals(name, schema.domain, column, subject)
    elif isinstance(schema.domain, CategoryDomain):
        yield from _check_vocabulary(name, schema.domain, column, subject)
    yield from check_missing_marks(name, schema, column)
    yield from check_near_misses(name, schema, column)
    yield from check_statistics(name, schema, column)
    yield from check_rows(name, schema, column, now, subject)


def may_be_constant(schema: ColumnSchema, column: ColumnProfile) -> bool:
    """Whether it would be an anomaly if all values were one."""
    return not schema.constant and column.present >= _CONSTANT_ROWS


def _check_decimals(name: str, domain: NumericDomain, column: ColumnProfile, subject: Subject) -> Iterator[Finding]:
    """Look for one value that uses the last decimal; where there is one, the first rows mostly have it."""
    decimals = domain.decimals
    if decimals is None or column.kind not in (Kind.FLOAT, Kind.DECIMAL) or column.present < _ROWS_FOR_DECIMALS:
        return
    for batch in subject.batches([name]):
        values = batch.column(0).drop_null().cast(pa.float64())
        short = pc.round(values, decimals - 1)
        # A double is a little beside its decimals: less than half of the last one counts as none.
        uses = pc.greater(pc.abs(pc.subtract(values, short)), 10.0**-decimals / 2)
        if pc.any(pc.and_(uses, pc.is_finite(values))).as_py():
            return
    yield Finding(
        code="precision_lost",
        column=name,
        facts={"decimals": decimals},
        observed=decimals - 1,
        expected=decimals,
        count=column.present,
        of=column.present,
        fix=(set_field(name, "domain.decimals", value=decimals - 1 or None),),
    )


def set_field(column: str, field: str, *, value: Any) -> Patch:
    """Return the patch that sets one field of a column; None takes it away."""
    return {"op": "set", "column": column, "field": field, "value": value}


def check_nulls(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    """Compare the null fraction with what is allowed, by a one-sided Wilson bound of 99 %."""
    allowed = 0.0 if not schema.nullable else 1 - schema.min_fraction
    counts_nan = isinstance(schema.domain, NumericDomain) and schema.domain.nan == "as_null"
    nulls = column.nulls + (column.nan if counts_nan else 0)
    if not nulls or allowed >= 1:
        return
    low, high = wilson(nulls, column.rows, Z_CHECK)
    if schema.nullable and low <= allowed:
        return
    fix = (
        set_field(name, "nullable", value=None),
        set_field(name, "min_fraction", value=_present_share(nulls, column.rows)),
    )
    question = Question(name, is_missing if counts_nan else is_null)
    share = nulls / column.rows
    if nulls == column.rows:
        facts: dict[str, Any] = {"rows": column.rows}
        yield Finding(code="all_null", column=name, facts=facts, question=question, of=column.rows, fix=fix)
        return
    yield Finding(
        code="null_fraction_high",
        column=name,
        facts={
            "share": percent(share),
            "low": percent(low),
            "high": percent(high),
            "allowed": percent(allowed),
        },
        question=question,
        observed=share,
        expected=allowed,
        of=column.rows,
        evidence={"low": low, "high": high, "n": column.rows},
        fix=fix,
    )


def _present_share(nulls: int, rows: int) -> float:
    return max(0.0, round(1 - allowed_null_share(nulls, rows), 6))


def check_range(name: str, domain: NumericDomain, column: ColumnProfile) -> Iterator[Finding]:
    """Compare the extremes with the domain's, and look for NaN."""
    if column.nan and domain.nan == "deny":
        fix = (set_field(name, "domain.nan", value=None),)
        question = Question(name, is_nan)
        yield Finding(code="nan_present", column=name, facts={}, question=question, of=column.rows, fix=fix)
    if column.low is None or column.high is None:
        return
    low, high = _number(column.low), _number(column.high)
    if domain.min is not None and low < domain.min:
        yield _beyond("below_min", name, domain.min, column, Question(name, below(domain.min)))
    if domain.max is not None and high > domain.max:
        yield _beyond("above_max", name, domain.max, column, Question(name, above(domain.max)))


def _beyond(code: str, name: str, limit: float, column: ColumnProfile, question: Question) -> Finding:
    is_low = code == "below_min"
    raw = _number(column.low if is_low else column.high)
    seen = json_value(column.minimum if is_low else column.maximum)
    side = "domain.min" if is_low else "domain.max"
    return Finding(
        code=code,
        column=name,
        facts={"limit": limit, "extreme": seen},
        question=question,
        observed=seen,
        expected=limit,
        of=column.present,
        fix=(set_field(name, side, value=raw if isfinite(raw) else None),),
    )


def _number(raw: object) -> int | float:
    """Read a held extreme as a number that JSON can carry: whole numbers stay exact."""
    return raw if isinstance(raw, int) else float(raw)  # type: ignore[arg-type]  # numeric columns hold numbers


def _check_vocabulary(name: str, domain: CategoryDomain, column: ColumnProfile, subject: Subject) -> Iterator[Finding]:
    counts = subject.grid_counts({name: CategoryGrid(domain.values)})[name]
    strange = counts.cells[-1]
    if not is_more(strange, column.present, 1 - domain.min_mass, domain.confidence):
        return
    known = set(domain.values)
    new = {value: count for value, count in column.top(len(known) + _FIXED_VALUES + 1) if value not in known}
    shown = ", ".join(f"{value!r} ({count})" for value, count in list(new.items())[:_SHOWN_VALUES])
    more = f" and {len(new) - _SHOWN_VALUES} more" if len(new) > _SHOWN_VALUES else ""
    yield Finding(
        code="value_outside_domain",
        column=name,
        facts={"share": percent(strange / column.present), "new": (shown + more) or "values too rare to list"},
        question=Question(name, outside(domain.values)),
        observed=strange / column.present,
        expected=1 - domain.min_mass,
        of=column.present,
        evidence={"new": [[json_value(value), count] for value, count in list(new.items())[:_FIXED_VALUES]]},
        fix=_vocabulary_fix(name, domain, new, strange, column.present),
    )


def _vocabulary_fix(
    name: str, domain: CategoryDomain, new: Mapping[Any, int], strange: int, n: int
) -> tuple[Patch, ...]:
    """Add the new values when they are all known, else allow their mass."""
    if len(new) <= _FIXED_VALUES and sum(new.values()) == strange:
        return (set_field(name, "domain.values", value=[*domain.values, *new]),)
    return (set_field(name, "domain.min_mass", value=int((1 - strange / n) * 1e6) / 1e6),)

"""The checks of a dataset as a whole: how many rows, how fresh, in what order, which rules its rows keep."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import floor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.comparison import hold_all, hold_throughout
from foldstore.datastore.engine import Engine
from foldstore.datastore.expression import Expression
from foldstore.datastore.statistics.column import ColumnProfile, json_value
from foldstore.datastore.statistics.nested import find_path, take_inside
from foldstore.datastore.statistics.profile import Profile
from foldstore.datastore.statistics.reading import Kind, kind_of_text
from foldstore.errors import ColumnNotFoundError, FoldstoreError
from foldstore.validation.anomaly import percent
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import RowRule
from foldstore.validation.document import read_duration
from foldstore.validation.failing_rows import Predicate, Question
from foldstore.validation.finding import Finding
from foldstore.validation.nested_paths import as_rows, is_of, items_of
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import Subject, TableSubject
from foldstore.validation.ticks import DAY, tick_size, to_microseconds, to_moment

_EXAMPLE_KEYS = 10


def check_row_count(
    subject: Subject, profile: Profile, schema: DataSchema, previous_rows: int | None
) -> Iterator[Finding]:
    """Compare the number of rows with its limits, and with the version before."""
    rows = profile.rows
    if not rows:
        yield Finding(code="no_data", facts={"address": subject.address}, observed=0, expected=schema.min_rows or 1)
        return
    for code, field, limit, is_beyond in (
        ("rows_too_few", "min_rows", schema.min_rows, rows < schema.min_rows),
        ("rows_too_many", "max_rows", schema.max_rows, schema.max_rows is not None and rows > schema.max_rows),
    ):
        if is_beyond:
            yield Finding(
                code=code,
                facts={"rows": rows, "expected": limit},
                observed=rows,
                expected=limit,
                fix=({"op": "set_dataset", "field": field, "value": rows},),
            )
    if schema.rows_vs_previous is not None:
        yield from _check_ratio(rows, schema.rows_vs_previous, previous_rows)


def _check_ratio(rows: int, span: tuple[float | None, float | None], previous: int | None) -> Iterator[Finding]:
    if not previous:
        yield not_judged("rows_vs_previous", "there are no rows before to compare with")
        return
    low, high = span
    ratio = rows / previous
    for code, limit, is_beyond in (
        ("rows_ratio_low", low, low is not None and ratio < low),
        ("rows_ratio_high", high, high is not None and ratio > high),
    ):
        if is_beyond and limit is not None:
            wider = [ratio, high] if code == "rows_ratio_low" else [low, ratio]
            yield Finding(
                code=code,
                facts={"share": percent(ratio), "limit": percent(limit)},
                observed=ratio,
                expected=list(span),
                evidence={"rows": rows, "previous_rows": previous},
                fix=({"op": "set_dataset", "field": "rows_vs_previous", "value": wider},),
            )


def check_freshness(profile: Profile, schema: DataSchema, now: datetime | None) -> Iterator[Finding]:
    """Compare the newest time with the instant of judgement."""
    column = None if schema.time_column is None else profile.columns.get(schema.time_column)
    if schema.freshness is None or column is None:
        return
    newest = _newest(column)
    if now is None or newest is None:
        reason = "no instant of judgement was given" if now is None else "the time column holds no instant"
        yield not_judged("freshness", reason)
        return
    age = to_microseconds(now) - newest
    if age > read_duration(schema.freshness, "freshness") // timedelta(microseconds=1):
        moment = to_moment(newest)
        shown = str(column.maximum) if moment is None else moment.isoformat()
        yield Finding(
            code="stale",
            facts={"newest": shown, "age": _age(age), "allowed": schema.freshness},
            observed=shown,
            expected=schema.freshness,
            evidence={"judged_at": now.isoformat()},
        )


def _newest(column: ColumnProfile) -> int | None:
    """Return the microseconds of the newest time; a date stands for its whole day."""
    size = tick_size(column.type)
    if size is None or not isinstance(column.high, int):
        return None
    return floor(column.high * size) + (DAY if column.type.startswith("date") else 0)


def check_order(subject: Subject, schema: DataSchema, declared: Sequence[str]) -> Iterator[Finding]:
    """Compare the order of columns with the declared one, where order matters.

    Of the `declared` columns the schema may ask for some only; in a fix the others keep their places.
    """
    observed = [name for name in subject.arrow_schema.names if name in schema.column_order]
    expected = [name for name in schema.column_order if name in observed]
    if observed != expected:
        seen = iter(observed)
        value = [next(seen) if name in observed else name for name in declared]
        yield Finding(
            code="column_order_changed",
            facts={"observed": ", ".join(observed), "expected": ", ".join(expected)},
            observed=observed,
            expected=expected,
            fix=({"op": "set_dataset", "field": "column_order", "value": value},),
        )


def check_keys(subject: Subject, schema: DataSchema, fitting: Mapping[str, ColumnSchema]) -> Iterator[Finding]:
    """Find rows that a key does not tell apart; each key for itself."""
    single = [(name,) for name, column in fitting.items() if column.unique is not None and column.unique.key]
    named = (schema.keys, *schema.other_keys)
    for keys in dict.fromkeys([*named, *single]):
        if not keys or not all(key in fitting for key in keys):
            continue
        column = None if keys in named else keys[0]
        nested = next((key for key in keys if kind_of_text(fitting[key].type) is Kind.OPAQUE), None)
        if nested is None:
            yield from _check_key(subject, keys, column)
        elif column is None:  # of a column's own `unique` that is said with the rest of it
            yield not_judged("keys", f"values of {fitting[nested].type} are not compared", nested)


def _check_key(subject: Subject, keys: tuple[str, ...], column: str | None) -> Iterator[Finding]:
    found = subject.duplicate_keys(keys, _EXAMPLE_KEYS)
    if not found.groups:
        return
    examples = [{key: json_value(each[key]) for key in keys} for each in found.examples[:_EXAMPLE_KEYS]]
    shown = ", ".join(f"{key}={value}" for key, value in examples[0].items()) if examples else "none shown"
    yield Finding(
        code="duplicate_key",
        column=column,
        facts={"groups": found.groups, "rows": found.rows, "example": shown},
        observed=found.groups,
        expected=0,
        count=found.rows,
        of=max(subject.num_rows, found.rows),
        examples=tuple({"key": each} for each in examples),
        evidence={"keys": list(keys)},
    )


def check_rules(
    subject: Subject, schema: DataSchema, engine: Engine, elsewhere: Collection[str] = ()
) -> Iterator[Finding]:
    """Ask every row, or value inside, for the schema's conditions; it passes unless one is false.

    Rules on columns that are not there and belong to another environment, `elsewhere`, are not asked.
    """
    for place, rule in enumerate(schema.rules):
        what = rule.name or rule.expr
        columns = subject.arrow_schema if rule.each is None else items_of(rule.each, subject.arrow_schema)
        if columns is None:
            if not is_of(rule.each, elsewhere):
                reason = f"There is no path {rule.each!r}."
                yield Finding(code="schema_invalid", facts={"what": what, "reason": reason}, expected=rule.expr)
            continue
        try:
            condition = engine.parse_predicate(rule.expr, columns, where=f"rules[{place}]")
        except FoldstoreError as error:
            if not (isinstance(error, ColumnNotFoundError) and error.facts.get("column") in elsewhere):
                yield Finding(code="schema_invalid", facts={"what": what, "reason": error.message}, expected=rule.expr)
            continue
        if rule.each is None and _is_known_to_hold(condition, subject):
            continue
        yield Finding(
            code="row_rule_failed",
            facts={"rule": what, "allowed": percent(1 - rule.min_pass_fraction)},
            severity=rule.severity,
            question=_question(rule.each, condition, engine),
            tolerated=1 - rule.min_pass_fraction,
            expected=rule.expr,
            of=subject.num_rows if rule.each is None else _count_inside(subject, rule.each),
            evidence={} if rule.each is None else {"each": rule.each},
            fix=_without(schema.rules, place),
        )


def _is_known_to_hold(condition: Expression, subject: Subject) -> bool:
    """Whether no row in memory needs a look: the extremes of its columns say that the condition is true in each."""
    if not condition.is_simple or not isinstance(subject, TableSubject):
        return False
    return hold_throughout(condition.comparisons, subject.columns(condition.columns))


def _question(path: str | None, condition: Expression, engine: Engine) -> Question:
    breaks = _breaks(condition, engine)
    if path is None:
        return Question(None, breaks, condition.columns)
    return Question(path, lambda values: breaks(as_rows(values).select(list(condition.columns))))


def _count_inside(subject: Subject, path: str) -> int:
    column, steps = find_path(path, subject.arrow_schema) or (path, ())
    return sum(len(take_inside(batch.column(0), steps)[0]) for batch in subject.batches([column]))


def _breaks(condition: Expression, engine: Engine) -> Predicate:
    def fails(batch: Any) -> pa.Array:
        if condition.is_simple and not any(column.null_count for column in batch.columns):
            return pc.invert(hold_all(condition.comparisons, batch))  # without nulls nothing is unknown
        found = engine.evaluate({"the rule": condition}, batch.schema, [batch])
        holds = pa.chunked_array([each.column(0) for each in found], pa.bool_()).combine_chunks()
        return pc.fill_null(pc.invert(holds), False)  # noqa: FBT003

    return fails


def _without(rules: tuple[RowRule, ...], place: int) -> tuple[dict[str, Any], ...]:
    kept = [rule.to_dict() for number, rule in enumerate(rules) if number != place]
    return ({"op": "set_dataset", "field": "rules", "value": kept or None},)


def not_judged(field: str, reason: str, column: str | None = None) -> Finding:
    """Return the finding that something is declared and could not be judged: never a silent pass."""
    return Finding(code="stats_unavailable", column=column, facts={"field": field, "reason": reason})


def check_unjudged(schema: DataSchema) -> Iterator[Finding]:
    """Name what a schema declares and no check of this release looks at."""
    if schema.time_step is not None and schema.time_column is None:
        yield not_judged("time_step", "the schema names no time_column")


def _age(microseconds: int) -> str:
    hours, rest = divmod(microseconds // 10**6, 3600)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {rest // 60} min"

"""The checks that look at every value: lengths, patterns, shapes, order. All share one pass over the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import ceil, floor, inf
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.reading import Kind
from foldstore.datastore.statistics.text_shape import ADDRESSES
from foldstore.validation.column_domains import (
    SEMANTICS,
    BinaryDomain,
    EmbeddingDomain,
    NumericDomain,
    TextDomain,
    TimeDomain,
    TokenDomain,
    whole,
)
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.document import read_duration, read_instant
from foldstore.validation.failing_rows import Predicate, Question, above, below
from foldstore.validation.finding import Finding
from foldstore.validation.subject import Subject
from foldstore.validation.ticks import greatest_tick, least_tick, tick_size, to_microseconds, to_moment

_LISTS: Final = (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)


def check_rows(
    name: str, schema: ColumnSchema, column: ColumnProfile, now: datetime | None, subject: Subject | None = None
) -> Iterator[Finding]:
    """Yield what each value of a column is asked; only what some value fails becomes an anomaly.

    An order goes on from the rows that those of a subject were put behind.
    """
    match schema.domain:
        case NumericDomain():
            yield from _numbers(name, schema.domain, column)
        case TextDomain():
            yield from _texts(name, schema.domain, column)
        case TokenDomain(true_tokens=true, false_tokens=false):
            known = (*true, *false)
            if not _is_known_to_pass(column, _none_of(known)):
                yield _ask("bool_unexpected", name, _none_of(known), column, tokens=", ".join(map(repr, known)))
        case BinaryDomain(max_bytes=limit):
            yield _ask("length_high", name, _longer(pc.binary_length, limit), column, limit=limit, unit="bytes")
        case TimeDomain():
            yield from _times(name, schema.domain, column, now)
        case EmbeddingDomain(dim=dim, norm=norm):
            yield _ask(
                "embedding_dim", name, lambda values: pc.not_equal(pc.list_value_length(values), dim), column, dim=dim
            )
            if norm is not None:
                yield _ask("embedding_norm", name, _norm_outside(norm), column, allowed=list(norm))
    yield from _lists(name, schema, column)
    if schema.monotone is not None:
        fails = _breaks_order(schema.monotone, _last_before(name, column, subject))
        yield _ask("not_monotone", name, fails, column, order=schema.monotone)


def _ask(
    code: str,
    name: str,
    fails: Predicate,
    column: ColumnProfile,
    *,
    tolerated: float = 0.0,
    confidence: float | None = None,
    **facts: Any,
) -> Finding:
    expected = next(iter(facts.values()), None)
    return Finding(
        code=code,
        column=name,
        facts=facts,
        expected=expected,
        question=Question(name, lambda values: pc.fill_null(fails(values), False)),  # noqa: FBT003
        tolerated=tolerated,
        confidence=confidence,
        of=column.present,
    )


def _numbers(name: str, domain: NumericDomain, column: ColumnProfile) -> Iterator[Finding]:
    if domain.inf == "deny" and column.pos_inf + column.neg_inf:
        yield _ask("inf_present", name, pc.is_inf, column)
    if domain.integer and column.kind in (Kind.FLOAT, Kind.DECIMAL):
        yield _ask("not_integer_valued", name, _is_broken, column)


def _is_broken(values: pa.Array) -> pa.Array:
    if pa.types.is_decimal(values.type):
        return pc.not_equal(pc.floor(values), values)
    return pc.and_(pc.is_finite(values), pc.not_equal(pc.floor(values), values))


def _texts(name: str, domain: TextDomain, column: ColumnProfile) -> Iterator[Finding]:
    shortest, longest = _lengths(column)
    if domain.min_length is not None and shortest < domain.min_length:
        fails = _shorter(_characters, domain.min_length)
        yield _ask("length_low", name, fails, column, limit=domain.min_length, unit="characters")
    if domain.max_length is not None and longest > domain.max_length:
        fails = _longer(_characters, domain.max_length)
        yield _ask("length_high", name, fails, column, limit=domain.max_length, unit="characters")
    if domain.pattern is not None and not _is_known_to_pass(column, fails := _unlike(domain.pattern)):
        yield _ask("pattern_mismatch", name, fails, column, **_room(domain), pattern=domain.pattern)
    if domain.semantic is not None and not _is_known_to_read(column, domain):
        fails = _unlike(SEMANTICS[domain.semantic])
        if _is_known_to_pass(column, fails):
            return
        yield _ask("semantic_class_changed", name, fails, column, **_room(domain), semantic=domain.semantic)


def _room(domain: TextDomain) -> dict[str, Any]:
    return {"tolerated": 1 - domain.min_mass, "confidence": domain.confidence}


def _is_known_to_pass(column: ColumnProfile, fails: Predicate) -> bool:
    """Whether the statistics know every different text, and none fails: then no row needs a look."""
    counts = column.values
    if column.kind is not Kind.TEXT or counts is None or not counts.exact or not isinstance(counts.values, pa.Array):
        return False
    return not pc.any(fails(counts.values), skip_nulls=True).as_py()


def _lengths(column: ColumnProfile) -> tuple[float, float]:
    """Return bounds of the lengths in characters, from the statistics: what they rule out needs no look at the rows."""
    grid = column.lengths
    if grid is None:
        return -inf, inf
    return (float(grid.lower_bounds()[0]), float(grid.last_values()[-1])) if grid.total else (inf, -inf)


def _is_known_to_read(column: ColumnProfile, domain: TextDomain) -> bool:
    """Whether the statistics say that enough texts are addresses of a class, which they count by the same grammar."""
    if domain.semantic not in ADDRESSES:
        return False
    return column.text_classes.get(domain.semantic, 0) >= domain.min_mass * column.present


def _characters(values: pa.Array) -> pa.Array:
    return pc.utf8_length(_plain_text(values))


def _unlike(pattern: str) -> Predicate:
    return lambda values: pc.invert(pc.match_substring_regex(_plain_text(values), whole(pattern)))


def _none_of(known: Sequence[str]) -> Predicate:
    # Null is in no set, and is no wrong token.
    return lambda values: pc.and_(
        pc.is_valid(values), pc.invert(pc.is_in(_plain_text(values), pa.array(known, pa.large_string())))
    )


def _plain_text(values: pa.Array) -> pa.Array:
    return values.cast(pa.large_string())  # views of text lack the kernels


def _shorter(length: Predicate, limit: int) -> Predicate:
    return lambda values: pc.less(length(values), limit)


def _longer(length: Predicate, limit: int) -> Predicate:
    return lambda values: pc.greater(length(values), limit)


def _times(name: str, domain: TimeDomain, column: ColumnProfile, now: datetime | None) -> Iterator[Finding]:
    size = tick_size(column.type)
    if size is None:
        return
    if domain.min is not None:
        fails = below(least_tick(to_microseconds(read_instant(domain.min)), size))
        yield _beyond("below_min", name, fails, column, limit=domain.min)
    if domain.max is not None:
        fails = above(greatest_tick(to_microseconds(read_instant(domain.max)), size))
        yield _beyond("above_max", name, fails, column, limit=domain.max)
    if domain.max_future is None:
        return
    if now is None:
        yield Finding(
            code="stats_unavailable",
            column=name,
            facts={"field": "domain.max_future", "reason": "no instant of judgement was given"},
        )
        return
    latest = to_microseconds(now) + read_duration(domain.max_future, "max_future") // timedelta(microseconds=1)
    fails = above(greatest_tick(latest, size))
    yield _ask("future_time", name, fails, column, allowed=domain.max_future)


def _beyond(code: str, name: str, fails: Predicate, column: ColumnProfile, *, limit: str) -> Finding:
    """Ask for times beyond a limit; the fix moves it to the extreme, or takes it away where no limit can say that."""
    is_low = code == "below_min"
    extreme = str(column.minimum if is_low else column.maximum)
    fix = {
        "op": "set",
        "column": name,
        "field": "domain.min" if is_low else "domain.max",
        "value": _limit(column, code),
    }
    found = _ask(code, name, fails, column, limit=limit)
    return replace(found, facts={"limit": limit, "extreme": extreme}, observed=extreme, fix=(fix,))


def _limit(column: ColumnProfile, code: str) -> str | None:
    raw, seen = (column.low, column.minimum) if code == "below_min" else (column.high, column.maximum)
    if isinstance(seen, date) and not column.type.startswith("timestamp[ns"):
        return str(seen)
    size = tick_size(column.type)
    if size is None or not isinstance(raw, int):
        return None
    moment = to_moment(floor(raw * size) if code == "below_min" else ceil(raw * size))
    return None if moment is None else moment.isoformat()


def _lists(name: str, schema: ColumnSchema, column: ColumnProfile) -> Iterator[Finding]:
    if schema.valency is not None:
        low, high = schema.valency.min, schema.valency.max
        if low is not None:
            yield _ask("valency_low", name, _shorter(pc.list_value_length, low), column, limit=low)
        if high is not None:
            yield _ask("valency_high", name, _longer(pc.list_value_length, high), column, limit=high)
    if schema.fixed_shape:
        yield _ask("shape_mismatch", name, _misshapen(schema.fixed_shape), column, shape=list(schema.fixed_shape))


def _misshapen(shape: Sequence[int]) -> Predicate:
    """Find lists that are not of a shape: of the outer size, and every inner one in turn."""

    def fails(values: pa.Array) -> pa.Array:
        wrong = pc.fill_null(pc.not_equal(pc.list_value_length(values), shape[0]), False)  # noqa: FBT003
        if len(shape) == 1 or not isinstance(values, _LISTS):
            return wrong
        inner = _misshapen(shape[1:])(pc.list_flatten(values))
        parents = pc.list_parent_indices(values).filter(inner)
        positions = pa.array(range(len(values)), parents.type)
        return pc.or_(wrong, pc.is_in(positions, parents))

    return fails


def _norm_outside(norm: tuple[float | None, float | None]) -> Predicate:
    low, high = -inf if norm[0] is None else norm[0], inf if norm[1] is None else norm[1]

    def fails(values: pa.Array) -> pa.Array:
        numbers = pc.list_flatten(values).cast(pa.float64())
        squares = pa.table({"row": pc.list_parent_indices(values), "square": pc.multiply(numbers, numbers)})
        sums = squares.group_by("row").aggregate([("square", "sum")])
        lengths = pc.sqrt(sums["square_sum"])
        inside = pc.and_(pc.greater_equal(lengths, low), pc.less_equal(lengths, high))
        # Of nulls alone there is no length.
        outside = sums["row"].filter(pc.invert(pc.fill_null(inside, False)))  # noqa: FBT003
        return pc.is_in(pa.array(range(len(values)), sums["row"].type), outside.combine_chunks())

    return fails


def _last_before(name: str, column: ColumnProfile, subject: Subject | None) -> pa.Array | None:
    """Return the last value of the rows that others were put behind, where it has their type."""
    last = None if subject is None else subject.last_before(name)
    return None if last is None or str(last.type) != column.type else last


def _breaks_order(order: str, last: pa.Array | None = None) -> Predicate:
    """Find values that lie before (after) the greatest (least) value of the rows above; batches in order.

    `last` is the value that stands above the first row, where one does.
    """
    rises = order == "increasing"
    best: list[Any] = []
    if last is not None:
        best.append(_orderable(last))

    def fails(values: pa.Array) -> pa.Array:
        is_there = pc.is_valid(values)
        if pa.types.is_floating(values.type):  # NaN has no place in an order
            is_there = pc.and_(is_there, pc.fill_null(pc.invert(pc.is_nan(values)), False))  # noqa: FBT003
        present = _orderable(values.filter(is_there))
        wrong = np.zeros(len(values), bool)
        if len(present):
            start = best[0] if best else present[:1]
            run = (np.maximum if rises else np.minimum).accumulate(np.concatenate([start, present]))
            before = run[:-1]
            wrong[is_there.to_numpy(zero_copy_only=False)] = present < before if rises else present > before
            best[:] = [run[-1:]]
        return pa.array(wrong)

    return fails


def _orderable(values: pa.Array) -> Any:
    """Return values as an array that numpy can order: times as ticks, texts and decimals as objects."""
    if pa.types.is_temporal(values.type):
        return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64()).to_numpy()
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return values.to_numpy(zero_copy_only=False)
    held = np.empty(len(values), object)
    held[:] = values.to_pylist()
    return held

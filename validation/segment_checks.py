"""The checks of segments: slices of the rows that are judged for themselves, by the same columns of the schema.

What is found in all rows is not said again for a slice. Each slice is a pass over the rows, so they are few.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.engine import Engine, lend_engine
from foldstore.datastore.statistics.nested import ITEMS, find_path, take_inside
from foldstore.datastore.statistics.reading import Kind
from foldstore.errors import FoldstoreError, UsageError, column_not_found
from foldstore.validation.anomaly import Anomaly
from foldstore.validation.column_checks import check_column
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.finding import Finding, settle
from foldstore.validation.nested_paths import with_nested
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import StreamSubject, Subject

MAX_SEGMENTS: Final = 50
_MOST_COMBINATIONS: Final = 100_000
_SLICED_BY: Final = (Kind.TEXT, Kind.INTEGER, Kind.UNSIGNED, Kind.BOOLEAN, Kind.TEMPORAL)
# What is true of a part as a rule, or is a matter of how many rows there are.
_OF_THE_WHOLE: Final = frozenset(
    ("constant_column", "near_constant", "unique_low", "unique_high", "unique_ratio", "present_count_low",
     "column_deprecated_present", "stats_unavailable")
)  # fmt: skip
_Keep = Callable[[pa.RecordBatch], pa.Array]


def check_segments(
    subject: Subject,
    schema: DataSchema,
    fitting: Mapping[str, ColumnSchema],
    found: Collection[tuple[str, str | None]],
    now: datetime | None,
    engine: Engine | None = None,
) -> Iterator[Anomaly]:
    """Yield what is wrong with slices and was not found, as code and column, in all rows."""
    for segment in schema.segments:
        with lend_engine(engine) as lent:
            try:
                keep = _condition(subject, segment, lent)
                sizes = _count(subject, segment, keep)
            except FoldstoreError as error:
                facts = {"what": f"segment {segment.name}", "reason": error.message}
                yield from settle([Finding(code="schema_invalid", facts=facts)], schema, subject, ())
                continue
            yield from settle(_too_many(segment, sizes), schema, subject, ())
            if len(sizes) > _MOST_COMBINATIONS:
                continue
            for values, _ in sorted(sizes.items(), key=lambda each: (-each[1], repr(each[0])))[:MAX_SEGMENTS]:
                yield from _judge(subject, schema, fitting, segment, values, keep, found, now)


def _too_many(segment: Segment, sizes: Mapping[Any, int]) -> Iterator[Finding]:
    if len(sizes) > _MOST_COMBINATIONS:
        yield not_judged(f"segment {segment.name}", f"there are more than {_MOST_COMBINATIONS:,} of them")
    elif len(sizes) > MAX_SEGMENTS:
        yield Finding(
            code="too_many_segments",
            facts={"name": segment.name, "slices": len(sizes), "limit": MAX_SEGMENTS},
            observed=len(sizes),
            expected=MAX_SEGMENTS,
        )


def _judge(  # one slice of one segment, and all that it is judged by
    subject: Subject,
    schema: DataSchema,
    fitting: Mapping[str, ColumnSchema],
    segment: Segment,
    values: tuple[Any, ...],
    keep: _Keep | None,
    found: Collection[tuple[str, str | None]],
    now: datetime | None,
) -> Iterator[Anomaly]:
    names = [name for name in fitting if name not in segment.by]
    outer = dict.fromkeys(_column_of(subject, name) for name in names)
    hidden = (name for seal in subject.seals for name in seal)
    sliced = (_column_of(subject, name) for name in segment.by)
    needed = list(dict.fromkeys([*outer, *sliced, *_names_of(subject, keep), *hidden]))

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in subject.batches(needed):
            mask = _mask(batch, segment.by, values, keep)
            yield batch.select(list(columns)).filter(mask)

    kinds = pa.schema([subject.arrow_schema.field(name) for name in outer])
    label = ", ".join(f"{name}={value}" for name, value in zip(segment.by, values, strict=True)) or segment.where
    streamed = StreamSubject(kinds, read, f"{subject.address} {segment.name}", seals=subject.seals)
    rows = with_nested(streamed, names)
    profile = rows.profile()
    findings = [
        each
        for name in names
        if name in profile.columns
        for each in check_column(name, fitting[name], profile.columns[name], rows, now)
        if each.code not in _OF_THE_WHOLE and (each.code, name) not in found
    ]
    for each in settle(findings, schema, rows, ()):
        # Rows are counted within the slice, and a schema is not to be loosened for one.
        examples = tuple({key: cell for key, cell in row.items() if key != "row"} for row in each.example_rows)
        evidence = {**each.evidence, "segment": segment.name, "slice": label}
        yield replace(
            each, message=f"where {label}: {each.message}", example_rows=examples, evidence=evidence, fix=None
        )


def _column_of(subject: Subject, name: str) -> str:
    """Return the column that a name or a path begins with."""
    found = find_path(name, subject.arrow_schema)
    return name if found is None else found[0]


def _cells(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a value for each row: of a column, or of a field of structs."""
    column, steps = find_path(name, batch.schema) or (name, ())
    return take_inside(batch.column(column), steps)[0]


def _names_of(subject: Subject, keep: _Keep | None) -> Sequence[str]:
    return () if keep is None else subject.arrow_schema.names


def _condition(subject: Subject, segment: Segment, engine: Engine) -> _Keep | None:
    columns = subject.profile().columns
    for name in segment.by:
        if name not in columns:
            raise column_not_found(name, columns, where=subject.address)
    if segment.where is None:
        return None
    condition = engine.parse_predicate(segment.where, subject.arrow_schema, where=f"segment {segment.name}")

    def keep(batch: pa.RecordBatch) -> pa.Array:
        part = batch.select(list(condition.columns))
        made = engine.evaluate({"kept": condition}, part.schema, [part])
        return pc.fill_null(pa.chunked_array([each.column(0) for each in made], pa.bool_()).combine_chunks(), False)  # noqa: FBT003

    return keep


def _count(subject: Subject, segment: Segment, keep: _Keep | None) -> Counter[tuple[Any, ...]]:
    """Count the rows of each slice; stops counting where there are too many."""
    if not segment.by:
        return Counter({(): 1})
    columns = subject.profile().columns
    for name in segment.by:
        if ITEMS in (find_path(name, subject.arrow_schema) or (name, ()))[1]:
            raise UsageError(f"Rows are not sliced by {name}: a row has any number of items.")
        if columns[name].kind not in _SLICED_BY:
            raise UsageError(f"Rows are not sliced by values of type {columns[name].type}.")
    sizes: Counter[tuple[Any, ...]] = Counter()
    needed = [*(_column_of(subject, name) for name in segment.by), *_names_of(subject, keep)]
    for batch in subject.batches(list(dict.fromkeys(needed))):
        part = batch if keep is None else batch.filter(keep(batch))
        held = pa.table({str(at): _cells(part, name) for at, name in enumerate(segment.by)})
        counted = held.group_by(held.column_names, use_threads=False).aggregate([([], "count_all")])
        cells = [counted[str(at)].to_pylist() for at in range(len(segment.by))]
        for *values, count in zip(*cells, counted["count_all"].to_pylist(), strict=True):
            sizes[tuple(values)] += count
        if len(sizes) > _MOST_COMBINATIONS:
            break
    return sizes


def _mask(batch: pa.RecordBatch, by: Sequence[str], values: tuple[Any, ...], keep: _Keep | None) -> pa.Array:
    mask = pa.array([True] * batch.num_rows, pa.bool_()) if keep is None else keep(batch)
    for name, value in zip(by, values, strict=True):
        column = _cells(batch, name)
        same = pc.is_null(column) if value is None else pc.equal(column, pa.scalar(value, column.type))
        mask = pc.and_(mask, pc.fill_null(same, False))  # noqa: FBT003
    return mask

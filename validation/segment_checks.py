"""The checks of segments: slices of the rows that are judged for themselves, by the same columns of the schema.

What is found in all rows is not said again for a slice. Each slice is a pass over the rows, so they are few.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from foldstore.datastore.engine import lend_engine
from foldstore.errors import FoldstoreError
from foldstore.validation.anomaly import Anomaly
from foldstore.validation.column_checks import check_column
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_checks import not_judged
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.finding import Finding, settle
from foldstore.validation.schema import DataSchema
from foldstore.validation.segment_cut import MOST_COMBINATIONS, Cut, told_of_slice
from foldstore.validation.segment_shifts import SliceDrift
from foldstore.validation.subject import Subject
from foldstore.validation.surroundings import NOTHING_AROUND, Surroundings

MAX_SEGMENTS: Final = 50
# What is true of a part as a rule, or is a matter of how many rows there are.
_OF_THE_WHOLE: Final = frozenset(
    ("constant_column", "near_constant", "unique_low", "unique_high", "unique_ratio", "present_count_low",
     "column_deprecated_present", "stats_unavailable")
)  # fmt: skip


def check_segments(
    subject: Subject,
    schema: DataSchema,
    fitting: Mapping[str, ColumnSchema],
    found: Collection[tuple[str, str | None]],
    around: Surroundings = NOTHING_AROUND,
) -> Iterator[Anomaly]:
    """Yield what is wrong with slices and was not found, as code and column, in all rows; and where these drifted."""
    moved = SliceDrift(schema, None if around.history is None else around.history.window)
    for segment in schema.segments:
        with lend_engine(around.engine) as lent:
            try:
                cut = Cut.of(subject, segment, lent)
            except FoldstoreError as error:
                facts = {"what": f"segment {segment.name}", "reason": error.message}
                yield from settle([Finding(code="schema_invalid", facts=facts)], schema, subject, ())
                continue
            yield from settle(_too_many(segment, cut.sizes), schema, subject, ())
            if len(cut.sizes) > MOST_COMBINATIONS:
                continue
            names = [name for name in fitting if name not in segment.by]
            slices = {values: cut.rows_of(values, names) for values in cut.largest(MAX_SEGMENTS)}
            for values, rows in slices.items():
                yield from _judge(schema, fitting, cut, values, rows, found, around.now)
            if segment.drift is not None:
                moved.look(cut, slices, {name: fitting[name] for name in names}, lent)
    yield from moved.anomalies()


def _too_many(segment: Segment, sizes: Mapping[Any, int]) -> Iterator[Finding]:
    if len(sizes) > MOST_COMBINATIONS:
        yield not_judged(f"segment {segment.name}", f"there are more than {MOST_COMBINATIONS:,} of them")
    elif len(sizes) > MAX_SEGMENTS:
        yield Finding(
            code="too_many_segments",
            facts={"name": segment.name, "slices": len(sizes), "limit": MAX_SEGMENTS},
            observed=len(sizes),
            expected=MAX_SEGMENTS,
        )


def _judge(  # one slice of one segment, and all that it is judged by
    schema: DataSchema,
    fitting: Mapping[str, ColumnSchema],
    cut: Cut,
    values: tuple[Any, ...],
    rows: Subject,
    found: Collection[tuple[str, str | None]],
    now: datetime | None,
) -> Iterator[Anomaly]:
    profile = rows.profile()
    findings = [
        each
        for name, column in fitting.items()
        if name in profile.columns and name not in cut.segment.by
        for each in check_column(name, column, profile.columns[name], rows, now)
        if each.code not in _OF_THE_WHOLE and (each.code, name) not in found
    ]
    yield from told_of_slice(settle(findings, schema, rows, ()), cut.segment, cut.label(values))

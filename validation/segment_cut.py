"""The rows of a segment, cut into slices: those that share the values of some columns, among those of a condition."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.engine import Engine
from foldstore.datastore.statistics.nested import ITEMS, find_path, take_inside
from foldstore.datastore.statistics.reading import Kind
from foldstore.errors import UsageError, column_not_found
from foldstore.validation.anomaly import Anomaly
from foldstore.validation.dataset_rules import Segment
from foldstore.validation.nested_paths import with_nested
from foldstore.validation.subject import StreamSubject, Subject

MOST_COMBINATIONS: Final = 100_000
_SLICED_BY: Final = (Kind.TEXT, Kind.INTEGER, Kind.UNSIGNED, Kind.BOOLEAN, Kind.TEMPORAL)
_Keep = Callable[[pa.RecordBatch], pa.Array]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The slices of one segment of some rows.

    Attributes
    ----------
    subject : Subject
        All rows.
    segment : Segment
    keep : callable or None
        Says which rows of a batch the condition takes; it needs the engine that it came from.
    sizes : Counter
        The rows of each slice, by its values; not all where there are too many.
    """

    subject: Subject
    segment: Segment
    keep: _Keep | None
    sizes: Counter[tuple[Any, ...]]

    @classmethod
    def of(cls, subject: Subject, segment: Segment, engine: Engine) -> "Cut":
        """Count the slices of a segment.

        Raises
        ------
        FoldstoreError
            When a column is not there or has no slices, or the condition cannot be asked.
        """
        keep = _condition(subject, segment, engine)
        return cls(subject, segment, keep, _count(subject, segment, keep))

    def largest(self, most: int) -> list[tuple[Any, ...]]:
        """Return the values of the largest slices, the largest first."""
        ordered = sorted(self.sizes.items(), key=lambda each: (-each[1], repr(each[0])))
        return [values for values, _ in ordered[:most]]

    def label(self, values: tuple[Any, ...]) -> str | None:
        """Return what a slice is called."""
        by = self.segment.by
        return ", ".join(f"{name}={value}" for name, value in zip(by, values, strict=True)) or self.segment.where

    def has(self, name: str) -> bool:
        """Whether there is a column, or a path, of this name."""
        return find_path(name, self.subject.arrow_schema) is not None

    def rows_of(self, values: tuple[Any, ...], names: Sequence[str]) -> Subject:
        """Return some columns, or paths, of the rows of a slice; each look at them is a pass over all rows."""
        subject, by = self.subject, self.segment.by
        outer = dict.fromkeys(_column_of(subject, name) for name in names)
        hidden = (name for seal in subject.seals for name in seal)
        sliced = (_column_of(subject, name) for name in by)
        needed = list(dict.fromkeys([*outer, *sliced, *_names_of(subject, self.keep), *hidden]))

        def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            for batch in subject.batches(needed):
                mask = _mask(batch, by, values, self.keep)
                yield batch.select(list(columns)).filter(mask)

        kinds = pa.schema([subject.arrow_schema.field(name) for name in outer])
        streamed = StreamSubject(kinds, read, f"{subject.address} {self.segment.name}", seals=subject.seals)
        return with_nested(streamed, names)


def told_of_slice(anomalies: Iterable[Anomaly], segment: Segment, label: str | None) -> Iterator[Anomaly]:
    """Say of what was found which slice it is about.

    Rows are counted within the slice, and a schema is not to be loosened for one.
    """
    for each in anomalies:
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
        if len(sizes) > MOST_COMBINATIONS:
            break
    return sizes


def _mask(batch: pa.RecordBatch, by: Sequence[str], values: tuple[Any, ...], keep: _Keep | None) -> pa.Array:
    mask = pa.array([True] * batch.num_rows, pa.bool_()) if keep is None else keep(batch)
    for name, value in zip(by, values, strict=True):
        column = _cells(batch, name)
        same = pc.is_null(column) if value is None else pc.equal(column, pa.scalar(value, column.type))
        mask = pc.and_(mask, pc.fill_null(same, False))  # noqa: FBT003
    return mask

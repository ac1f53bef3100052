"""The second look: exact counts and a few example rows of what failed, in one bounded pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.column import json_value
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array
from foldstore.validation.subject import Subject
from foldstore.views.values import display_values

EXAMPLES: Final = 10

# Says of each value of a column whether it fails; of a batch of rows where a question reads several columns.
Predicate: TypeAlias = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True, slots=True)
class Failure:
    """How many rows fail a check, and the first of them.

    Attributes
    ----------
    count : int
    examples : tuple of dict
        ``row`` (position), ``key`` (by column), ``value``.
    """

    count: int
    examples: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A column and what fails in it; or several that are read together, and then none is shown for itself."""

    column: str | None
    fails: Predicate
    reads: tuple[str, ...] = ()


def is_null(values: pa.Array) -> pa.Array:
    """Say which values are null."""
    return pc.is_null(values)


def is_nan(values: pa.Array) -> pa.Array:
    """Say which values are NaN."""
    return pc.is_nan(values)


def is_missing(values: pa.Array) -> pa.Array:
    """Say which values are null or NaN."""
    return pc.is_null(values, nan_is_null=True)


def below(limit: float) -> Predicate:
    """Return the predicate of values below a limit."""
    return lambda values: pc.less(*_comparable(values, limit))


def above(limit: float) -> Predicate:
    """Return the predicate of values above a limit."""
    return lambda values: pc.greater(*_comparable(values, limit))


def outside(allowed: Sequence[Any]) -> Predicate:
    """Return the predicate of values that are not null and not allowed."""

    def fails(values: pa.Array) -> pa.Array:
        if kind_of(values.type) is Kind.TEXT:  # views of text have no such kernel
            values = values.cast(pa.large_string())
        known = pc.is_in(values, value_set=pa.array(allowed).cast(values.type))
        return pc.and_(pc.invert(known), pc.is_valid(values))

    return fails


def among(values: Sequence[str]) -> Predicate:
    """Return the predicate of texts that are one of these."""

    def fails(array: pa.Array) -> pa.Array:
        return pc.is_in(array.cast(pa.large_string()), value_set=pa.array(values, pa.large_string()))

    return fails


def equal_to(raw: Any) -> Predicate:
    """Return the predicate of numbers, or ticks, that equal one."""
    return lambda values: pc.equal(*_comparable(values, raw))


def look_up(subject: Subject, questions: Mapping[int, Question], keys: Sequence[str]) -> dict[int, Failure]:
    """Answer all questions in one pass over the columns they name, and the key."""
    asked = (name for each in questions.values() for name in (each.column, *each.reads) if name is not None)
    columns = list(dict.fromkeys([*asked, *keys]))
    counts = dict.fromkeys(questions, 0)
    examples: dict[int, list[dict[str, Any]]] = {number: [] for number in questions}
    position = 0
    for batch in subject.batches(columns):
        for number, question in questions.items():
            mask = _failing(batch, question)
            failing = pc.sum(mask).as_py() or 0
            counts[number] += failing
            room = EXAMPLES - len(examples[number])
            if failing and room > 0:
                rows = pc.indices_nonzero(mask).slice(0, room)
                examples[number] += _examples(batch, rows, question, keys, position)
        position += batch.num_rows
    return {number: Failure(counts[number], tuple(examples[number])) for number in questions}


def _failing(batch: pa.RecordBatch, question: Question) -> pa.Array:
    if question.column is None:
        return question.fails(batch.select(list(question.reads)))
    return question.fails(plain_array(batch.column(question.column)))


def _examples(
    batch: pa.RecordBatch, rows: pa.Array, question: Question, keys: Sequence[str], position: int
) -> list[dict[str, Any]]:
    def cell(name: str, row: int) -> Any:
        return json_value(display_values(batch.column(name).slice(row, 1))[0])

    def shown(row: int) -> Any:
        if question.column is None:
            return {name: cell(name, row) for name in question.reads}
        return cell(question.column, row)

    return [
        {"row": position + row, "key": {key: cell(key, row) for key in keys}, "value": shown(row)}
        for row in rows.to_pylist()
    ]


def _comparable(values: pa.Array, limit: float) -> tuple[pa.Array, pa.Scalar]:
    """Return both sides of a comparison in one type, times as ticks, whole numbers exact where both are."""
    kind = values.type
    if pa.types.is_temporal(kind):
        values = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif not pa.types.is_integer(kind):
        return values.cast(pa.float64()), pa.scalar(float(limit))
    if isinstance(limit, int):
        wide = pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
        try:
            return values.cast(wide), pa.scalar(limit, wide)
        except (OverflowError, pa.ArrowInvalid):
            pass  # a limit beyond the type: every value lies on one side of it, as doubles too
    return values.cast(pa.float64(), safe=False), pa.scalar(float(limit))

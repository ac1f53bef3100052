"""The second look: exact counts and a few example rows of what failed, in one bounded pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.column import json_value
from foldstore.datastore.statistics.nested import find_path, take_inside
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


def sealed_rows(batch: pa.RecordBatch, seals: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Say which rows a test pool holds: those in which all cells that it hides read as null.

    Examples
    --------
    >>> batch = pa.record_batch({"late": [None, None, True], "delay": [None, 5, 6]})
    >>> sealed_rows(batch, [("late", "delay")]).tolist()
    [True, False, False]
    """
    held = np.zeros(batch.num_rows, np.bool_)
    for names in seals:
        nulls = [batch.column(name).is_null().to_numpy(zero_copy_only=False) for name in names]
        held |= np.logical_and.reduce(nulls) if nulls else False
    return held


def look_up(subject: Subject, questions: Mapping[int, Question], keys: Sequence[str]) -> dict[int, Failure]:
    """Answer all questions in one pass over the columns they name, and the key; a path is looked up in its column.

    Rows of a test pool count, and are never shown.
    """
    paths = {each.column: _find(each.column, subject.arrow_schema) for each in questions.values() if each.column}
    asked = (
        name for each in questions.values() for name in (paths[each.column][0] if each.column else None, *each.reads)
    )
    needed = (*asked, *keys, *chain.from_iterable(subject.seals))
    columns = list(dict.fromkeys(name for name in needed if name is not None))
    counts = dict.fromkeys(questions, 0)
    examples: dict[int, list[dict[str, Any]]] = {number: [] for number in questions}
    position = 0
    for batch in subject.batches(columns):
        for number, question in questions.items():
            name, steps = paths[question.column] if question.column else ("", ())
            values, rows = take_inside(batch.column(name), steps) if steps else (None, None)
            mask = question.fails(values) if steps else _failing(batch, question)
            failing = pc.sum(mask).as_py() or 0
            counts[number] += failing
            room = EXAMPLES - len(examples[number])
            if failing and room > 0:
                places = _open_places(batch, mask, rows, subject.seals)[:room]
                examples[number] += _examples(batch, places, question, keys, position, values, rows)
        position += batch.num_rows
    return {number: Failure(counts[number], tuple(examples[number])) for number in questions}


def show_rows(
    table: pa.Table, places: Sequence[int], keys: Sequence[str], shown: str | Sequence[str]
) -> tuple[dict[str, Any], ...]:
    """Return rows of a table as examples: their values in one column, or by name in several.

    Examples
    --------
    >>> show_rows(pa.table({"id": [7, 8], "x": [0.5, None]}), [1], ["id"], "x")
    ({'row': 1, 'key': {'id': 8}, 'value': None},)
    """
    wanted = [shown] if isinstance(shown, str) else list(shown)
    held = table.select(list(dict.fromkeys([*keys, *wanted])))
    found = []
    for place in places:
        row = held.slice(place, 1).combine_chunks()
        cells = {name: _cell(row.column(name).chunk(0), 0) for name in held.column_names}
        value = cells[shown] if isinstance(shown, str) else {name: cells[name] for name in wanted}
        found.append({"row": place, "key": {key: cells[key] for key in keys}, "value": value})
    return tuple(found)


def _cell(column: pa.Array, row: int) -> Any:
    return json_value(display_values(column.slice(row, 1))[0])


def _open_places(
    batch: pa.RecordBatch, mask: pa.Array, rows: NDArray[np.int64] | None, seals: Sequence[Sequence[str]]
) -> list[int]:
    """Return where something fails, without what lies in rows of a test pool."""
    places = pc.indices_nonzero(mask).to_numpy()
    if seals:
        places = places[~sealed_rows(batch, seals)[places if rows is None else rows[places]]]
    return [int(place) for place in places[:EXAMPLES]]


def _failing(batch: pa.RecordBatch, question: Question) -> pa.Array:
    if question.column is None:
        return question.fails(batch.select(list(question.reads)))
    return question.fails(plain_array(batch.column(question.column)))


def _examples(
    batch: pa.RecordBatch,
    places: Sequence[int],
    question: Question,
    keys: Sequence[str],
    position: int,
    values: pa.Array | None,
    rows: NDArray[np.int64] | None,
) -> list[dict[str, Any]]:
    def shown(place: int) -> Any:
        if values is not None:
            return _cell(values, place)
        if question.column is None:
            return {name: _cell(batch.column(name), place) for name in question.reads}
        return _cell(batch.column(question.column), place)

    return [
        {
            "row": position + row,
            "key": {key: _cell(batch.column(key), row) for key in keys},
            "value": shown(place),
        }
        for place in places
        for row in (place if rows is None else int(rows[place]),)
    ]


def _find(column: str, schema: pa.Schema) -> tuple[str, tuple[str, ...]]:
    return find_path(column, schema) or (column, ())


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

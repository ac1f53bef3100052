"""What is wrong with a column of rows that were never seen, where that can be said for less than a profile.

A column is cleared when its nulls, its extremes and its different texts rule out every finding of `check_column`. Texts
with which nothing is wrong but that some fail what each is asked are looked up like that. Of the other columns the
profile is made, and they are judged by it: what is found does not depend on what was profiled.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import cache
from math import inf
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.memory_size import num_bytes
from foldstore.datastore.statistics.column import ColumnProfile
from foldstore.datastore.statistics.pinned import CategoryGrid, count_array
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, value_type
from foldstore.datastore.statistics.short_texts import are_few_among, distinct_texts
from foldstore.datastore.text_cells import text_places, text_widths
from foldstore.validation.column_bounds import Uniqueness
from foldstore.validation.column_checks import check_nulls, check_range, may_be_constant
from foldstore.validation.column_domains import CategoryDomain, Domain, NumericDomain, TextDomain
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.failing_rows import Predicate
from foldstore.validation.finding import Finding
from foldstore.validation.row_checks import check_rows
from foldstore.validation.statistic_checks import check_statistics
from foldstore.validation.subject import Subject, TableSubject
from foldstore.validation.suspect_values import has_mark, has_usual_extreme

_NUMBERS: Final = (Kind.INTEGER, Kind.UNSIGNED, Kind.BOOLEAN, Kind.TEMPORAL, Kind.FLOAT)
_ONLY_KEY: Final = Uniqueness(key=True)
# Of so many texts the different ones are looked at; where more than half of the first ones differ, all are.
_FIRST: Final = 4_096
_PIECE: Final = 131_072
# Chunks of more rows are not joined with others, nor are chunks that would be of more bytes together.
_MOST_JOINED: Final = 16_384
_MOST_BYTES: Final = 2**24


# What is wrong with a column; None where only its profile says that.
_Found: TypeAlias = tuple[Finding, ...] | None


def judge_unprofiled(
    subject: Subject, columns: Mapping[str, ColumnSchema], now: datetime | None = None
) -> dict[str, tuple[Finding, ...]]:
    """Return what is wrong with columns by themselves, mostly nothing; those that need a profile are left out.

    Of rows that are profiled elsewhere, and kept, all are left out: there the profile is at hand.

    Examples
    --------
    >>> rows = TableSubject(pa.table({"x": [3, 4], "y": [3, -4]}), "t")
    >>> at_least_0 = ColumnSchema(type="int64", domain=NumericDomain(min=0))
    >>> judge_unprofiled(rows, {"x": at_least_0, "y": at_least_0})
    {'x': ()}
    """
    if not isinstance(subject, TableSubject):
        return {}
    asked = [name for name, column in columns.items() if name in subject.arrow_schema.names and _is_plain(column)]

    def judge(name: str) -> _Found:
        return _judge(name, columns[name], subject.column(name), now)

    found = _side_by_side(judge, asked) if subject.num_rows >= 2 * _PIECE else {name: judge(name) for name in asked}
    return {name: each for name in asked if (each := found[name]) is not None}


def _side_by_side(judge: Callable[[str], _Found], names: Sequence[str]) -> dict[str, _Found]:
    """Judge columns in this thread and, as far as they come to it, in others that take one after the other too."""
    waiting, found = deque(names), dict[str, _Found]()

    def work() -> None:
        while waiting:
            try:
                name = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            found[name] = judge(name)

    helpers = [_helpers().submit(work) for _ in range(min(len(names), os.cpu_count() or 1) - 1)]
    try:
        work()
    finally:
        waiting.clear()
        late = [each for each in helpers if not each.cancel()]
    for each in late:
        each.result()
    return found


@cache
def _helpers() -> ThreadPoolExecutor:
    """Return the threads that help; they are started once, since that takes as long as a column of many rows."""
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="foldstore-judge")


def _is_plain(column: ColumnSchema) -> bool:
    """Whether nothing is asked that takes statistics: numbers of different values, moments, an order, items."""
    is_counted = column.unique is not None and column.unique != _ONLY_KEY
    has_decimals = isinstance(column.domain, NumericDomain) and column.domain.decimals is not None
    others = (column.bounds, column.monotone, column.valency, column.fixed_shape or None)
    return not (is_counted or has_decimals or any(each is not None for each in others))


def _judge(name: str, schema: ColumnSchema, values: pa.ChunkedArray, now: datetime | None) -> _Found:
    kind = kind_of(value_type(values.type))
    if kind is Kind.TEXT:
        return _judge_texts(name, schema, values, now)
    return () if kind in _NUMBERS and _is_clear(name, schema, values, kind, now) else None


def _is_clear(name: str, schema: ColumnSchema, values: pa.ChunkedArray, kind: Kind, now: datetime | None) -> bool:
    seen = _extremes(values, kind)
    if (seen.low is None or seen.low == seen.high) and may_be_constant(schema, seen):
        return False
    return (
        not has_usual_extreme(seen)
        and not any(_on_statistics(name, schema, seen))
        and _fits_vocabulary(schema, values)
        and all(_none_fails(each, values) for each in check_rows(name, schema, seen, now))
    )


def _judge_texts(name: str, schema: ColumnSchema, values: pa.ChunkedArray, now: datetime | None) -> _Found:
    seen = _counted(values)
    if any(_on_statistics(name, schema, seen)):
        return None
    plain = pa.chunked_array(_pieces(values), value_type(values.type))
    if pa.types.is_string_view(plain.type):  # which lacks the kernels
        plain = plain.cast(pa.large_string())
    different = distinct_texts(plain, doubtful=_FIRST) if _reads_texts(schema.domain) else None
    if may_be_constant(schema, seen) and len(_first_ones(plain) if different is None else different) < 2:
        return None
    if different is not None:  # each is looked at once
        plain = pa.chunked_array(_pieces(different), pa.large_string())
    longest = _longest_unmarked(plain)
    if longest is None or not _fits_vocabulary(schema, plain):
        return None
    asked = [] if _has_room(schema.domain, longest) else list(check_rows(name, schema, seen, now))
    if any(each.question is None for each in asked):
        return None
    return tuple(each for each in asked if not _none_fails(each, plain))


def _first_ones(texts: pa.ChunkedArray) -> pa.Array:
    """Return different texts of those that come first."""
    return pc.unique(texts.slice(0, _FIRST)).drop_null()


def _longest_unmarked(texts: pa.ChunkedArray) -> int | None:
    """Return a bound of the length of the texts in characters: the bytes of the longest; None where one is a mark."""
    longest = 0
    for piece in texts.chunks:
        places = text_places(piece)
        widths = None if places is None else text_widths(places[0])
        if has_mark(piece, widths):
            return None
        longest = max(longest, 0 if widths is None else int(widths.max()))
    return longest


def _reads_texts(domain: Domain | None) -> bool:
    """Whether a domain asks for more than the lengths of texts."""
    if isinstance(domain, TextDomain):
        return domain.pattern is not None or domain.semantic is not None
    return domain is not None


def _has_room(domain: Domain | None, longest: int) -> bool:
    """Whether all that a domain asks is a greatest length, and no text has even as many bytes."""
    if not isinstance(domain, TextDomain) or domain.max_length is None:
        return False
    return domain == TextDomain(max_length=domain.max_length) and longest <= domain.max_length


def _on_statistics(name: str, schema: ColumnSchema, seen: ColumnProfile) -> Iterator[Finding]:
    yield from check_nulls(name, schema, seen)
    if isinstance(schema.domain, NumericDomain):
        yield from check_range(name, schema.domain, seen)
    yield from check_statistics(name, schema if schema.unique is None else replace(schema, unique=None), seen)


def _fits_vocabulary(schema: ColumnSchema, values: pa.ChunkedArray) -> bool:
    if not isinstance(schema.domain, CategoryDomain):
        return True
    words = [each for each in schema.domain.values if isinstance(each, str)]
    if words and kind_of(values.type) is Kind.TEXT and are_few_among(values, words):
        return True
    grid = CategoryGrid(schema.domain.values)
    return all(count_array(piece, grid).cells[-1] == 0 for piece in _pieces(values))


def _none_fails(finding: Finding, values: pa.Array | pa.ChunkedArray) -> bool:
    """Whether what is asked of each value holds for all; what is said without a look at the rows is found."""
    if finding.question is None:
        return False
    fails: Predicate = finding.question.fails
    return not any(pc.any(fails(piece)).as_py() for piece in _pieces(values))


def _pieces(values: pa.Array | pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the values in pieces: long chunks are cut, and short ones joined, so that there are few steps."""
    for run in _runs(values.chunks if isinstance(values, pa.ChunkedArray) else [values]):
        plain = [plain_array(each) for each in run]
        yield pa.concat_arrays(plain) if len(plain) > 1 else plain[0]


def _runs(chunks: Iterable[pa.Array]) -> Iterator[list[pa.Array]]:
    """Yield cuts of chunks: long ones alone, short ones together while they are no more than a piece, and few bytes."""
    run: list[pa.Array] = []
    rows = size = 0
    for chunk in chunks:
        if len(chunk) > _MOST_JOINED:
            if run:
                yield run
                run, rows, size = [], 0, 0
            yield from ([chunk.slice(start, _PIECE)] for start in range(0, len(chunk), _PIECE))
            continue
        rows, size = rows + len(chunk), size + num_bytes(chunk)
        if run and (rows > _PIECE or size > _MOST_BYTES):
            yield run
            run, rows, size = [], len(chunk), num_bytes(chunk)
        if len(chunk):
            run.append(chunk)
    if run:
        yield run


def _counted(values: pa.ChunkedArray, **more: Any) -> ColumnProfile:
    """Return the part of a column's profile that is known without its distribution."""
    nulls = sum(plain_array(each).null_count for each in values.chunks) if _hides(values) else values.null_count
    return ColumnProfile(type=str(value_type(values.type)), rows=len(values), nulls=nulls, **more)


def _hides(values: pa.ChunkedArray) -> bool:
    """Whether a null may stand behind an index, where Arrow does not count it."""
    return bool(pa.types.is_dictionary(values.type) or isinstance(values.type, pa.BaseExtensionType))


def _extremes(values: pa.ChunkedArray, kind: Kind) -> ColumnProfile:
    numbers = pa.chunked_array(_pieces(values), value_type(values.type)) if _hides(values) else values
    nan = 0
    if kind is Kind.TEMPORAL:
        numbers = numbers.cast(pa.int32() if numbers.type.bit_width == 32 else pa.int64())
    elif kind is Kind.FLOAT:
        is_nan = pc.is_nan(numbers)
        nan = pc.sum(is_nan).as_py() or 0
        numbers = (numbers.filter(pc.invert(is_nan)) if nan else numbers).cast(pa.float64())
    ends = pc.min_max(numbers)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    infinite = {"neg_inf": int(low == -inf), "pos_inf": int(high == inf)}  # whether there is one, not how many
    return _counted(values, low=low, high=high, nan=nan, **infinite)

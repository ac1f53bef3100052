"""The rows that bias is measured on: anything that speaks Arrow, read batch by batch, the needed columns alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.datastore.statistics.column import merge_columns, profile_array
from foldstore.datastore.statistics.reading import Kind
from foldstore.errors import FoldstoreError, UnreadableError, UsageError, column_not_found
from foldstore.views.sql import SqlResult
from foldstore.views.view import View

_BATCH_ROWS: Final = 131_072
_FRAMES: Final = ("polars.DataFrame", "pandas.DataFrame")

Read: TypeAlias = Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some columns of some rows.

    Attributes
    ----------
    subject : str
        What they are, for people.
    arrow_schema : pyarrow.Schema
        Of the columns.
    read : callable
        Begins a pass over the rows.
    once : bool
        Whether there is one pass only.
    """

    subject: str
    arrow_schema: pa.Schema
    read: Read
    once: bool = False

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded size."""
        for batch in self.read():
            chosen = batch.select(self.arrow_schema.names)
            for start in range(0, chosen.num_rows, _BATCH_ROWS):
                yield chosen.slice(start, _BATCH_ROWS)


def open_rows(data: Any, columns: Sequence[str]) -> Rows:
    """Open columns of anything that speaks Arrow; of a view, a version, a part or a frame they alone are read.

    Raises
    ------
    UsageError
        When the data does not speak Arrow.
    ColumnNotFoundError
        When a column is not there.
    """
    subject = _describe(data)
    schema: pa.Schema
    read: Read
    if isinstance(data, View):
        schema, read = data.arrow_schema, lambda: data.select(*columns).to_batches()
    elif hasattr(data, "column_sizes"):  # a version, or a part of a split
        schema, read = data.arrow_schema, lambda: data.to_batches(columns)
    elif isinstance(data, SqlResult):
        schema, read = data.arrow_schema, data.to_batches
    else:
        schema, read = _open_foreign(data, columns, subject)
    _check_names(columns, schema.names, subject)
    chosen = pa.schema([schema.field(name) for name in columns])
    return Rows(subject=subject, arrow_schema=chosen, read=read, once=isinstance(data, pa.RecordBatchReader))


def _open_foreign(data: Any, columns: Sequence[str], subject: str) -> tuple[pa.Schema, Read]:
    """Return the schema of what another library made, and how a pass over it begins."""
    _check_speaks_arrow(data, subject)
    if subject in _FRAMES:  # the other columns are left out before anything is turned into Arrow
        _check_names(columns, [str(name) for name in data.columns], subject)
        data = data[list(columns)]
    with _reading(subject):
        first = _reader(data)
    opened = [first]  # what tells the schema makes the first pass; a reader has no other

    def read() -> Iterator[pa.RecordBatch]:
        with _reading(subject):
            for batch in opened.pop() if opened else _reader(data):
                chosen = batch.select(columns)
                chosen.validate(full=True)  # unsound data ends the process where it is used
                yield chosen

    return first.schema, read


def _reader(data: Any) -> pa.RecordBatchReader:
    if isinstance(data, pa.RecordBatchReader):
        return data
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    batch = pa.record_batch(data)
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


@contextmanager
def _reading(subject: str) -> Iterator[None]:
    """Turn whatever a foreign reader raises into an error of ours."""
    try:
        yield
    except (FoldstoreError, MemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise UnreadableError(
            f"The rows of {subject} could not be read: {type(error).__name__}: {said}.",
            hint="The fault is in what makes the rows.",
            subject=subject,
        ) from error


def find_edges(rows: Rows, ranges: Mapping[str, int]) -> dict[str, tuple[float, ...]]:
    """Return edges that cut columns of numbers into so many ranges of about equally many rows.

    A pass over the rows gathers mergeable counts of bounded size: the edges are quantiles, exact while a column has
    few distinct values and interpolated within one of 8,192 bins where it has more.

    Raises
    ------
    UsageError
        When there is no second pass, or a column has too few values.
    """
    if not ranges:
        return {}
    if rows.once:
        raise UsageError(
            f"{rows.subject} gives its rows once, and finding ranges takes a pass of its own.",
            hint="Give the edges themselves, or a table.",
        )
    profiles: dict[str, Any] = {}
    for batch in rows.batches():
        for name in ranges:
            here = profile_array(batch.column(name))
            profiles[name] = merge_columns(profiles[name], here) if name in profiles else here
    return {name: _quantiles(name, profiles.get(name), count) for name, count in ranges.items()}


def _quantiles(name: str, profile: Any, count: int) -> tuple[float, ...]:
    found = [] if profile is None else [profile.quantile(place / count) for place in range(1, count)]
    edges = sorted({edge for edge in found if edge is not None and edge < profile.maximum})
    if not edges:
        raise UsageError(f"{name!r} has too few values to be cut into {count} ranges.", hint="Give the edges.")
    whole = profile.kind in (Kind.INTEGER, Kind.UNSIGNED) and all(edge == int(edge) for edge in edges)
    return tuple(int(edge) for edge in edges) if whole else tuple(edges)


def _describe(data: Any) -> str:
    address = getattr(data, "address", None)
    if isinstance(address, str):
        return address
    if isinstance(data, View | SqlResult):
        return repr(data)[1:-1].removeprefix("View of ")
    return _kind(data)


def _kind(data: Any) -> str:
    module = type(data).__module__.partition(".")[0]
    return f"{'' if module == 'builtins' else f'{module}.'}{type(data).__qualname__}"


def _check_speaks_arrow(data: Any, subject: str) -> None:
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return
    hints = {"str": "Look the address up: store.view('flights@3').", "LazyFrame": "Collect it first: frame.collect()."}
    hint = hints.get(type(data).__name__, "Give a view, a version, a part of a split, or a table.")
    raise UsageError(f"measure_bias() reads what speaks Arrow; {subject} does not.", hint=hint)


def _check_names(columns: Sequence[str], names: Sequence[str], subject: str) -> None:
    for column in columns:
        if column not in names:
            raise column_not_found(column, names, where=subject)
        if list(names).count(column) > 1:
            raise UsageError(
                f"{subject} has several columns named {column!r}.",
                hint="Name them apart.",
                code="repeated-column",
                column=column,
            )

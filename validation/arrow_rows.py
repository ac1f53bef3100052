"""Rows of anything that speaks Arrow, read batch by batch, the needed columns alone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa

from foldstore.errors import FoldstoreError, UnreadableError, UsageError, column_not_found
from foldstore.views.sql import SqlResult
from foldstore.views.view import View

_BATCH_ROWS: Final = 131_072
_FRAMES: Final = ("polars.DataFrame", "pandas.DataFrame")

Read: TypeAlias = Callable[[], Iterator[pa.RecordBatch]]
# The names of columns, or what chooses them once the types are known.
Wanted: TypeAlias = Sequence[str] | Callable[[pa.Schema], Sequence[str]]


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


def open_rows(data: Any, columns: Wanted, *, asker: str) -> Rows:
    """Open columns of anything that speaks Arrow; of a view, a version, a part or a frame they alone are read.

    Parameters
    ----------
    data : view, version, part of a split, SQL result, table, frame
    columns : sequence of str, or callable
        What is read. A callable gets the schema of the rows and returns it.
    asker : str
        The function that the rows are for, to be named where they do not fit.

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
        schema, read = data.arrow_schema, lambda: data.select(*names).to_batches()
    elif hasattr(data, "column_sizes"):  # a version, or a part of a split
        schema, read = data.arrow_schema, lambda: data.to_batches(names)
    elif isinstance(data, SqlResult):
        schema, read = data.arrow_schema, data.to_batches
    else:
        _check_speaks_arrow(data, subject, asker)
        if subject in _FRAMES and not callable(columns):  # the others are left out before anything becomes Arrow
            _check_names(columns, [str(name) for name in data.columns], subject)
            data = data[list(columns)]
        schema, read = _open_foreign(data, subject, lambda: names)
    names = columns(schema) if callable(columns) else columns
    _check_names(names, schema.names, subject)
    chosen = pa.schema([schema.field(name) for name in names])
    return Rows(subject=subject, arrow_schema=chosen, read=read, once=isinstance(data, pa.RecordBatchReader))


def _open_foreign(data: Any, subject: str, columns: Callable[[], Sequence[str]]) -> tuple[pa.Schema, Read]:
    """Return the schema of what another library made, and how a pass over it begins."""
    with _reading(subject):
        first = _reader(data)
    opened = [first]  # what tells the schema makes the first pass; a reader has no other

    def read() -> Iterator[pa.RecordBatch]:
        with _reading(subject):
            for batch in opened.pop() if opened else _reader(data):
                chosen = batch.select(list(columns()))
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


def _check_speaks_arrow(data: Any, subject: str, asker: str) -> None:
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return
    hints = {"str": "Look the address up: store.view('flights@3').", "LazyFrame": "Collect it first: frame.collect()."}
    hint = hints.get(type(data).__name__, "Give a view, a version, a part of a split, or a table.")
    raise UsageError(f"{asker}() reads what speaks Arrow; {subject} does not.", hint=hint)


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

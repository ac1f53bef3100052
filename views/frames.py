"""Arrow data handed to polars, pandas and numpy; the ends that views and query results share."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from foldstore.datastore.engine_types import inner_types
from foldstore.errors import InvalidQueryError, UsageError
from foldstore.views.values import NO_VALUE

_HINT: Final = "Leave the column out, cast it, or read it with to_arrow()."


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Return a DataFrame; numbers and times share Arrow's memory, texts and dictionaries are copied.

    Instants in a fixed offset such as +05:30, which polars does not know, come in UTC.

    Raises
    ------
    UsageError
        When two columns have one name, or a column has a type or value that polars cannot hold.
    """
    check_names(table.schema, "A DataFrame")
    _check_types(table.schema, "polars", _beyond_polars)
    fields = [field.with_type(_polars_type(field.type)) for field in table.schema]
    try:
        return pl.DataFrame(pl.from_arrow(table.cast(pa.schema(fields))))
    except (*NO_VALUE, pl.exceptions.PolarsError) as error:
        raise UsageError(f"polars cannot hold these columns: {error}", hint=_HINT, code="unsupported-type") from error


def to_pandas(table: pa.Table) -> Any:
    """Return a pandas DataFrame.

    Raises
    ------
    UsageError
        When pandas is not installed, two columns have one name, or pandas cannot hold a column.
    """
    try:
        import pandas  # noqa: ICN001, F401 - only to see whether it is there; pyarrow uses it
    except ImportError as error:
        raise UsageError(
            "to_pandas() needs pandas, which is not installed.",
            hint="pip install 'foldstore[pandas]', or use to_polars().",
            code="missing-extra",
        ) from error
    check_names(table.schema, "A DataFrame")
    _check_types(table.schema, "pandas", _beyond_numpy)
    try:
        return table.to_pandas()
    except NO_VALUE as error:
        raise UsageError(f"pandas cannot hold these columns: {error}", hint=_HINT, code="unsupported-type") from error


def to_numpy(table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Return an array for each column; one without nulls that lies in one piece is not copied.

    Raises
    ------
    UsageError
        When two columns have one name, or a column has a type or value that numpy cannot hold.
    """
    check_names(table.schema, "A dict of arrays")
    _check_types(table.schema, "numpy", _beyond_numpy)
    return {name: _array(name, table[name]) for name in table.column_names}


def check_names(schema: pa.Schema, form: str) -> None:
    """Refuse two columns of one name where columns are reached by their names.

    Raises
    ------
    InvalidQueryError
        With the name that occurs twice.
    """
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    if repeated:
        raise InvalidQueryError(
            f"{form} has one column of a name, and the result has several named {repeated[0]!r}.",
            hint="Name them apart: SELECT a.x AS before, b.x AS after.",
            code="repeated-column",
            columns=repeated,
        )


def _check_types(schema: pa.Schema, form: str, is_beyond: Callable[[pa.DataType], bool]) -> None:
    for field in schema:
        if any(is_beyond(kind) for kind in inner_types(field.type)) or (
            form == "polars" and any(_has_offset(kind) for kind in list(inner_types(field.type))[1:])
        ):
            raise UsageError(
                f"{form} cannot hold column {field.name!r} ({field.type}).",
                hint=_HINT,
                code="unsupported-type",
                column=field.name,
                type=str(field.type),
            )


def _beyond_numpy(kind: pa.DataType) -> bool:
    # pyarrow ends the process on an interval that is null, and has no array for unions.
    return bool(pa.types.is_interval(kind) or pa.types.is_union(kind))


def _beyond_polars(kind: pa.DataType) -> bool:
    types = pa.types
    return _beyond_numpy(kind) or any(
        (
            types.is_list_view(kind),
            types.is_large_list_view(kind),
            types.is_run_end_encoded(kind),
            types.is_decimal256(kind),
            types.is_decimal(kind) and kind.scale < 0,
        )
    )


def _has_offset(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz and kind.tz[0] in "+-")


def _polars_type(kind: pa.DataType) -> pa.DataType:
    """Return the type as which polars takes a column; the cast to it is checked, polars's own is not."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms" if kind.unit == "s" else kind.unit, "UTC" if _has_offset(kind) else kind.tz)
    return pa.duration("ms") if kind == pa.duration("s") else kind


def _array(name: str, column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    if column.num_chunks == 1 and _is_flat(column):
        shared: np.ndarray[Any, Any] = column.chunk(0).to_numpy(zero_copy_only=True)
        return shared
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            # pyarrow gives a null of a dictionary the dictionary's last value.
            column = column.cast(kind.value_type)
        elif pa.types.is_timestamp(kind) and kind.tz:
            column = column.cast(pa.timestamp(kind.unit))
        copied: np.ndarray[Any, Any] = column.to_numpy()
    except NO_VALUE as error:
        raise UsageError(
            f"numpy cannot hold column {name!r} ({kind}): {error}", hint=_HINT, code="unsupported-type", column=name
        ) from error
    return copied


def _is_flat(column: pa.ChunkedArray) -> bool:
    kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)
    return bool(column.null_count == 0 and (numeric or pa.types.is_timestamp(kind)))


def scan(
    arrow_schema: pa.Schema, read: Callable[[list[str] | None, int | None], Iterator[pa.RecordBatch]]
) -> pl.LazyFrame:
    """Return a LazyFrame that reads when it is collected.

    Parameters
    ----------
    arrow_schema : pyarrow.Schema
        What is read.
    read : callable
        Gives the batches of some columns (all when None) and at most so many rows.
    """

    def generate(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # a hint; batches come as they are stored
        for batch in read(with_columns, n_rows):
            frame = to_polars(pa.Table.from_batches([batch]))
            yield frame if predicate is None else frame.filter(predicate)

    _check_types(arrow_schema, "polars", _beyond_polars)
    return register_io_source(generate, schema=to_polars(arrow_schema.empty_table()).schema)

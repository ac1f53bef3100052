"""Arrow data handed to polars, pandas and numpy; the ends that views and query results share."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from foldstore.errors import UsageError


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Return a DataFrame; numbers and times share Arrow's memory, texts and dictionaries are copied."""
    return pl.DataFrame(pl.from_arrow(table))


def to_pandas(table: pa.Table) -> Any:
    """Return a pandas DataFrame.

    Raises
    ------
    UsageError
        When pandas is not installed.
    """
    try:
        import pandas  # noqa: ICN001, F401 - only to see whether it is there; pyarrow uses it
    except ImportError as error:
        raise UsageError(
            "to_pandas() needs pandas, which is not installed.",
            hint="pip install 'foldstore[pandas]', or use to_polars().",
            code="missing-extra",
        ) from error
    return table.to_pandas()


def to_numpy(table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Return an array for each column; one without nulls that lies in one piece is not copied."""
    return {name: _array(table[name]) for name in table.column_names}


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    if column.num_chunks == 1 and _is_flat(column):
        shared: np.ndarray[Any, Any] = column.chunk(0).to_numpy(zero_copy_only=True)
        return shared
    copied: np.ndarray[Any, Any] = column.to_numpy()
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

    return register_io_source(generate, schema=to_polars(arrow_schema.empty_table()).schema)

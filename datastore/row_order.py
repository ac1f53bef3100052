"""The order of an append's rows: which columns can be sorted by, and the sort."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.exact_cast import is_binary, is_text
from foldstore.errors import SchemaMismatchError, UsageError, column_not_found


def check_order(order_by: Sequence[str], schema: pa.Schema) -> None:
    """Refuse columns that rows cannot be sorted by.

    Raises
    ------
    UsageError
        When the order is not a list of names.
    ColumnNotFoundError
        When the data has no such column.
    SchemaMismatchError
        When its values have no order.
    """
    if not isinstance(order_by, list | tuple) or not all(isinstance(name, str) for name in order_by):
        raise UsageError(
            f"order_by is a list of column names, not {str(order_by)[:80]!r}.",
            hint='Write order_by=["time"]; leave it out to keep the rows as they come.',
        )
    for name in order_by:
        if name not in schema.names:
            raise column_not_found(name, schema.names, where="the data")
        kind = schema.field(name).type
        if not _has_order(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise SchemaMismatchError(
                f"Rows cannot be sorted by {name!r}: values of type {kind} have no order.",
                hint="Sort by numbers, texts, binaries, booleans or times.",
                column=name,
                found=str(kind),
            )


def _has_order(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(
        t.is_null(kind)
        or t.is_boolean(kind)
        or t.is_integer(kind)
        or t.is_floating(kind)
        or t.is_decimal128(kind)
        or t.is_decimal256(kind)
        or is_text(kind)
        or is_binary(kind)
        or t.is_fixed_size_binary(kind)
        or (t.is_temporal(kind) and not t.is_interval(kind))
    )


def sort_batches(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, order_by: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in ascending order, nulls last; rows that are equal keep their order.

    Sorting holds the rows of one append in memory; pieces that are larger come in order or in parts.
    """
    table = pa.Table.from_batches(batches, schema)
    keys = pa.table({str(position): _sortable(table[name]) for position, name in enumerate(order_by)})
    try:
        indices = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
        ordered = table.unify_dictionaries().take(indices)
    except pa.ArrowException as error:
        raise SchemaMismatchError(
            f"The rows cannot be sorted: {error}.", hint="Append in smaller parts, or leave order_by out."
        ) from error
    return iter(ordered.to_batches())


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values that Arrow sorts in the place of those that it does not."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column.cast(pa.float32()) if pa.types.is_float16(column.type) else column

"""Predictions for a pool, checked and put into the pool's order before any label is read.

A table (or mapping) with ``prediction`` and either ``pool_row``, as `features()` gives it, or the dataset's
key columns; or an array in the order of the rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import blake3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.datastore.exact_cast import cast_exactly
from foldstore.datastore.statistics.hashing import hash_rows
from foldstore.errors import SchemaMismatchError, UsageError
from foldstore.validation.pools.registered import Values, read_values
from foldstore.validation.pools.scores import MeanScore

POOL_ROW: Final = "pool_row"
PREDICTION: Final = "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRows:
    """The rows that predictions must cover.

    Attributes
    ----------
    label_type : DataType
        The type of the label, without a dictionary.
    keys : Table
        The key columns in the order of the rows; without columns when there is no key.
    num_rows : int
    pool_rows : array of int, optional
        The opaque row ids, in the same order.
    """

    label_type: pa.DataType
    keys: pa.Table
    num_rows: int
    pool_rows: NDArray[np.int64] | None = None


def align_predictions(predictions: object, rows: ExpectedRows, *, what: str = "predictions") -> pa.Array:
    """Return predictions in the order of the rows, in the label's type.

    Raises
    ------
    UsageError
        With code ``invalid-predictions``: wrong length, ids, type, repeated rows, nulls. Nothing was charged.

    Examples
    --------
    >>> rows = ExpectedRows(label_type=pa.bool_(), keys=pa.table({"id": [7, 8]}), num_rows=2)
    >>> align_predictions({"id": [8, 7], "prediction": [True, False]}, rows).to_pylist()
    [False, True]
    """
    table = read_table(predictions, what)
    if table is None:
        values = _read_array(predictions, what)
        _check_length(len(values), rows, what)
    else:
        values = _select(table, PREDICTION, what)
        _check_length(len(values), rows, what)
        values = values.take(_find_order(table, rows, what))
    return _conform(values, rows.label_type, what)


def read_column(predictions: object, name: str = PREDICTION, *, what: str = "predictions") -> pa.Array:
    """Return a column of a table of predictions, or an array of them, without a dictionary.

    Raises
    ------
    UsageError
        With code ``invalid-predictions``.
    """
    table = read_table(predictions, what)
    if table is None and name != PREDICTION:
        raise _refusal(f"The {what} come without {name}.", what, hint=f"Bring a table with the column {name}.")
    values = _read_array(predictions, what) if table is None else _select(table, name, what)
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def align_scores(
    predictions: object, rows: ExpectedRows, scores: Sequence[MeanScore], *, what: str = "predictions"
) -> dict[str, Values]:
    """Return the scores that come with predictions, each in a column of its name, in the order of the rows.

    Raises
    ------
    UsageError
        ``invalid-predictions`` where a column is missing, ``invalid-score`` for values out of bounds. Nothing was
        charged.
    """
    if not scores:
        return {}
    table = read_table(predictions, what)
    if table is None:
        names = ", ".join(each.name for each in scores)
        raise _refusal(f"The {what} come without {names}.", what, hint=f"Bring a table with the columns {names}.")
    order = _find_order(table, rows, what)
    return {each.name: read_values(_select(table, each.name, what).take(order), each, len(order)) for each in scores}


def digest_predictions(
    aligned: pa.Array,
    order: NDArray[np.integer[Any]],
    identity: NDArray[np.uint64],
    scores: Mapping[str, Values] | None = None,
) -> str:
    """Return the name of a submission: which value is predicted for which row, whoever sends it in whatever order.

    Parameters
    ----------
    aligned : Array
        What `align_predictions` gave.
    order : array of int
        The canonical order of the rows.
    identity : array of uint64
        The digests of the rows, in the order of the predictions.
    scores : mapping of str to array, optional
        What `align_scores` gave.
    """
    digest = blake3.blake3(str(aligned.type).encode())
    digest.update(np.ascontiguousarray(identity[order]).tobytes())
    for part in value_bytes(aligned.take(pa.array(order))):
        digest.update(part)
    for name, values in sorted((scores or {}).items()):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(values[order] + 0.0).tobytes())
    return HASH_PREFIX + digest.hexdigest()


def find_places(ordered: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where each wanted value stands among ordered ones, or would.

    Sorting what is wanted first makes the search a walk through memory in place of a leap for every value: of a million
    values three times as fast.
    """
    order = np.argsort(wanted)
    places = np.empty(len(wanted), np.int64)
    places[order] = np.searchsorted(ordered, wanted[order])
    return places


def read_table(predictions: object, what: str) -> pa.Table | None:
    """Return predictions that are a table as one, and None for an array of them.

    Raises
    ------
    UsageError
        With code ``invalid-predictions``, when columns do not make a table.
    """
    if isinstance(predictions, pa.Table):
        return predictions
    if isinstance(predictions, pa.RecordBatch | Mapping):
        return _attempt(predictions, what)
    if isinstance(predictions, pa.Array | pa.ChunkedArray | np.ndarray) or not hasattr(
        predictions, "__arrow_c_stream__"
    ):
        return None
    try:
        return pa.table(predictions)
    except (pa.ArrowException, TypeError, ValueError):
        return None  # a stream of plain values, such as a polars Series


def _attempt(columns: Any, what: str) -> pa.Table:
    try:
        return pa.table(dict(columns)) if isinstance(columns, Mapping) else pa.Table.from_batches([columns])
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _refusal(f"The {what} are not a table: {error}.", what) from error


def _read_array(predictions: Any, what: str) -> pa.Array:
    try:
        if isinstance(predictions, pa.Array):
            return predictions
        if isinstance(predictions, np.ndarray | Sequence) and not isinstance(predictions, str | bytes):
            return pa.array(predictions)
        if isinstance(predictions, pa.ChunkedArray) or hasattr(predictions, "__arrow_c_stream__"):
            return _one(pa.chunked_array(predictions))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _refusal(f"The {what} are neither a table nor an array of plain values.", what) from error
    raise _refusal(f"The {what} are neither a table nor an array of plain values.", what)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.unify_dictionaries().combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _select(table: pa.Table, name: str, what: str) -> pa.Array:
    if table.column_names.count(name) != 1:
        raise _refusal(
            f"The {what} have no column {name!r} (or several).", what, found=table.column_names[:20], expected=name
        )
    return _one(table.column(name))


def _check_length(found: int, rows: ExpectedRows, what: str) -> None:
    if found != rows.num_rows:
        raise _refusal(
            f"There are {found:,} {what} for {rows.num_rows:,} rows.", what, found=found, expected=rows.num_rows
        )


def _find_order(table: pa.Table, rows: ExpectedRows, what: str) -> pa.Array:
    """Return where each row of the pool stands in the table."""
    if rows.pool_rows is not None and POOL_ROW in table.column_names:
        given = pa.table({POOL_ROW: _cast_key(table, POOL_ROW, pa.int64(), what)})
        return _match(given, pa.table({POOL_ROW: pa.array(rows.pool_rows)}), what)
    names = rows.keys.column_names
    if not names or not set(names) <= set(table.column_names):
        ways = [POOL_ROW] if rows.pool_rows is not None else []
        ways += [", ".join(names)] if names else []
        raise _refusal(
            f"The {what} do not say which row each is for.",
            what,
            hint=f"Bring the columns {' or '.join(ways)}, or an array in the order of the rows."
            if ways
            else "Bring an array in the order of the rows.",
            found=table.column_names[:20],
        )
    given = pa.table({name: _cast_key(table, name, rows.keys.schema.field(name).type, what) for name in names})
    return _match(given, rows.keys, what)


def _cast_key(table: pa.Table, name: str, target: pa.DataType, what: str) -> pa.Array:
    column = _select(table, name, what)
    try:
        return cast_exactly(column, target, name=name)
    except SchemaMismatchError as error:
        raise _refusal(error.message, what, hint=f"Bring {name!r} as {target}.", column=name) from error


def _match(given: pa.Table, expected: pa.Table, what: str) -> pa.Array:
    given_hashes, wanted_hashes = hash_rows(given.columns), hash_rows(expected.columns)
    order = np.argsort(given_hashes)
    ordered = given_hashes[order]
    repeated = int((ordered[1:] == ordered[:-1]).sum())
    if repeated:
        first = given.slice(int(order[:-1][ordered[1:] == ordered[:-1]][0]), 1).to_pylist()[0]
        raise _refusal(f"{repeated:,} rows occur more than once among the {what}, e.g. {_show(first)}.", what)
    places = np.minimum(find_places(ordered, wanted_hashes), len(ordered) - 1)
    found = ordered[places] == wanted_hashes
    taken = given.take(order[places])
    same = [
        pc.fill_null(pc.equal(a, b), fill_value=False) for a, b in zip(taken.columns, expected.columns, strict=True)
    ]
    for column in same:
        found &= column.to_numpy()
    if not found.all():
        missing = expected.slice(int(np.flatnonzero(~found)[0]), 1).to_pylist()[0]
        raise _refusal(f"{int((~found).sum()):,} rows of the pool have no {what}, e.g. {_show(missing)}.", what)
    return pa.array(order[places])


def _show(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!a}"[:80] for name, value in row.items())


def _conform(values: pa.Array, label_type: pa.DataType, what: str) -> pa.Array:
    if values.null_count:
        raise _refusal(f"{values.null_count:,} of the {what} are null.", what, nulls=values.null_count)
    plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    try:
        return cast_exactly(plain, label_type, name=PREDICTION)
    except SchemaMismatchError as error:
        raise _refusal(
            f"The {what} are {values.type}, the label is {label_type}: {error.message.rpartition(': ')[2]}",
            what,
            hint="Predict a class for each row, in the label's type.",
            found=str(values.type),
            expected=str(label_type),
        ) from error


def value_bytes(array: pa.Array) -> list[bytes]:
    """Return the bytes of values without nulls; lengths go before texts, so that none can run into the next."""
    if pa.types.is_boolean(array.type):
        return [np.packbits(array.to_numpy(zero_copy_only=False)).tobytes()]
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        lengths = pc.binary_length(array).to_numpy(zero_copy_only=False).astype(np.int64)
        return [lengths.tobytes(), b"".join(str(value).encode() for value in array.to_pylist())]
    return [np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).tobytes()]


def _refusal(message: str, what: str, hint: str | None = None, **facts: Any) -> UsageError:
    return UsageError(
        message,
        hint=hint or f"Give the {what} for every row of the pool, once; no label was read and nothing was charged.",
        code="invalid-predictions",
        **facts,
    )

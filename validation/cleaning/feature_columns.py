"""Rows as features and classes: what the small models of cleaning read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError, column_not_found
from foldstore.validation.cleaning.coding import code_column
from foldstore.validation.cleaning.working import Read

MOST_ROWS: Final = 5_000_000
MOST_CLASSES: Final = 1_000
_FEW_CLASSES: Final = 50
_LEAST_ROWS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledRows:
    """Rows with a label, those of test pools left out.

    Attributes
    ----------
    columns : dict of str to array
        Numbers with NaN for null, or objects with None.
    labels : array of int64
        The place of each row's label in `classes`.
    classes : list
    ids : array of uint64
    """

    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]
    classes: list[Any]
    ids: NDArray[np.uint64]


def read_labelled(read: Read, schema: pa.Schema, label: str, features: Sequence[str]) -> LabelledRows:
    """Read the rows that have a label.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    UsageError
        When there are too many rows or classes, or many classes of hardly a row each: who is learnt from and who is
        asked would have none in common.
    """
    features = tuple(dict.fromkeys(features))
    names = [label, *features]
    for name in names:
        if name not in schema.names:
            raise column_not_found(name, schema.names, where="the rows")
    if not features:
        raise UsageError(f"There is no column to tell {label!r} by.", hint="Name columns: features=['carrier'].")
    if label in features:
        raise UsageError(f"{label!r} is the label, and would tell itself.", hint="Leave it out of the features.")
    ids: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    fields = pa.schema([schema.field(name) for name in names])
    table = pa.Table.from_batches(_labelled(read, names, ids), fields)
    coded = code_column(table.column(label), name=label)
    if len(coded.values) > MOST_CLASSES:
        raise UsageError(
            f"{label!r} has {len(coded.values):,} values; a label has at most {MOST_CLASSES:,} classes.",
            hint="Name a column of classes.",
            code="too-many-values",
        )
    known = coded.codes >= 0  # NaN is no label
    labelled = int(known.sum())
    if len(coded.values) > _FEW_CLASSES and labelled < _LEAST_ROWS * len(coded.values):
        raise UsageError(
            f"{label!r} has {len(coded.values):,} values in {labelled:,} rows: most would be classes of one row.",
            hint="Name a column of classes.",
            code="too-many-values",
        )
    columns = {name: feature_array(table.column(name)) for name in features}
    order = sorted(range(len(coded.values)), key=lambda place: str(coded.values[place].as_py()))
    ranks = np.argsort(np.array(order, np.int64))
    return LabelledRows(
        columns={name: values[known] for name, values in columns.items()},
        labels=ranks[coded.codes[known]],
        classes=[coded.value(place) for place in order],
        ids=np.concatenate(ids)[known],
    )


def _labelled(read: Read, names: Sequence[str], ids: list[NDArray[np.uint64]]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for chunk in read(names):
        kept = chunk.free & chunk.batch.column(0).is_valid().to_numpy(zero_copy_only=False)
        ids.append(chunk.ids[kept])
        rows += int(kept.sum())
        if rows > MOST_ROWS:
            raise UsageError(
                f"More than {MOST_ROWS:,} rows have a label: a model in memory is learnt from at most so many.",
                hint="Give probabilities of your own model, or look at a sample.",
                code="cleaning-too-large",
            )
        yield chunk.batch.filter(pa.array(kept))


def feature_array(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as numbers with NaN for null, or as objects.

    Examples
    --------
    >>> feature_array(pa.chunked_array([[1, None]])).tolist(), feature_array(pa.chunked_array([["a", None]])).tolist()
    ([1.0, nan], ['a', None])
    """
    kind = column.type
    if pa.types.is_interval(kind):
        return np.array([str(each) if each.is_valid else None for each in column], object)
    if pa.types.is_temporal(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    if pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    if pa.types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    return np.array(column.to_pylist(), object)


def usual_features(schema: pa.Schema, left_out: Sequence[str]) -> list[str]:
    """Return the columns that can be features: neither nested nor binary."""
    t = pa.types
    odd = (t.is_nested, t.is_binary, t.is_large_binary, t.is_null)
    return [f.name for f in schema if f.name not in left_out and not any(is_odd(f.type) for is_odd in odd)]

"""A view as the matrix of features and the vector of labels that scikit-learn takes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.views.arguments import check_columns
from foldstore.views.frames import to_numpy
from foldstore.views.rows.rows import Rows, endless

Read = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


def make_matrix(
    read: Read, schema: pa.Schema, rows: Rows, label: str, features: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Read features into one matrix, batch by batch, and the label beside them.

    Raises
    ------
    UsageError
        When a feature is no number, a label is null, or the view never ends.
    ColumnNotFoundError
        When a column is not there.
    """
    if rows.is_endless:
        raise endless("it has no matrix")
    if not isinstance(label, str):
        raise UsageError(f"{ascii(label)[:40]} names no label.", hint="to_xy('late', ['distance', 'dep_delay'])")
    check_columns(label, schema, where="the view")
    others = [name for name in schema.names if name != label]
    names = others if features is None else check_columns(features, schema, where="the view")
    for name in names:
        _check_feature(schema.field(name))
    parts: list[NDArray[np.float64]] = []
    labels: list[pa.Array] = []
    for batch in read(list(dict.fromkeys([*names, label]))):
        parts.append(_fill(batch, names))
        labels.append(batch.column(label))
    column = pa.chunked_array(labels, schema.field(label).type)
    if column.null_count:
        raise UsageError(
            f"{column.null_count:,} of {len(column):,} rows have no {label!r}.",
            hint=f"Leave them out: where('{label} IS NOT NULL'). Cells that a test pool holds read as null.",
            code="null-values",
            column=label,
        )
    matrix = np.concatenate(parts) if parts else np.empty((0, len(names)))
    return matrix, to_numpy(pa.table({label: column}))[label]


def _fill(batch: pa.RecordBatch, names: Sequence[str]) -> NDArray[np.float64]:
    part = np.empty((batch.num_rows, len(names)))
    for place, name in enumerate(names):
        # As numpy does it: a whole number beyond 2**53 becomes the nearest double.
        column = batch.column(name).cast(pa.float64(), safe=False)
        part[:, place] = column.to_numpy(zero_copy_only=False)
    return part


def _check_feature(field: pa.Field) -> None:
    types = pa.types
    if not (types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type)):
        raise UsageError(
            f"The feature {field.name!r} is {field.type}, not a number.",
            hint=f"Make numbers of it: enumerate({field.name!r}); or leave it out of features=.",
            code="unsupported-type",
            column=field.name,
        )

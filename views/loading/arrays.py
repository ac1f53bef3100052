"""Record batches as arrays of numbers, as models take them: numpy's, or PyTorch's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.errors import UsageError
from foldstore.views.arguments import check_choice
from foldstore.views.frames import to_numpy

FORMS: Final = ("numpy", "torch", "arrow")
MASK: Final = "_mask"
Arrays = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """How columns become arrays.

    Attributes
    ----------
    form : {'numpy', 'torch'}
        Whose arrays.
    masks : bool
        Whether each column that has nulls, by its type or by a batch, gets a second array that is true where a value
        is missing.
    fill : mapping of str to object
        What stands for null, by column; ``*`` for every column.
    """

    form: str
    masks: bool
    fill: Mapping[str, Any]

    def check(self, schema: pa.Schema) -> None:
        """Refuse columns that cannot become arrays.

        Raises
        ------
        UsageError
            With the first of them.
        """
        unknown = sorted(set(self.fill) - {*schema.names, "*"})
        if unknown:
            raise UsageError(f"fill= names {unknown[0]!r}, which is no column of the view.", hint="fill={'*': 0}: all.")
        for field in schema:
            if self.form == "torch" and not is_numeric(field.type):
                raise UsageError(
                    f"PyTorch has no tensor for {field.name!r} ({field.type}).",
                    hint=f"Leave it out with select(), or make numbers of it: enumerate({field.name!r}).",
                    code="unsupported-type",
                    column=field.name,
                )

    def convert(self, batch: pa.RecordBatch) -> Arrays:
        """Return the columns as arrays of the batch's length."""
        arrays: Arrays = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if is_numeric(column.type):
                arrays[name] = self._numbers(name, column)
            else:
                arrays |= to_numpy(pa.table({name: column}))
            if self.masks:
                arrays[name + MASK] = column.is_null().to_numpy(zero_copy_only=False)
        return {name: _to_tensor(array) for name, array in arrays.items()} if self.form == "torch" else arrays

    def _numbers(self, name: str, column: pa.Array) -> Any:
        kind = column.type
        if pa.types.is_fixed_size_list(kind):
            if column.null_count:
                raise _has_nulls(name, kind)
            return self._numbers(name, column.flatten()).reshape(len(column), kind.list_size)
        if column.null_count:
            column = self._filled(name, column)
        if pa.types.is_boolean(kind):
            return column.to_numpy(zero_copy_only=False)
        if pa.types.is_temporal(kind) and self.form == "torch":
            column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
        elif pa.types.is_timestamp(kind) and kind.tz:
            column = column.view(pa.timestamp(kind.unit))
        return column.to_numpy(zero_copy_only=False)

    def _filled(self, name: str, column: pa.Array) -> pa.Array:
        value = self.fill.get(name, self.fill.get("*"))
        if value is None and pa.types.is_floating(column.type):
            value = float("nan")
        if value is None and self.masks:
            value = 0
        if value is None:
            raise _has_nulls(name, column.type)
        try:
            return pc.fill_null(column, _stand_in(value, column.type))
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise UsageError(
                f"fill= gives {ascii(value)[:40]} for {name!r} ({column.type}).", hint="Give a value of its type."
            ) from error


def _stand_in(value: Any, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_temporal(kind) and isinstance(value, int):
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.scalar(value, whole).cast(kind)
    return pa.scalar(bool(value) if pa.types.is_boolean(kind) else value, kind)


def _has_nulls(name: str, kind: pa.DataType) -> UsageError:
    return UsageError(
        f"{name!r} ({kind}) has nulls, for which there is no number.",
        hint=f"Say fill={{{name!r}: 0}} or masks=True, or leave such rows out: where('{name} IS NOT NULL').",
        code="null-values",
        column=name,
    )


def is_numeric(kind: pa.DataType) -> bool:
    """Say whether values of a type are numbers, instants, or lists of one length of these."""
    types = pa.types
    if types.is_fixed_size_list(kind):
        return is_numeric(kind.value_type)
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_temporal(kind)
    ) and not types.is_interval(kind)


def _to_tensor(array: Any) -> Any:
    import torch

    if array.dtype.kind in "Mm":
        array = array.view(np.int64)
    # Mapped files and Arrow's buffers are not to be written to, which a tensor may be.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def check_form(form: object, masks: object, fill: object) -> ArrayForm | None:
    """Return how columns become arrays; None where batches stay Arrow's.

    Raises
    ------
    UsageError
        When the form is no choice, or what stands for null is none.
    """
    chosen = check_choice(form, FORMS, "form")
    if not isinstance(masks, bool):
        raise UsageError("masks is True or False.", hint="masks=True adds '<column>_mask'.")
    stand_ins = fill if isinstance(fill, Mapping) else {} if fill is None else {"*": fill}
    if not all(isinstance(name, str) for name in stand_ins):
        raise UsageError("fill= takes a value, or a dict of columns and values.", hint="fill={'dep_delay': 0}")
    return None if chosen == "arrow" else ArrayForm(chosen, masks, dict(stand_ins))


def split_arrays(arrays: Mapping[str, Any], rows: int) -> Iterator[Arrays]:
    """Yield the arrays in runs of rows, which share their memory."""
    runs = [_split(array, rows) for array in arrays.values()]
    for parts in zip(*runs, strict=True):
        yield dict(zip(arrays, parts, strict=True))


def _split(array: Any, rows: int) -> Iterable[Any]:
    if isinstance(array, np.ndarray):
        return (array[begin : begin + rows] for begin in range(0, len(array), rows))
    views: Iterable[Any] = array.split(rows)  # a tensor's views are made all at once
    return views

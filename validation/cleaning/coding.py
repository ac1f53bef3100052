"""Columns as whole numbers: the codes of their values, and of the groups that several columns make together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError

Codes: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumn:
    """A column by the codes of its values.

    Attributes
    ----------
    codes : array of int64
        The place of each row's value in `values`; -1 for null and NaN.
    values : pyarrow.Array
        The distinct values, in the order in which they come.
    """

    codes: Codes
    values: pa.Array

    @property
    def counts(self) -> Codes:
        """How often each value occurs."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def value(self, code: int) -> Any:
        """Return a value as a Python object."""
        return self.values[code].as_py()


def code_column(column: pa.ChunkedArray | pa.Array, *, name: str = "column") -> CodedColumn:
    """Give each distinct value of a column a code.

    Raises
    ------
    UsageError
        When values of the type cannot be told apart, such as lists.

    Examples
    --------
    >>> coded = code_column(pa.array(["a", None, "b", "a"]))
    >>> coded.codes.tolist(), coded.values.to_pylist()
    ([0, -1, 1, 0], ['a', 'b'])
    """
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(chunk, pa.ChunkedArray):
        chunk = pa.concat_arrays(chunk.chunks) if chunk.num_chunks else pa.nulls(0, chunk.type)
    try:
        encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise UsageError(
            f"Values of {name!r} cannot be told apart: {chunk.type}.",
            hint="Name columns of text, numbers, times or booleans.",
            code="unsupported-type",
            column=name,
        ) from error
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    values = encoded.dictionary
    if pa.types.is_floating(values.type):
        codes = np.where(np.isin(codes, np.flatnonzero(np.isnan(values.to_numpy(zero_copy_only=False)))), -1, codes)
    return CodedColumn(codes, values)


def group_codes(columns: Sequence[Codes]) -> Codes:
    """Return the code of the group that each row is in: rows with equal codes in all columns; -1 where one is null.

    Examples
    --------
    >>> group_codes([np.array([0, 0, 1, -1]), np.array([5, 5, 5, 5])]).tolist()
    [0, 0, 1, -1]
    """
    groups = columns[0]
    for more in columns[1:]:
        missing = (groups < 0) | (more < 0)
        joint = np.where(missing, -1, groups * (int(more.max(initial=0)) + 1) + more)
        groups = _dense(joint)
    return groups


def _dense(codes: Codes) -> Codes:
    known = codes >= 0
    dense = np.full(len(codes), -1, np.int64)
    dense[known] = np.unique(codes[known], return_inverse=True)[1]
    return dense

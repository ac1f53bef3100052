"""Two columns compared to the bit: null equals null, any NaN another, and 0.0 is not -0.0."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.views.values import value_reader


def find_different(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Say row by row where two columns of one length differ by a bit; the first is read in the type of the second.

    Examples
    --------
    >>> find_different(pa.array([1.0, None, 0.0]), pa.array([1.0, None, -0.0])).tolist()
    [False, False, True]
    """
    if one.type != other.type:
        one = one.cast(other.type)
    nulls, others = pc.is_null(one), pc.is_null(other)
    missing = pc.xor(nulls, others).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(other.type):
        wide = [each.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) for each in (one, other)]
        unequal = (wide[0].view(np.int64) != wide[1].view(np.int64)) & ~(np.isnan(wide[0]) & np.isnan(wide[1]))
    elif pa.types.is_nested(other.type) or pa.types.is_interval(other.type):
        read = value_reader(other.type)
        pairs = zip(one, other, strict=True)
        unequal = np.array([repr(read(mine)) != repr(read(theirs)) for mine, theirs in pairs], np.bool_)
    else:
        unequal = pc.fill_null(pc.not_equal(one, other), fill_value=False).to_numpy(zero_copy_only=False)
    both = ~(nulls.to_numpy(zero_copy_only=False) | others.to_numpy(zero_copy_only=False))
    found: NDArray[np.bool_] = missing | (unequal & both)
    return found

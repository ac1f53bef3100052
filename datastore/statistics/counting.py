"""The different values of an array with their counts, and the rows in which values stand first."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.grid import Grid, Ints, join_equal
from foldstore.datastore.statistics.reading import Kind, Raw
from foldstore.errors import UsageError

# Whole numbers in a narrow range are counted by place instead of sorted.
_DENSE_RANGE: Final = 1 << 20
# So many values say whether a common divisor is worth trying.
_FIRST_FEW: Final = 256
_INT64_MAX: Final = 2**63 - 1
INT64: Final = frozenset(kind for kind in Kind if kind.has_integer_grid)


def count_numbers(numbers: NDArray[Any], kind: Kind) -> tuple[NDArray[Any], Ints, int]:
    """Return the different numbers ascending, their counts, and how many were NaN."""
    nan = 0
    if numbers.dtype.kind == "f":
        is_nan = np.isnan(numbers)
        nan = int(np.count_nonzero(is_nan))
        numbers = (numbers[~is_nan] if nan else numbers) + 0.0  # adding zero turns -0.0 into 0.0
    target = np.int64 if kind in INT64 else numbers.dtype
    if not len(numbers):
        return np.empty(0, target), np.empty(0, np.int64), nan
    if kind in INT64:
        places = _place_densely(numbers.astype(np.int64, copy=False))
        if places is not None:
            low, step, cells = places
            held = np.flatnonzero(cells)
            return held * step + low, cells[held], nan
    ordered = np.sort(numbers)
    values, counts = _run_lengths(ordered)
    return values.astype(target, copy=False), counts, nan


def _place_densely(numbers: Ints) -> tuple[int, int, Ints] | None:
    """Count whole numbers by place: the least, the step between places, and how many stand in each.

    Times are often whole hours or days, amounts whole hundreds: places then lie a common divisor apart.
    None where there are too many places to count by.
    """
    low, high = int(numbers.min()), int(numbers.max())
    most = min(_DENSE_RANGE, 8 * len(numbers) + 1_024)
    if high - low < most:
        return low, 1, np.bincount(numbers - low)
    if high - low > _INT64_MAX:  # a difference of int64 may need all 64 bits
        return None
    above = numbers - low
    step = int(np.gcd.reduce(above[:_FIRST_FEW]))
    if step < 2 or (high - low) // step >= most:
        return None
    places = above // step
    return (low, step, np.bincount(places)) if np.array_equal(places * step, above) else None


def _run_lengths(ordered: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[starts], np.diff(starts, append=len(ordered)).astype(np.int64)


def first_rows(array: pa.Array, numbers: NDArray[Any], extremes: tuple[Any, Any]) -> tuple[int | None, int | None]:
    """Return the rows in which the extremes stand first; `numbers` are the values that are not null."""
    if extremes[0] is None:
        return None, None
    low_at, high_at = (int(np.argmax(numbers == extreme)) for extreme in extremes)
    if array.null_count:
        rows = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
        return int(rows[low_at]), int(rows[high_at])
    return low_at, high_at


def check_text(values: pa.Array) -> None:
    """Refuse what is not UTF-8: Arrow's kernels would pass over it, and Python fails at it later."""
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"A text of the column is not UTF-8: {error}.",
            hint="Mend the data where it is made, or hold it as bytes: cast the column to binary.",
            code="invalid-text",
        ) from error


def first_row(array: pa.Array, value: Raw) -> int:
    """Return the first row that holds the value, which is there."""
    row: int = pc.index(array, pa.scalar(value, array.type)).as_py()
    return row


def count_lengths(lengths: NDArray[Any], counts: Ints) -> Grid:
    """Count values by their lengths."""
    order = np.argsort(lengths, kind="stable")
    return Grid.of_integers(*join_equal(lengths[order], counts[order]))

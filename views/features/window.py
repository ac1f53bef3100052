"""Windows of time in numbers: where they begin and end, when rows enter and leave them, of which type answers are."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import SchemaMismatchError
from foldstore.views.features.aggregation import Aggregation
from foldstore.views.instant import LIMIT, parse_duration

Integers = NDArray[np.int64]

# Those that need numbers; the others take whatever can be sorted, or anything.
_NUMERIC: Final = ("sum", "mean", "std", "quantile")
_SORTED: Final = ("min", "max")
_FLOATS: Final = ("mean", "std", "quantile")
_EARLIEST: Final = 1 - LIMIT  # the least instant there is


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows an instant looks at.

    Attributes
    ----------
    kind : str
        ``sliding``, ``tumbling`` or ``session``.
    length : int
        In nanoseconds; of a session the gap that ends it.
    hop : int
        To what the start of a sliding window is rounded down; 1 for no rounding.
    """

    kind: str
    length: int
    hop: int = 1

    def bounds(self, at: Integers) -> tuple[Integers, Integers]:
        """Return the first instant of the window of each instant, and the one after its last.

        Of a session the first says whether one is open: whether there is a row from there on.
        """
        if self.kind == "tumbling":
            end = _round_down(at, self.length)
            return _before(end, self.length), end
        start = _before(at, self.length)
        return (start if self.hop == 1 else _round_down(start, self.hop)), at

    def changes(self, events: Integers) -> tuple[Integers, Integers]:
        """Return from when on the window holds each of these rows, and from when on it does not; `LIMIT` for never.

        Of a session the second is when it would close, if nothing followed.
        """
        if self.kind == "tumbling":
            enters = _after(_round_down(events, self.length), self.length)
            return enters, _after(enters, self.length)
        # A row is in while round_down(t - length, hop) <= e, so t - length < the next multiple of the hop after e.
        leaves = _after(events, 1) if self.hop == 1 else _after(_round_down(events, self.hop), self.hop)
        return _after(events, 1), _after(leaves, self.length)


def window_of(aggregation: Aggregation) -> Window:
    """Return an aggregation's window."""
    hop = parse_duration(aggregation.hop) if aggregation.hop else 1
    return Window(aggregation.window, parse_duration(aggregation.time_window), hop)


def output_type(aggregation: Aggregation, kind: pa.DataType | None) -> pa.DataType:
    """Return the type of an aggregation's answer for a column of a type.

    Raises
    ------
    SchemaMismatchError
        When the function means nothing for it.
    """
    if aggregation.function in ("count", "distinct"):
        if kind is not None and aggregation.function == "distinct" and pa.types.is_nested(kind):
            raise _no_such(aggregation, kind)
        return pa.int64()
    if kind is None or (aggregation.function in _NUMERIC and not _is_number(kind)):
        raise _no_such(aggregation, kind)
    if aggregation.function in _SORTED and not (_is_number(kind) or _is_sortable(kind)):
        raise _no_such(aggregation, kind)
    if aggregation.function in _FLOATS or (aggregation.function == "sum" and pa.types.is_floating(kind)):
        return pa.float64()
    return pa.int64() if aggregation.function == "sum" else kind


def _no_such(aggregation: Aggregation, kind: pa.DataType | None) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"{aggregation.function!r} means nothing for {aggregation.column!r}, which is {kind}.",
        hint="Cast the column in the source, or take count, distinct, first or last.",
        column=aggregation.column,
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_sortable(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or pa.types.is_time(kind)
        or pa.types.is_duration(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
    )


def _before(instants: Integers, length: int) -> Integers:
    """Step back; what lies before every instant is the least."""
    return np.maximum(instants, _EARLIEST + length) - length


def _after(instants: Integers, length: int) -> Integers:
    """Step on; what lies after every instant is `LIMIT`."""
    return np.minimum(instants, LIMIT - length) + length


def _round_down(instants: Integers, width: int) -> Integers:
    if width == 1:
        return instants
    rest = np.remainder(instants, width)  # never negative
    return np.where(instants < _EARLIEST + rest, _EARLIEST, instants - rest)

"""Operations on categories: vocabularies, one column for each value, hashes, bins, encodings by count or target."""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.views.transforms.numbers import (
    count_distinct,
    is_number,
    is_text,
    known_numbers,
    lower_quantiles,
    map_distinct,
    to_floats,
)
from foldstore.views.transforms.operation import (
    Columns,
    Kinds,
    Operation,
    RowKernel,
    State,
    add_kinds,
    find_kind,
    nothing_to_learn,
    refuse_kind,
    refuse_parameter,
)
from foldstore.views.transforms.scaling import around, check_rate, is_plain_number

MOST_VALUES: Final = 1_000_000
_MOST_COLUMNS: Final = 1_000
_MOST_BINS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Vocabulary(Operation):
    """Number the values: the most frequent is 0, of equals the lesser comes first; null stays null.

    Parameters
    ----------
    column : str
        Of texts, whole numbers or booleans.
    values : list, optional
        The values in the order of their numbers, instead of learning them.
    top_k : int, optional
        Keep so many.
    min_count : int
        Keep those that occur so often.
    oov_buckets : int
        How many numbers, after the last, values outside the vocabulary share by a hash; 0 makes them null.
    max_rate : float, optional
        The share of rows outside the vocabulary above which a validation says `oov_rate_high`.
    """

    OP: ClassVar[str] = "vocabulary"
    EVENT: ClassVar[str | None] = "oov_rate_high"

    values: Sequence[Any] | None = None
    top_k: int | None = None
    min_count: int = 1
    oov_buckets: int = 1
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse counts that are none."""
        check_values(self, self.values)
        for name, least in (("top_k", 1), ("min_count", 1), ("oov_buckets", 0)):
            check_count(self, name, getattr(self, name), least)
        check_rate(self, self.max_rate)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the values."""
        array = columns[self.column]
        check_category(self, array.type)
        return {"values": _choose(self, array, self.values, self.top_k, self.min_count, MOST_VALUES)}

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Numbers come out."""
        check_category(self, find_kind(self, kinds))
        kinds[self.column] = pa.int64()

    def apply(self, state: State, columns: Columns) -> int:
        """Number; count what is outside."""
        array = columns[self.column]
        known = pa.array(state["values"], array.type)
        codes = pc.cast(pc.index_in(array, value_set=known, skip_nulls=True), pa.int64())
        outside = pc.and_(pc.is_null(codes), pc.is_valid(array))
        count = pc.sum(outside).as_py() or 0
        if count and self.oov_buckets:
            places = map_distinct(
                pc.if_else(outside, array, pa.scalar(None, array.type)), self._bucket(state), pa.int64()
            )
            codes = pc.if_else(outside, places, codes)
        columns[self.column] = codes
        return count

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name, codes = self.column, {value: code for code, value in enumerate(state["values"])}
        bucket = self._bucket(state) if self.oov_buckets else None

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            if x is None:
                return False
            code = codes.get(x)
            if code is None:
                row[name] = None if bucket is None else bucket(x)
                return True
            row[name] = code
            return False

        return kernel

    def _bucket(self, state: State) -> Any:
        first, buckets = len(state["values"]), self.oov_buckets
        return lambda value: first + hash_value(value, 0) % buckets


@dataclass(frozen=True, slots=True)
class OneHot(Operation):
    """Make a column ``<column>_<value>`` of 0 and 1 for each value, in place of the column; null has none.

    Of a column of lists each value of the list is marked.

    Parameters
    ----------
    column : str
    values : list, optional
        The values, instead of learning them.
    top_k : int, optional
        Keep so many, the most frequent; a thousand at most.
    min_count : int
        Keep those that occur so often.
    other : bool
        Add ``<column>_other`` for values that have no column.
    keep : bool
        Keep the column itself too.
    max_rate : float, optional
        The share of rows with other values above which a validation says `oov_rate_high`.
    """

    OP: ClassVar[str] = "onehot"
    EVENT: ClassVar[str | None] = "oov_rate_high"

    values: Sequence[Any] | None = None
    top_k: int | None = None
    min_count: int = 1
    other: bool = True
    keep: bool = False
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse counts that are none."""
        check_values(self, self.values)
        for name, least in (("top_k", 1), ("min_count", 1)):
            check_count(self, name, getattr(self, name), least)
        check_rate(self, self.max_rate)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the values."""
        array = columns[self.column]
        check_category(self, _inner(array.type))
        flat = pc.list_flatten(array) if _is_list(array.type) else array
        return {"values": _choose(self, flat, self.values, self.top_k, self.min_count, _MOST_COLUMNS)}

    def change(self, state: State, kinds: Kinds) -> None:
        """A column for each value comes out."""
        check_category(self, _inner(find_kind(self, kinds)))
        if not self.keep:
            del kinds[self.column]
        names = self._names(state)
        if len(set(names)) != len(names):
            raise refuse_parameter(self, "two values would give one column's name", "Use a vocabulary instead.")
        add_kinds(self, kinds, dict.fromkeys(names, pa.int8()))

    def _names(self, state: State) -> list[str]:
        tail = ["other"] if self.other else []
        return [f"{self.column}_{_shown(value)}" for value in state["values"]] + [
            f"{self.column}_{each}" for each in tail
        ]

    def apply(self, state: State, columns: Columns) -> int:
        """Mark; count the rows that have another value."""
        array = columns[self.column] if self.keep else columns.pop(self.column)
        size, names = len(array), self._names(state)
        if _is_list(array.type):
            rows = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
            array = pc.list_flatten(array)
        else:
            rows = np.arange(size)
        codes = pc.index_in(array, value_set=pa.array(state["values"], array.type), skip_nulls=True)
        places = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False)
        present = pc.is_valid(array).to_numpy(zero_copy_only=False)
        marked = np.zeros((len(state["values"]) + 1, size), np.int8)
        marked[places[present], rows[present]] = 1  # place -1 is the last row: others
        for place, name in enumerate(names):
            columns[name] = pa.array(marked[place])
        return int(marked[-1].sum())

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:
        """Prepare for single rows."""
        name, keep, names, values = self.column, self.keep, self._names(state), state["values"]
        blank = dict.fromkeys(names, 0)
        column = dict(zip(values, names, strict=False))
        other = names[-1] if self.other else None
        many = _is_list(kinds[name])

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name] if keep else row.pop(name)
            row.update(blank)
            outside = False
            for value in () if x is None else x if many else (x,):
                if value is None:
                    continue
                found = column.get(value)
                if found is not None:
                    row[found] = 1
                else:
                    outside = True
            if outside and other is not None:
                row[other] = 1
            return outside

        return kernel


@dataclass(frozen=True, slots=True)
class HashBucket(Operation):
    """Map each value to one of some numbers by a hash; nothing is learnt, null stays null.

    The hash is BLAKE2b of eight bytes over the text in UTF-8 (of other values, their text), the seed as its salt.

    Parameters
    ----------
    column : str
    buckets : int
    seed : int
    """

    OP: ClassVar[str] = "hash"

    buckets: int = 1024
    seed: int = 0

    def check(self) -> None:
        """Refuse counts that are none."""
        check_count(self, "buckets", self.buckets, 1)
        check_count(self, "seed", self.seed, 0)
        if self.buckets > 2**31 or self.seed >= 2**63:
            raise refuse_parameter(self, "buckets or seed are too great", "Up to 2**31 buckets, a seed below 2**63.")

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Numbers come out."""
        check_category(self, find_kind(self, kinds))
        kinds[self.column] = pa.int64()

    def apply(self, state: State, columns: Columns) -> int:  # noqa: ARG002
        """Hash."""
        seed, buckets = self.seed, self.buckets
        columns[self.column] = map_distinct(
            columns[self.column], lambda value: hash_value(value, seed) % buckets, pa.int64()
        )
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name, seed, buckets = self.column, self.seed, self.buckets

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            if x is not None:
                row[name] = hash_value(x, seed) % buckets
            return False

        return kernel

    def probes(self, state: State) -> Sequence[Any]:  # noqa: ARG002
        """Return texts of several alphabets."""
        return ()


@dataclass(frozen=True, slots=True)
class Bucketize(Operation):
    """Map numbers to the number of their bin: 0 below the first edge, one more above each; null and NaN stay null.

    Parameters
    ----------
    column : str
    edges : list of float, optional
        The edges, ascending.
    quantiles : int, optional
        Learn edges that cut the train split into so many bins of like size; equal edges become one.
    side : str
        ``left``: an edge itself belongs to the bin below; ``right``: to the one above, ``[edge, next)``.
    max_rate : float, optional
        The share of rows outside the range of the train split above which a validation says `out_of_bucket`.
    """

    OP: ClassVar[str] = "bucketize"
    EVENT: ClassVar[str | None] = "out_of_bucket"

    edges: Sequence[float] | None = None
    quantiles: int | None = None
    side: str = "right"
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse edges that are none."""
        if (self.edges is None) == (self.quantiles is None):
            raise refuse_parameter(self, "edges are missing or given twice", "Give edges, or a number of quantiles.")
        if self.edges is not None:
            edges = tuple(self.edges) if isinstance(self.edges, list | tuple) else ()
            numbers = 0 < len(edges) <= _MOST_BINS and all(map(is_plain_number, edges))
            if not numbers or not all(a < b for a, b in itertools.pairwise(edges)):
                raise refuse_parameter(self, "the edges are not ascending numbers", "Write [0, 15, 60].")
            object.__setattr__(self, "edges", edges)
        check_count(self, "quantiles", self.quantiles, 2)
        if self.quantiles is not None and self.quantiles > _MOST_BINS:
            raise refuse_parameter(self, f"{self.quantiles} bins are too many", f"At most {_MOST_BINS:,}.")
        if self.side not in ("left", "right"):
            raise refuse_parameter(self, f"{ascii(self.side)[:40]} is no side", "Sides are left and right.")
        check_rate(self, self.max_rate)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the range, and the edges where they are not given."""
        array = columns[self.column]
        if not is_number(array.type):
            raise refuse_kind(self, array.type, "numbers")
        values = known_numbers(array)
        if not len(values):
            raise nothing_to_learn(self, "there is no finite number")
        floats = values.astype(np.float64)
        edges = self.edges
        if edges is None:
            count = self.quantiles or 2
            edges = sorted(set(lower_quantiles(floats, [place / count for place in range(1, count)])))
        return {"edges": [float(edge) for edge in edges], "low": float(floats.min()), "high": float(floats.max())}

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Numbers of bins come out."""
        kind = find_kind(self, kinds)
        if not is_number(kind):
            raise refuse_kind(self, kind, "numbers")
        kinds[self.column] = pa.int32()

    def apply(self, state: State, columns: Columns) -> int:
        """Find the bins; count what is outside the range."""
        values, nulls = to_floats(columns[self.column])
        nulls = nulls | np.isnan(values)
        side: Any = self.side
        bins = np.searchsorted(np.array(state["edges"]), values, side=side).astype(np.int32)
        columns[self.column] = pa.array(bins, mask=nulls if nulls.any() else None)
        return int(np.count_nonzero(~nulls & ((values < state["low"]) | (values > state["high"]))))

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name, edges, low, high = self.column, list(state["edges"]), state["low"], state["high"]
        find = bisect_left if self.side == "left" else bisect_right

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            if x is None:
                return False
            x = float(x)
            if math.isnan(x):
                row[name] = None
                return False
            row[name] = find(edges, x)
            return bool(x < low or x > high)

        return kernel

    def probes(self, state: State) -> Sequence[Any]:
        """Return the edges and their neighbours."""
        return around(state["edges"][:20])


@dataclass(frozen=True, slots=True)
class CountEncode(Operation):
    """Put in place of a value how many rows of the train split have it; 0 for others, null stays null.

    Parameters
    ----------
    column : str
    share : bool
        The share of the rows instead.
    max_rate : float, optional
        The share of rows with unseen values above which a validation says `oov_rate_high`.
    """

    OP: ClassVar[str] = "count"
    EVENT: ClassVar[str | None] = "oov_rate_high"

    share: bool = False
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse a limit that is none."""
        check_rate(self, self.max_rate)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Count."""
        array = columns[self.column]
        check_category(self, array.type)
        found = count_distinct(array)
        check_size(self, len(found))
        return {"table": [[value, count] for value, count in found], "rows": len(array)}

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Counts or shares come out."""
        check_category(self, find_kind(self, kinds))
        kinds[self.column] = pa.float64() if self.share else pa.int64()

    def apply(self, state: State, columns: Columns) -> int:
        """Look up; count what was never seen."""
        kind = pa.float64() if self.share else pa.int64()
        codes, outside, count = look_up(columns[self.column], [value for value, _ in state["table"]])
        columns[self.column] = pc.if_else(outside, pa.scalar(0, kind), pa.array(self._values(state), kind).take(codes))
        return count

    def _values(self, state: State) -> list[Any]:
        return [count / state["rows"] if self.share else count for _, count in state["table"]]

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        table = dict(zip([value for value, _ in state["table"]], self._values(state), strict=True))
        return table_row(self.column, table, 0.0 if self.share else 0)


def table_row(name: str, table: Mapping[Any, Any], unseen: Any) -> RowKernel:
    """Return a kernel that looks values up; what is not there is counted."""

    def kernel(row: dict[str, Any]) -> bool:
        x = row[name]
        if x is None:
            return False
        found = table.get(x)
        row[name] = unseen if found is None else found
        return found is None

    return kernel


def look_up(array: pa.Array, values: Sequence[Any]) -> tuple[pa.Array, pa.Array, int]:
    """Return the place of each value in a list (null for none), where a value has none, and how many have none."""
    codes = pc.index_in(array, value_set=pa.array(values, array.type), skip_nulls=True)
    outside = pc.and_(pc.is_null(codes), pc.is_valid(array))
    return codes, outside, pc.sum(outside).as_py() or 0


def hash_value(value: Any, seed: int) -> int:
    """Return 64 bits of a value's text.

    Examples
    --------
    >>> hash_value("UA", 0)
    15833812407086323898
    """
    return int.from_bytes(blake2b(str(value).encode(), digest_size=8, salt=seed.to_bytes(8, "little")).digest(), "big")


def check_category(operation: Operation, kind: pa.DataType) -> None:
    """Refuse a column that holds no categories."""
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise refuse_kind(operation, kind, "texts, whole numbers and booleans")


def check_count(operation: Operation, name: str, value: Any, least: int) -> None:
    """Refuse a count that is none."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise refuse_parameter(operation, f"{name} is {ascii(value)[:40]}", f"Give a whole number from {least} on.")


def check_values(operation: Operation, values: Any) -> None:
    """Refuse values that are no list of distinct ones."""
    if values is None:
        return
    if not isinstance(values, list | tuple) or not values or len(set(map(str, values))) != len(values):
        raise refuse_parameter(operation, "the values are no list of distinct ones", 'Write ["UA", "B6"].')
    object.__setattr__(operation, "values", tuple(values))


def check_size(operation: Operation, count: int, most: int = MOST_VALUES) -> None:
    """Refuse to keep more values than a definition should hold."""
    if count > most:
        raise nothing_to_learn(operation, f"{count:,} values are more than {most:,}; use top_k, min_count or a hash")


def _choose(
    operation: Operation, array: pa.Array, given: Sequence[Any] | None, top_k: int | None, least: int, most: int
) -> list[Any]:
    if given is not None:
        try:
            typed = list(pa.array(given, array.type).to_pylist())
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, ValueError):
            typed = []
        if None in typed or not 0 < len(set(typed)) == len(given) <= most:
            what = f"the values are no {most:,} or fewer distinct ones of the column's type, {array.type}"
            raise refuse_parameter(operation, what, "Mend them.")
        return typed
    values = [value for value, count in count_distinct(array) if count >= least][:top_k]
    if not values:
        raise nothing_to_learn(operation, "no value occurs often enough")
    check_size(operation, len(values), most)
    return values


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if _is_list(kind) else kind


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

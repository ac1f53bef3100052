"""What actions learn from rows: a value to fill in, limits, the majority of each group, which rows repeat others.

Values are collected as numbers or 64-bit hashes, 8 to 24 bytes a row; more rows than `MOST_ROWS` are refused.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.hashing import Hashes, hash_column, hash_rows
from foldstore.datastore.statistics.profile import profile_batches
from foldstore.errors import UsageError
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.cell_repair import refuse_type, typed_values
from foldstore.validation.cleaning.dependency import GroupTally, tally_groups

MOST_ROWS: Final = 100_000_000
_MOST_MODES: Final = 5_000_000


def learn_value(action: CleaningAction, kind: pa.DataType, batches: Iterable[pa.RecordBatch]) -> pa.Scalar:
    """Return the value that nulls are filled with.

    Means of whole numbers are rounded, medians are values that occur where the type is not a float.
    """
    method, name = action.params["method"], action.column or ""
    if method == "const":
        value = typed_values([action.params["value"]], kind, name)[0]
        if not value.is_valid:
            raise refuse_nothing(action, "a null fills nothing")
        return value
    if method == "mode":
        return _mode(action, batches)
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (numeric or (method == "median" and pa.types.is_temporal(kind))):
        raise refuse_type(action, kind, "numbers" if method == "mean" else "numbers and times")
    if method == "mean":
        return _mean(action, kind, batches)
    values = collect_numbers(action, kind, batches)
    middle = np.median(values) if pa.types.is_floating(kind) else np.sort(values)[(len(values) - 1) // 2]
    return _scalar(middle, kind)


def learn_limits(
    action: CleaningAction, kind: pa.DataType, batches: Iterable[pa.RecordBatch]
) -> tuple[pa.Scalar, pa.Scalar]:
    """Return two quantiles; both are values that occur."""
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind)):
        raise refuse_type(action, kind, "numbers and times")
    values = collect_numbers(action, kind, batches)
    low, high = np.quantile(values, action.params["quantiles"], method="inverted_cdf")
    return _scalar(low, kind), _scalar(high, kind)


def collect_numbers(action: CleaningAction, kind: pa.DataType, batches: Iterable[pa.RecordBatch]) -> NDArray[Any]:
    """Return the numbers of a column that are there; of times their ticks."""
    parts, rows = [], 0
    for batch in batches:
        column = pc.drop_null(batch.column(0))
        if pa.types.is_temporal(kind):
            column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        values = column.to_numpy(zero_copy_only=False)
        parts.append(values[np.isfinite(values)] if values.dtype.kind == "f" else values)
        rows += len(parts[-1])
        check_size(action, rows)
    if not rows:
        raise refuse_nothing(action, "there is no value")
    return np.concatenate(parts)


def check_size(action: CleaningAction, rows: int) -> None:
    """Refuse to hold more than memory should."""
    if rows > MOST_ROWS:
        raise UsageError(
            f"{action.op} would hold {rows:,} rows in memory; the limit is {MOST_ROWS:,}.",
            hint="Learn from a split's train part, or clean a part of the rows.",
            code="cleaning-too-large",
        )


def refuse_nothing(action: CleaningAction, why: str) -> UsageError:
    """Build the error for an action that has nothing to learn from."""
    return UsageError(
        f"{action.op} of {action.column!r} learns nothing: {why}.",
        hint="Give a value with method 'const', or learn from other rows.",
        code="nothing-to-learn",
        column=action.column,
    )


def _mean(action: CleaningAction, kind: pa.DataType, batches: Iterable[pa.RecordBatch]) -> pa.Scalar:
    schema = pa.schema([pa.field("x", kind)])
    renamed = (pa.RecordBatch.from_arrays([batch.column(0)], schema=schema) for batch in batches)
    mean = profile_batches(schema, renamed).columns["x"].mean
    if mean is None or not np.isfinite(mean):
        raise refuse_nothing(action, "there is no finite number")
    return _scalar(round(mean) if pa.types.is_integer(kind) else mean, kind)


def _mode(action: CleaningAction, batches: Iterable[pa.RecordBatch]) -> pa.Scalar:
    counts: Counter[Any] = Counter()
    for batch in batches:
        found = pc.value_counts(pc.drop_null(batch.column(0)))
        for value, count in zip(found.field("values"), found.field("counts").to_pylist(), strict=True):
            counts[value] += count
        if len(counts) > _MOST_MODES:
            raise refuse_nothing(action, f"more than {_MOST_MODES:,} values occur")
    if not counts:
        raise refuse_nothing(action, "there is no value")
    most = max(counts.values())
    return min((value for value, count in counts.items() if count == most), key=lambda each: str(each.as_py()))


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    plain = value.item() if isinstance(value, np.generic) else value
    if pa.types.is_temporal(kind):
        return pa.scalar(int(plain), pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.scalar(plain, kind)


@dataclass(frozen=True, slots=True, eq=False)
class Majorities:
    """The most frequent value of each group of one set of determinants, by the hash of the group.

    Attributes
    ----------
    groups : array of uint64
        Ascending.
    winners : array of int64
        The code of the value; -1 where two are as frequent, or too few rows have it.
    weights : array of float64
        The value's share of the group.
    """

    groups: Hashes
    winners: NDArray[np.int64]
    weights: NDArray[np.float64]

    def votes(self, keys: Hashes, known: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return for each row the code that its group votes for and the weight; -1 and 0 for none."""
        if not len(self.groups):
            return np.full(len(keys), -1, np.int64), np.zeros(len(keys))
        places = np.minimum(np.searchsorted(self.groups, keys), len(self.groups) - 1)
        hit = (self.groups[places] == keys) & known
        return np.where(hit, self.winners[places], -1), np.where(hit, self.weights[places], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class LearntDependency:
    """What several sets of determinants say of one column.

    Attributes
    ----------
    hashes : array of uint64
        Of the column's values, ascending, for codes.
    values : pyarrow.Array
        The values, by code.
    majorities : tuple of Majorities
    """

    hashes: Hashes
    values: pa.Array
    majorities: tuple[Majorities, ...]

    def codes(self, column: pa.Array) -> NDArray[np.int64]:
        """Return the codes of values: -1 for null, -2 for one that was not learnt."""
        found = hash_column(column)
        places = np.minimum(np.searchsorted(self.hashes, found), max(0, len(self.hashes) - 1))
        codes = np.where(self.hashes[places] == found, places, -2) if len(self.hashes) else np.full(len(found), -2)
        return np.where(column.is_null(nan_is_null=False).to_numpy(zero_copy_only=False), -1, codes)


def learn_dependency(
    action: CleaningAction, names: Sequence[str], kind: pa.DataType, batches: Iterator[pa.RecordBatch]
) -> LearntDependency:
    """Learn the majorities; the first column of the batches is the dependent, `names` names them all."""
    determinants = [tuple(each) for each in action.params["determinants"]]
    keys: list[list[Hashes]] = [[] for _ in determinants]
    own: list[Hashes] = []
    distinct: dict[int, pa.Scalar] = {}
    rows = 0
    for batch in batches:
        by_name = dict(zip(names, batch.columns, strict=True))
        column = batch.column(0)
        own.append(_hash_or_null(column))
        _remember(distinct, column)
        for place, left in enumerate(determinants):
            keys[place].append(_keys([by_name[name] for name in left]))
        rows += batch.num_rows
        check_size(action, rows * (1 + len(determinants)) // 3)
    hashes = np.array(sorted(distinct), np.uint64)
    values = pa.array([distinct[int(each)].as_py() for each in hashes], kind) if len(hashes) else pa.array([], kind)
    codes = _code(np.concatenate([np.empty(0, np.uint64), *own]), hashes)
    support = action.params.get("min_support", 2)
    made = [_majorities(np.concatenate([np.empty(0, np.uint64), *each]), codes, support) for each in keys]
    return LearntDependency(hashes, values, tuple(made))


_NO_KEY: Final = np.uint64(0)


def _hash_or_null(column: pa.Array) -> Hashes:
    hashes = hash_column(column)
    return np.where(column.is_null(nan_is_null=False).to_numpy(zero_copy_only=False), _NO_KEY, hashes)


def _keys(columns: Sequence[pa.Array]) -> Hashes:
    keys = hash_rows(columns)
    for column in columns:
        keys = np.where(column.is_null(nan_is_null=False).to_numpy(zero_copy_only=False), _NO_KEY, keys)
    return keys


def group_keys(columns: Sequence[pa.Array]) -> tuple[Hashes, NDArray[np.bool_]]:
    """Return the hash of each row's determinants, and whether none of them is null."""
    keys = _keys(columns)
    return keys, keys != _NO_KEY


def _remember(distinct: dict[int, pa.Scalar], column: pa.Array) -> None:
    unique = pc.unique(pc.drop_null(column))
    for value, hashed in zip(unique, hash_column(unique).tolist(), strict=True):
        distinct.setdefault(hashed, value)


def _code(hashes: Hashes, known: Hashes) -> NDArray[np.int64]:
    if not len(known):
        return np.full(len(hashes), -1, np.int64)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where((known[places] == hashes) & (hashes != _NO_KEY), places, -1)


def _majorities(keys: Hashes, codes: NDArray[np.int64], support: int) -> Majorities:
    groups, dense = np.unique(keys, return_inverse=True)
    dense = np.where(keys == _NO_KEY, -1, dense)
    tally: GroupTally = tally_groups(dense, codes)
    sure = (tally.tops >= support) & (tally.tops > tally.seconds)
    kept = tally.groups[sure]
    return Majorities(groups[kept], tally.winners[sure], tally.tops[sure] / tally.sizes[sure])


def find_repeated(hashes: Hashes, ids: NDArray[np.uint64], *, keep: str) -> NDArray[np.uint64]:
    """Return the ids of rows that repeat another, in ascending order; the first or the last of each stays.

    Examples
    --------
    >>> find_repeated(np.array([7, 8, 7], np.uint64), np.array([1, 2, 3], np.uint64), keep="first").tolist()
    [3]
    """
    order = np.arange(len(hashes)) if keep == "first" else np.arange(len(hashes))[::-1]
    _, first = np.unique(hashes[order], return_index=True)
    repeated = np.ones(len(hashes), np.bool_)
    repeated[order[first]] = False
    return np.sort(ids[repeated])

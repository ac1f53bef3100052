"""Encode a category by the mean of the target; the rows that it was learnt from see the other folds alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import SchemaMismatchError
from foldstore.views.features.entity import check_column
from foldstore.views.transforms.categories import (
    check_category,
    check_count,
    check_size,
    hash_value,
    look_up,
    table_row,
)
from foldstore.views.transforms.numbers import from_floats, is_number, to_floats
from foldstore.views.transforms.operation import (
    Columns,
    Kinds,
    Operation,
    RowKernel,
    State,
    find_kind,
    nothing_to_learn,
    refuse_kind,
    refuse_parameter,
)
from foldstore.views.transforms.scaling import check_rate, is_plain_number

_MOST_FOLDS: Final = 100


@dataclass(frozen=True, slots=True)
class TargetEncode(Operation):
    """Put the smoothed mean of the target in place of a value; null stays null, unseen values get the prior.

    ``(sum + smoothing * prior) / (count + smoothing)`` over the rows of the train split that have the value; the prior
    is the mean of all (Micci-Barreca 2001, with a constant for the weight). Rows that are learnt from are encoded out
    of fold, `encode_out_of_fold`: from those of other folds, so that no row sees its own target.

    Parameters
    ----------
    column : str
        Of texts, whole numbers or booleans.
    target : str
        The column of the target: numbers or truth values. Rows without one teach nothing.
    smoothing : float
        How many rows of the prior each value is given.
    folds : int
        Into how many folds rows are shared out, by a hash of their place.
    seed : int
    max_rate : float, optional
        The share of rows with unseen values above which a validation says `oov_rate_high`.
    """

    OP: ClassVar[str] = "target"
    EVENT: ClassVar[str | None] = "oov_rate_high"

    target: str = ""
    smoothing: float = 20.0
    folds: int = 5
    seed: int = 0
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse a target that is none, and weights below nothing."""
        if not self.target:
            raise refuse_parameter(self, "the target is not named", 'Write target="arr_delayed".')
        check_column(self.target, f"operation {self.OP!r}")
        if self.target == self.column:
            raise refuse_parameter(self, "the target is the column itself", "Name another column.")
        if not is_plain_number(self.smoothing) or self.smoothing < 0:
            raise refuse_parameter(self, f"smoothing {ascii(self.smoothing)[:40]}", "Give a number from 0 on.")
        check_count(self, "folds", self.folds, 2)
        check_count(self, "seed", self.seed, 0)
        if self.folds > _MOST_FOLDS or self.seed >= 2**63:
            raise refuse_parameter(
                self, "folds or seed are too great", f"Up to {_MOST_FOLDS} folds, a seed below 2**63."
            )
        check_rate(self, self.max_rate)

    @property
    def reads_to_fit(self) -> tuple[str, ...]:
        """The column and the target."""
        return (self.column, self.target)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the means."""
        array, target = columns[self.column], columns.get(self.target)
        check_category(self, array.type)
        numbers, known = self._target(target)
        encoded = array.dictionary_encode()
        values = encoded.dictionary.to_pylist()
        check_size(self, len(values))
        codes, seen = _codes(encoded)
        rows = known & seen
        if not known.any():
            raise nothing_to_learn(self, "no row has a target")
        prior = self._prior(numbers[known])
        counts = np.bincount(codes[rows], minlength=len(values))
        sums = np.bincount(codes[rows], weights=numbers[rows], minlength=len(values))
        table = {
            value: self._mean(float(total), int(count), prior)
            for value, total, count in zip(values, sums, counts, strict=True)
            if count and value is not None
        }
        if not all(map(math.isfinite, table.values())):
            raise nothing_to_learn(self, "the sum of the target is beyond a double")
        return {"table": [list(pair) for pair in sorted(table.items())], "prior": prior}

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """Means come out."""
        check_category(self, find_kind(self, kinds))
        kinds[self.column] = pa.float64()

    def apply(self, state: State, columns: Columns) -> int:
        """Look up; count what was never seen."""
        codes, outside, count = look_up(columns[self.column], [value for value, _ in state["table"]])
        means = pa.array([mean for _, mean in state["table"]], pa.float64())
        columns[self.column] = pc.if_else(outside, pa.scalar(float(state["prior"])), means.take(codes))
        return count

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        return table_row(self.column, {value: float(mean) for value, mean in state["table"]}, float(state["prior"]))

    def encode_out_of_fold(self, columns: Columns, target: pa.Array | None) -> None:
        """Encode rows to learn from: each from the rows of the other folds, by these rows alone.

        A value that occurs in one fold only gets the prior of the other folds there.
        """
        array = columns[self.column]
        check_category(self, array.type)
        numbers, known = self._target(target)
        encoded = array.dictionary_encode()
        codes, seen = _codes(encoded)
        size = max(len(encoded.dictionary), 1)
        folds = assign_folds(len(array), self.folds, self.seed)
        means = np.zeros(len(array))
        for fold in range(self.folds):
            inside, others = folds == fold, known & (folds != fold)
            if not inside.any():
                continue
            if not others.any():
                raise nothing_to_learn(self, "the rows outside a fold have no target")
            prior = self._prior(numbers[others])
            rows = others & seen
            counts = np.bincount(codes[rows], minlength=size).astype(np.float64)
            sums = np.bincount(codes[rows], weights=numbers[rows], minlength=size)
            weight = counts + self.smoothing
            fitted = np.where(weight > 0, (sums + self.smoothing * prior) / np.where(weight > 0, weight, 1.0), prior)
            means[inside] = fitted[codes[inside]]
        columns[self.column] = from_floats(means, ~seen)

    def _prior(self, numbers: NDArray[np.float64]) -> float:
        try:
            total = math.fsum(numbers)
        except OverflowError:
            raise nothing_to_learn(self, "the sum of the target is beyond a double") from None
        return total / len(numbers)

    def _mean(self, total: float, count: int, prior: float) -> float:
        return (total + self.smoothing * prior) / (count + self.smoothing)

    def _target(self, target: pa.Array | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        if target is None:
            raise SchemaMismatchError(
                f"The target {self.target!r} is not among the rows to learn from.",
                hint="Fit on a training set, which has labels and features.",
                code="transform-schema-mismatch",
                column=self.target,
            )
        if pa.types.is_boolean(target.type):
            target = pc.cast(target, pa.int8())
        if not is_number(target.type):
            raise refuse_kind(self, target.type, "targets of numbers or truth values")
        numbers, nulls = to_floats(target)
        return numbers, ~nulls & np.isfinite(numbers)


def assign_folds(rows: int, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, by its place."""
    first = hash_value(f"folds {seed}", 0) & 0xFFFFFFFF
    return np.random.default_rng(first).integers(0, folds, rows)


def _codes(encoded: pa.DictionaryArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return np.maximum(codes, 0), codes >= 0

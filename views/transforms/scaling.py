"""Operations on numbers: fill in what is missing, limit, scale, take logarithms."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foldstore.datastore.statistics.moments import Moments
from foldstore.views.transforms.numbers import (
    count_distinct,
    from_floats,
    is_missing,
    is_number,
    is_text,
    known_numbers,
    lower_quantiles,
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

_METHODS: Final = ("const", "mean", "median", "mode")
# What makes the spread between the quartiles of a normal distribution its standard deviation.
_NORMAL_QUARTILES: Final = 1.3489795003921634
_FUNCTIONS: Final = ("log", "log1p", "sqrt")


@dataclass(frozen=True, slots=True)
class Impute(Operation):
    """Fill in nulls and NaN.

    Parameters
    ----------
    column : str
    method : str
        ``median`` (a value that occurs), ``mean`` (the column becomes float), ``mode``, or ``const``.
    value : object, optional
        What ``const`` fills in.
    indicator : bool
        Add a column ``<column>_missing``, 1 where something was filled in.
    max_rate : float, optional
        The share of rows filled in above which a validation says `impute_rate_high`.
    """

    OP: ClassVar[str] = "impute"
    EVENT: ClassVar[str | None] = "impute_rate_high"

    method: str = "median"
    value: Any = None
    indicator: bool = False
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse a method that is none, and a value without its method."""
        if self.method not in _METHODS:
            raise refuse_parameter(self, f"{self.method!r} is no method", f"Methods are {', '.join(_METHODS)}.")
        if (self.method == "const") != (self.value is not None):
            raise refuse_parameter(self, "method 'const' and a value belong together", "Give both or neither.")
        check_rate(self, self.max_rate)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the value."""
        array = columns[self.column]
        self._check_kind(array.type)
        if self.method == "const":
            return {"value": self._typed(self.value, array.type)}
        if self.method == "mode":
            present = array.filter(pa.array(~is_missing(array)))
            if pa.types.is_floating(array.type):
                present = pa.array(known_numbers(present), array.type)
            if not len(present):
                raise nothing_to_learn(self, "there is no value")
            return {"value": count_distinct(present)[0][0]}
        if not is_number(array.type):
            raise refuse_kind(self, array.type, "numbers, or texts with the methods mode and const")
        values = known_numbers(array)
        if not len(values):
            raise nothing_to_learn(self, "there is no finite number")
        found = Moments.of(values).mean if self.method == "mean" else lower_quantiles(values, [0.5])[0]
        if not math.isfinite(found):
            raise nothing_to_learn(self, "the mean is beyond a double")
        # A mean is rounded to what a column of narrower floats holds, or single rows would be filled in otherwise.
        return {"value": self._typed(found, array.type) if pa.types.is_floating(array.type) else found}

    def _typed(self, value: Any, kind: pa.DataType) -> Any:
        try:
            typed = pa.scalar(value, kind).as_py()
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, ValueError):
            typed = math.nan
        if isinstance(typed, float) and not math.isfinite(typed):
            raise refuse_parameter(self, f"{ascii(value)[:80]} is no {kind}", "Give a value of its type.")
        return typed

    def _check_kind(self, kind: pa.DataType) -> None:
        if not (is_number(kind) or is_text(kind) or pa.types.is_boolean(kind)):
            raise refuse_kind(self, kind, "numbers, texts and booleans")

    def change(self, state: State, kinds: Kinds) -> None:
        """Whole numbers become floats when the value is one."""
        kind = find_kind(self, kinds)
        self._check_kind(kind)
        if pa.types.is_integer(kind) and isinstance(state["value"], float):
            kinds[self.column] = pa.float64()
        if self.indicator:
            add_kinds(self, kinds, {f"{self.column}_missing": pa.int8()})

    def apply(self, state: State, columns: Columns) -> int:
        """Fill in; count the rows."""
        array = columns[self.column]
        missing = is_missing(array)
        if pa.types.is_integer(array.type) and isinstance(state["value"], float):
            values, nulls = to_floats(array)
            array = from_floats(values, nulls)
        if missing.any():
            array = pc.if_else(pa.array(missing), pa.scalar(state["value"], array.type), array)
        columns[self.column] = array
        if self.indicator:
            columns[f"{self.column}_missing"] = pa.array(missing.astype(np.int8))
        return int(missing.sum())

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:
        """Prepare for single rows."""
        name, value, flag = self.column, state["value"], f"{self.column}_missing" if self.indicator else None
        widen = pa.types.is_integer(kinds[name]) and isinstance(value, float)

        isnan = math.isnan

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            missing = x is None or (type(x) is float and isnan(x))
            if missing:
                row[name] = value
            elif widen:
                row[name] = float(x)
            if flag is not None:
                row[flag] = 1 if missing else 0
            return missing

        return kernel


@dataclass(frozen=True, slots=True)
class Clip(Operation):
    """Move what is beyond limits to them; null and NaN pass.

    Parameters
    ----------
    column : str
    low, high : float, optional
        The limits, where they are known.
    quantiles : tuple of float, optional
        Learn the limits: quantiles of the train split, such as (0.01, 0.99); values that occur.
    max_rate : float, optional
        The share of rows moved above which a validation says `clip_rate_high`.
    """

    OP: ClassVar[str] = "clip"
    EVENT: ClassVar[str | None] = "clip_rate_high"

    low: float | None = None
    high: float | None = None
    quantiles: Sequence[float] | None = None
    max_rate: float | None = None

    def check(self) -> None:
        """Refuse limits that are none."""
        if (self.quantiles is None) == (self.low is None and self.high is None):
            raise refuse_parameter(self, "limits are missing or given twice", "Give low and high, or quantiles.")
        if self.quantiles is not None:
            levels = tuple(self.quantiles) if isinstance(self.quantiles, list | tuple) else ()
            if len(levels) != 2 or not all(is_plain_number(q) for q in levels) or not 0 <= levels[0] < levels[1] <= 1:
                raise refuse_parameter(self, "quantiles are two shares, the lesser first", "Write (0.01, 0.99).")
            object.__setattr__(self, "quantiles", levels)
        for limit in (self.low, self.high):
            if limit is not None and not is_plain_number(limit):
                raise refuse_parameter(self, f"{ascii(limit)[:40]} is no finite number", "Give a number.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise refuse_parameter(self, f"low {self.low} is above high {self.high}", "Swap them.")
        check_rate(self, self.max_rate)

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the limits."""
        array = columns[self.column]
        if not is_number(array.type):
            raise refuse_kind(self, array.type, "numbers")
        whole = pa.types.is_integer(array.type)
        if self.quantiles is None:
            return {"low": self._given(self.low, whole=whole), "high": self._given(self.high, whole=whole)}
        values = known_numbers(array)
        if not len(values):
            raise nothing_to_learn(self, "there is no finite number")
        low, high = lower_quantiles(values, self.quantiles)
        return {"low": low, "high": high}

    def _given(self, limit: float | None, *, whole: bool) -> float | None:
        if limit is None:
            return None
        if not whole:
            return float(limit)
        if float(limit) != int(limit):
            raise refuse_parameter(self, f"{limit} is no whole number, and the column holds such", "Round it.")
        return int(limit)

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """The type stays."""
        kind = find_kind(self, kinds)
        if not is_number(kind):
            raise refuse_kind(self, kind, "numbers")

    def apply(self, state: State, columns: Columns) -> int:
        """Move; count the rows moved."""
        array, kind = columns[self.column], columns[self.column].type
        if pa.types.is_float16(kind):  # which Arrow does not compare
            array = array.cast(pa.float32())
        moved = 0
        for limit, beyond in ((state["low"], pc.less), (state["high"], pc.greater)):
            if limit is not None:
                scalar = pa.scalar(_limit_scalar(limit, kind).as_py(), array.type)
                outside = pc.fill_null(beyond(array, scalar), fill_value=False)
                count = pc.sum(outside).as_py() or 0
                if count:
                    array = pc.if_else(outside, scalar, array)
                    moved += count
        columns[self.column] = array.cast(kind)
        return moved

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:
        """Prepare for single rows."""
        name, kind = self.column, kinds[self.column]
        low, high = (
            None if limit is None else _limit_scalar(limit, kind).as_py() for limit in (state["low"], state["high"])
        )

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            if x is None:
                return False
            if low is not None and x < low:
                row[name] = low
                return True
            if high is not None and x > high:
                row[name] = high
                return True
            return False

        return kernel

    def probes(self, state: State) -> Sequence[Any]:
        """Return the limits and their neighbours."""
        return around([limit for limit in (state["low"], state["high"]) if limit is not None])


@dataclass(frozen=True, slots=True)
class ZScore(Operation):
    """Subtract the mean and divide by the standard deviation: ``(x - mean) * (1 / std)``.

    The reciprocal is what is stored, for a product is the same everywhere. Where nothing varies, 0 comes out.

    Parameters
    ----------
    column : str
    robust : bool
        Use the median, and the distance of the quartiles over 1.349, instead.
    """

    OP: ClassVar[str] = "zscore"

    robust: bool = False

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn centre and scale."""
        array = columns[self.column]
        if not is_number(array.type):
            raise refuse_kind(self, array.type, "numbers")
        values = known_numbers(array)
        if not len(values):
            raise nothing_to_learn(self, "there is no finite number")
        spread: float | None
        if self.robust:
            low, centre, high = lower_quantiles(values, [0.25, 0.5, 0.75])
            centre, spread = float(centre), (float(high) - float(low)) / _NORMAL_QUARTILES
        else:
            moments = Moments.of(values)
            centre, spread = moments.mean, moments.std
        if not math.isfinite(centre) or (spread is None and len(values) > 1):
            raise nothing_to_learn(self, "mean or spread are beyond a double")
        return {"centre": centre, "factor": inverse(spread)}

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """The column becomes float."""
        change_to_float(self, kinds)

    def apply(self, state: State, columns: Columns) -> int:
        """Scale."""
        columns[self.column] = _shift_and_scale(columns[self.column], state["centre"], state["factor"])
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        return _scale_row(self.column, state["centre"], state["factor"])


@dataclass(frozen=True, slots=True)
class MinMax(Operation):
    """Map the least value of the train split to 0 and the greatest to 1: ``(x - low) * (1 / (high - low))``.

    Later values may lie outside; `Clip` before it keeps them in. Where nothing varies, 0 comes out.
    """

    OP: ClassVar[str] = "minmax"

    def fit(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Learn the least and the scale."""
        array = columns[self.column]
        if not is_number(array.type):
            raise refuse_kind(self, array.type, "numbers")
        values = known_numbers(array)
        if not len(values):
            raise nothing_to_learn(self, "there is no finite number")
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(high - low):
            raise nothing_to_learn(self, "the range is beyond a double")
        return {"low": low, "factor": inverse(high - low)}

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """The column becomes float."""
        change_to_float(self, kinds)

    def apply(self, state: State, columns: Columns) -> int:
        """Scale."""
        columns[self.column] = _shift_and_scale(columns[self.column], state["low"], state["factor"])
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        return _scale_row(self.column, state["low"], state["factor"])


@dataclass(frozen=True, slots=True)
class Log(Operation):
    """Take the logarithm, the logarithm of 1 + x, or the square root; null where there is none.

    Parameters
    ----------
    column : str
    function : str
        ``log``, ``log1p`` or ``sqrt``.
    """

    OP: ClassVar[str] = "log"

    function: str = "log"

    def check(self) -> None:
        """Refuse another function."""
        if self.function not in _FUNCTIONS:
            raise refuse_parameter(self, f"{self.function!r} is no function", f"Functions: {', '.join(_FUNCTIONS)}.")

    def change(self, state: State, kinds: Kinds) -> None:  # noqa: ARG002
        """The column becomes float."""
        change_to_float(self, kinds)

    def apply(self, state: State, columns: Columns) -> int:  # noqa: ARG002
        """Compute, with the C library's functions, which Python's are too (numpy's own may differ in the last bit)."""
        values, nulls = to_floats(columns[self.column])
        with np.errstate(invalid="ignore"):
            outside = {"log": values <= 0, "log1p": values <= -1, "sqrt": values < 0}[self.function]
        safe = pa.array(np.where(outside, 1.0, values))
        compute = {"log": pc.ln, "log1p": pc.log1p, "sqrt": pc.sqrt}[self.function]
        columns[self.column] = from_floats(compute(safe).to_numpy(zero_copy_only=False), nulls | outside)
        return 0

    def compile(self, state: State, kinds: Mapping[str, pa.DataType]) -> RowKernel:  # noqa: ARG002
        """Prepare for single rows."""
        name = self.column
        compute = {"log": math.log, "log1p": math.log1p, "sqrt": math.sqrt}[self.function]
        least = {"log": 0.0, "log1p": -1.0, "sqrt": -math.ulp(0.0)}[self.function]

        def kernel(row: dict[str, Any]) -> bool:
            x = row[name]
            if x is not None:
                x = float(x)
                row[name] = None if x <= least else compute(x)
            return False

        return kernel

    def probes(self, state: State) -> Sequence[Any]:  # noqa: ARG002
        """Return numbers around where the function begins."""
        return around([0.0, -1.0, 1.0])


def check_rate(operation: Operation, rate: float | None) -> None:
    """Refuse a limit that is no share."""
    if rate is not None and (not is_plain_number(rate) or not 0 <= rate <= 1):
        raise refuse_parameter(operation, f"max_rate {ascii(rate)[:40]} is no share", "Give a number from 0 to 1.")


def is_plain_number(value: object) -> bool:
    """Whether something is a finite number (a truth value is none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def change_to_float(operation: Operation, kinds: Kinds) -> None:
    """Say that a column of numbers becomes one of floats."""
    kind = find_kind(operation, kinds)
    if not is_number(kind):
        raise refuse_kind(operation, kind, "numbers")
    kinds[operation.column] = pa.float64()


def inverse(spread: float | None) -> float:
    """Return the reciprocal; 0 where nothing varies, or too little for a double."""
    return 1 / spread if spread and math.isfinite(1 / spread) else 0.0


def _shift_and_scale(array: pa.Array, centre: float, factor: float) -> pa.Array:
    values, nulls = to_floats(array)
    with np.errstate(over="ignore", invalid="ignore"):
        return from_floats((values - centre) * factor, nulls)


def _scale_row(name: str, centre: float, factor: float) -> RowKernel:
    def kernel(row: dict[str, Any]) -> bool:
        x = row[name]
        if x is not None:
            row[name] = (float(x) - centre) * factor
        return False

    return kernel


def _limit_scalar(limit: float, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_integer(kind):
        bounds = np.iinfo(kind.to_pandas_dtype())
        limit = min(max(int(limit), int(bounds.min)), int(bounds.max))
    return pa.scalar(limit, kind)


def around(numbers: Sequence[float]) -> list[float]:
    """Return numbers and their next neighbours on either side."""
    near = [math.nextafter(float(x), way) for x in numbers for way in (-math.inf, math.inf)]
    return [*numbers, *near]

"""What the rows of a pool show about two models, row by row, and which rows count for which clause."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.errors import RefusedError, UsageError, did_you_mean
from foldstore.validation.pools.clause_test import PARTS
from foldstore.validation.pools.condition import Condition
from foldstore.validation.pools.decide import Tally
from foldstore.validation.pools.plan import PoolPlan
from foldstore.validation.pools.registered import ScoreFunction, Values, score_rows
from foldstore.validation.pools.scores import (
    Comparison,
    Literal,
    MeanScore,
    Model,
    Rate,
    RateScore,
    Score,
    Slice,
    literal_text,
)

Flags = NDArray[np.bool_]
_COMPARE: Final = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Labels, predictions and the columns of slices, all in one order.

    Attributes
    ----------
    labels : Array or None
        None where nobody may look yet: what needs no label can be counted all the same.
    new : Array
        The predictions of the new model.
    old : Array or None
        Those of the old one.
    columns : mapping of str to Array
        The columns that slices name.
    functions : mapping of str to callable
        The registered functions of scores.
    given : mapping of str to array
        The scores that came with the new model's predictions.

    Examples
    --------
    >>> labels, new = pa.array([True, True, False, False]), pa.array([True, False, True, False])
    >>> Evidence(labels=labels, new=new).tally(RateScore(rate=Rate.F1, model=Model.NEW))
    Tally(total=1, rows=3)
    """

    labels: pa.Array | None
    new: pa.Array
    old: pa.Array | None = None
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    functions: Mapping[str, ScoreFunction] = field(default_factory=dict)
    given: Mapping[str, Values] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.new)

    def tally(self, score: Score) -> Tally:
        """Return the sum of a score over the rows that count for it, and how many those are."""
        values = self.values(score, self.counted(score))
        return Tally(int(values.sum(dtype=np.int64)), len(values))

    def values(self, score: Score, counted: Flags | None) -> NDArray[np.int64]:
        """Return what each row that counts adds, in the order of the rows; `counted` says which those are."""
        found = self._row_values(score)
        return found if counted is None else found[counted]

    def label_matters(self, score: Score) -> Flags:
        """Return for which rows a label can change what a score adds up to, or which rows count.

        No label is read. Where two models predict the same, n - o gains nothing from a label; d never does; precision
        asks about the rows that are called so alone.
        """
        inside = slice_mask(self.columns, score.where)
        found = np.ones(self.rows, np.bool_) if inside is None else inside
        if not score.needs_labels:
            return np.zeros(self.rows, np.bool_)
        if isinstance(score, RateScore):
            is_called = score.rate is Rate.PRECISION
            return found & class_mask(self._predictions(score.model), score.positive) if is_called else found
        if score.new + score.old == 0:
            found = found & _flags(pc.not_equal(self.new, self._predictions(Model.OLD)))
        return found

    def counted(self, score: Score) -> Flags | None:
        """Return which rows count for a score; None when all do."""
        inside = slice_mask(self.columns, score.where)
        if not isinstance(score, RateScore):
            return inside
        called = class_mask(self._predictions(score.model), score.positive)
        if score.rate is Rate.PRECISION:
            chosen = called
        else:
            real = class_mask(self._labels(), score.positive)
            chosen = real if score.rate is Rate.RECALL else called | real
        return chosen if inside is None else chosen & inside

    def require_counted(self, plan: PoolPlan) -> None:
        """Refuse, before a label is read, predictions for which too few rows count.

        Raises
        ------
        RefusedError
            With code ``too-few-rows``.
        """
        for clause, needed in zip(plan.condition.clauses, plan.clause_rows, strict=True):
            score = clause.score
            if isinstance(score, RateScore) and score.rate is not Rate.PRECISION:
                continue  # which rows count is known by their labels; sealing has seen to it
            counted = self.counted(score)
            found = self.rows if counted is None else int(np.count_nonzero(counted))
            if found < needed:
                _refuse_few(str(clause), score.counted, found, needed)

    def _row_values(self, score: Score) -> NDArray[np.int64]:
        if isinstance(score, RateScore):
            called = class_mask(self._predictions(score.model), score.positive)
            return (called & class_mask(self._labels(), score.positive)).astype(np.int64)
        if isinstance(score, MeanScore):
            return self._mean_parts(score)
        values = np.zeros(self.rows, np.int64)
        for model, factor in ((Model.NEW, score.new), (Model.OLD, score.old)):
            if factor:
                values += factor * _flags(pc.equal(self._predictions(model), self._labels()))
        if score.differing:
            values += score.differing * _flags(pc.not_equal(self.new, self._predictions(Model.OLD)))
        return values

    def _mean_parts(self, score: MeanScore) -> NDArray[np.int64]:
        """Return a registered score in whole parts of its range."""
        total = np.zeros(self.rows)
        for model, factor in ((Model.NEW, score.new), (Model.OLD, score.old)):
            if factor and score.given:
                total += factor * self.given[score.name]
            elif factor:
                function = self.functions[score.name]
                total += factor * score_rows(function, score, self._predictions(model), self._labels())
        low, high = map(float, score.range)
        return np.rint((total - low) * (PARTS / (high - low))).astype(np.int64)

    def _predictions(self, model: Model) -> pa.Array:
        found = self.new if model is Model.NEW else self.old
        if found is None:
            raise UsageError("There are no predictions of an old model.", code="baseline-missing")
        return found

    def _labels(self) -> pa.Array:
        if self.labels is None:
            raise UsageError("The labels are not at hand.", code="missing-counts")
        return self.labels


def check_subject(condition: Condition, label_type: pa.DataType, columns: Mapping[str, pa.DataType]) -> None:
    """Refuse classes and slices that rows of such types cannot have.

    Parameters
    ----------
    condition : Condition
    label_type : DataType
    columns : mapping of str to DataType
        The columns that stay readable.

    Raises
    ------
    UsageError
        With code ``invalid-condition``.
    """
    for clause in condition.clauses:
        score = clause.score
        if isinstance(score, RateScore) and _scalar(score.positive, label_type) is None:
            raise UsageError(
                f"{clause}: the label is {label_type}, so {literal_text(score.positive)} is none of its classes.",
                hint=f"Name the class, as in {score.rate}({score.model} = 'cat') or {score.rate}({score.model} = 3).",
                code="invalid-condition",
                clause=str(clause),
            )
        for part in score.where:
            _check_slice(str(clause), part, columns)


def require_classes(plan: PoolPlan, labels: pa.Array, columns: Mapping[str, pa.Array]) -> None:
    """Refuse rows that have too few of a class or of a slice, for any model whatever.

    Raises
    ------
    RefusedError
        With code ``too-few-rows``.
    """
    for clause, needed in zip(plan.condition.clauses, plan.clause_rows, strict=True):
        score = clause.score
        found = slice_mask(columns, score.where)
        if isinstance(score, RateScore) and score.rate is not Rate.PRECISION:
            real = class_mask(labels, score.positive)
            found = real if found is None else real & found
        number = len(labels) if found is None else int(np.count_nonzero(found))
        if number < needed:
            _refuse_few(str(clause), score.counted, number, needed)


def slice_mask(columns: Mapping[str, pa.Array], where: Slice) -> Flags | None:
    """Return which rows are in a slice; a null is in none. None when it is no slice.

    Examples
    --------
    >>> slice_mask({"x": pa.array([1, None, 3])}, (Comparison(column="x", sign="!=", value=Fraction(3)),)).tolist()
    [True, False, False]
    """
    found: Flags | None = None
    for part in where:
        column = _plain(columns[part.column])
        mask = _flags(pc.fill_null(_COMPARE[part.sign](column, _comparable(part.value)), fill_value=False))
        found = mask if found is None else found & mask
    return found


def class_mask(array: pa.Array, positive: Literal) -> Flags:
    """Return which values are of a class."""
    scalar = _scalar(positive, array.type)
    if scalar is None:
        return np.zeros(len(array), np.bool_)
    return _flags(pc.equal(array, scalar))


def _plain(column: Any) -> Any:
    if not pa.types.is_dictionary(column.type):
        return column
    return column.cast(column.type.value_type) if isinstance(column, pa.ChunkedArray) else column.dictionary_decode()


def _flags(mask: Any) -> Flags:
    found: Flags = np.asarray(mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask.to_numpy())
    return found


def _comparable(value: Literal) -> pa.Scalar:
    if not isinstance(value, Fraction):
        return pa.scalar(value)
    return pa.scalar(int(value) if value.denominator == 1 else float(value))


def _scalar(positive: Literal, label_type: pa.DataType) -> pa.Scalar | None:
    """Return a class as a value of the label, or None when it can be none."""
    t = pa.types
    if isinstance(positive, bool):
        return pa.scalar(positive) if t.is_boolean(label_type) else None
    if isinstance(positive, str):
        return pa.scalar(positive, label_type) if t.is_string(label_type) or t.is_large_string(label_type) else None
    if positive.denominator != 1 or not t.is_integer(label_type):
        return None
    try:
        return pa.scalar(int(positive), label_type)
    except (pa.ArrowInvalid, OverflowError):
        return None


def _check_slice(clause: str, part: Comparison, columns: Mapping[str, pa.DataType]) -> None:
    if part.column not in columns:
        raise UsageError(
            f"{clause}: there is no column {part.column!r} that stays readable.",
            hint=did_you_mean(part.column, columns),
            code="invalid-condition",
            clause=clause,
        )
    found = columns[part.column]
    kind = found.value_type if pa.types.is_dictionary(found) else found
    t = pa.types
    fits = {
        bool: t.is_boolean(kind),
        str: t.is_string(kind) or t.is_large_string(kind),
        Fraction: t.is_integer(kind) or t.is_floating(kind),
    }[type(part.value)]
    if not fits:
        raise UsageError(
            f"{clause}: {part.column!r} is {kind}, which is not compared with {literal_text(part.value)}.",
            hint="A slice compares texts with 'text', numbers with numbers, booleans with true or false.",
            code="invalid-condition",
            clause=clause,
        )


def _refuse_few(clause: str, counted: str, found: int, needed: int) -> None:
    raise RefusedError(
        f"{clause} needs {needed:,} {counted}; there are {found:,}.",
        hint="Nothing was charged. Seal more rows, widen the tolerance, or plan fewer answers.",
        code="too-few-rows",
        rows=found,
        needed=needed,
    )

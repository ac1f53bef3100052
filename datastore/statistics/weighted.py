"""Statistics in which each row counts as much as its weight says."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, read_numbers
from foldstore.datastore.statistics.row_source import Batches, RowSource, Scan, cut_rows
from foldstore.errors import SchemaMismatchError, UsageError, column_not_found

_CHUNK_ROWS: Final = 131_072
_KIND: Final = "weighted/1"


@dataclass(frozen=True, slots=True)
class Weighted:
    """The weighted statistics of a column.

    Attributes
    ----------
    rows : int
        Rows with a weight; the others count for nothing.
    weight, null_weight : float
        The sum of the weights of all these rows, and of those in which the value is null.
    finite : float
        The sum of the weights of the finite numbers.
    mean : float
        Of the finite numbers.
    m2 : float
        The sum of ``w (x - mean)^2``.

    Notes
    -----
    Merged as moments are, with weights in the place of counts (Chan, Golub, LeVeque 1979; West 1979).
    """

    rows: int = 0
    weight: float = 0.0
    null_weight: float = 0.0
    finite: float = 0.0
    mean: float = 0.0
    m2: float = 0.0

    @property
    def null_fraction(self) -> float:
        """The share of the weight that lies on nulls."""
        return self.null_weight / self.weight if self.weight else 0.0

    @property
    def total(self) -> float:
        """The weighted sum of the finite numbers."""
        return self.mean * self.finite

    @property
    def std(self) -> float | None:
        """The weighted standard deviation, ``sqrt(m2 / weight)``; None without numbers."""
        return math.sqrt(max(self.m2 / self.finite, 0.0)) if self.finite else None

    @classmethod
    def of(cls, weights: NDArray[np.float64], numbers: NDArray[np.float64], nulls: NDArray[np.bool_]) -> "Weighted":
        """Measure a column; `numbers` are NaN where there is none."""
        held = np.isfinite(numbers)
        w, x = weights[held], numbers[held]
        finite = float(w.sum())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float((w * x).sum() / finite) if finite else 0.0
            m2 = float((w * (x - mean) ** 2).sum())
        return cls(len(weights), float(weights.sum()), float(weights[nulls].sum()), finite, mean, m2)

    def merge(self, other: "Weighted") -> "Weighted":
        """Join the statistics of two ranges of rows, in order."""
        a, b = self.finite, other.finite
        mean, m2 = (self.mean, self.m2) if a else (other.mean, other.m2)
        if a and b:
            d = other.mean - self.mean
            mean, m2 = self.mean + d * b / (a + b), self.m2 + other.m2 + d * d * a * b / (a + b)
        return Weighted(
            self.rows + other.rows,
            self.weight + other.weight,
            self.null_weight + other.null_weight,
            a + b,
            mean,
            m2,
        )


@dataclass(frozen=True, slots=True, eq=False)
class WeightedStatistics(Mapping[str, Weighted]):
    """The weighted statistics of each column.

    Attributes
    ----------
    weight : str
        The column of weights.
    columns : Mapping
        By name.
    """

    weight: str
    columns: Mapping[str, Weighted]

    def __getitem__(self, name: str) -> Weighted:
        if name not in self.columns:
            raise column_not_found(name, self.columns, where="the weighted statistics")
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        return f"WeightedStatistics({len(self)} columns by {self.weight})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"weight": self.weight, "columns": {name: asdict(column) for name, column in self.items()}}


def weigh(rows: RowSource, weight: str) -> WeightedStatistics:
    """Measure every other column with the weights of one.

    Raises
    ------
    SchemaMismatchError
        When the weights are no numbers.
    UsageError
        When a weight is negative or not finite (code ``invalid-weight``).
    """
    schema = rows.arrow_schema
    if weight not in schema.names:
        raise column_not_found(weight, schema.names, where="the rows")
    if not _has_floats(schema.field(weight).type):
        raise SchemaMismatchError(f"Weights are numbers, and {weight!r} holds {schema.field(weight).type} values.")
    names = [name for name in schema.names if name != weight]
    scan: Scan[list[Weighted]] = Scan(_KIND, (weight, *names), _measure, _encode, _decode)
    total = [Weighted() for _ in names]
    for part in range(rows.parts):
        found = rows.scan(part, scan)
        total = [a.merge(b) for a, b in zip(total, found, strict=True)]
    return WeightedStatistics(weight, dict(zip(names, total, strict=True)))


def _has_floats(kind: pa.DataType) -> bool:
    return kind_of(kind).is_numeric and kind_of(kind) is not Kind.TEMPORAL


def _measure(schema: pa.Schema, batches: Batches) -> list[Weighted]:
    total = [Weighted() for _ in schema.names[1:]]
    for chunk in cut_rows(schema, batches, _CHUNK_ROWS):
        weights = _floats(chunk.column(0))
        there = chunk.column(0).is_valid().to_numpy()
        held = weights[there]
        if not (np.isfinite(held) & (held >= 0)).all():
            raise UsageError(
                "A weight is negative, infinite or NaN.", hint="A row counts 0 or more.", code="invalid-weight"
            )
        for place in range(1, len(schema)):
            nulls = chunk.column(place).is_null().to_numpy()[there]
            total[place - 1] = total[place - 1].merge(Weighted.of(held, _floats(chunk.column(place))[there], nulls))
    return total


def _floats(array: pa.ChunkedArray) -> NDArray[np.float64]:
    plain = plain_array(array)
    floats = np.full(len(plain), np.nan)
    if _has_floats(plain.type):
        there = plain.is_valid().to_numpy(zero_copy_only=False)
        floats[there] = read_numbers(plain, kind_of(plain.type)).astype(np.float64)
    return floats


def _encode(found: list[Weighted]) -> bytes:
    return json.dumps([list(asdict(each).values()) for each in found]).encode()


def _decode(data: bytes) -> list[Weighted]:
    return [Weighted(*each) for each in json.loads(data)]

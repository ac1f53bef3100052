"""Co-moments of pairs of columns, and the correlations that follow from them."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.grid import Ints
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array, read_numbers
from foldstore.datastore.statistics.row_source import Batches, RowSource, Scan, cut_rows
from foldstore.errors import SchemaMismatchError, UsageError, column_not_found

Floats = NDArray[np.float64]
MAX_COLUMNS: Final = 64
# Rows are cut at so many numbers, wherever batches end: 16 MB, and products large enough for BLAS.
_CHUNK_NUMBERS: Final = 1 << 21
_KIND: Final = "pairs/1"


@dataclass(frozen=True, slots=True, eq=False)
class PairMoments:
    """Counts, means and second moments of every pair of p columns, over the rows that have both.

    Attributes
    ----------
    n : ndarray of int64, shape (p, p)
        Rows in which both numbers are there and finite.
    mean, m2 : ndarray of float64
        ``[i, j]``: the mean of column i, and its sum of squares about it, over the rows of the pair.
    c : ndarray of float64
        The sum of products about the means.

    Notes
    -----
    Merged by Chan, Golub, LeVeque (1979) and, for products, Pébay (2008, SAND2008-6212, equation 3.11):
    ``C = Ca + Cb + dx dy na nb / n``. Sums of floats depend on their order in the last bits: parts
    merge in the order of the rows.
    """

    n: Ints
    mean: Floats
    m2: Floats
    c: Floats

    @classmethod
    def empty(cls, columns: int) -> "PairMoments":
        """Return the moments of no rows."""
        shape = (columns, columns)
        return cls(np.zeros(shape, np.int64), *(np.zeros(shape) for _ in range(3)))

    @classmethod
    def of(cls, numbers: Floats) -> "PairMoments":
        """Measure numbers of shape (rows, columns); those that are not finite are not there."""
        held = np.isfinite(numbers)
        there = held.astype(np.float64)
        with np.errstate(all="ignore"):
            counts = held.sum(axis=0)
            shift = np.where(counts > 0, np.where(held, numbers, 0.0).sum(axis=0) / np.maximum(counts, 1), 0.0)
            # About the mean of each column first, so that a large mean does not cancel the spread.
            x = np.where(held, numbers - shift, 0.0)
            n = there.T @ there
            sums = x.T @ there
            means = np.where(n > 0, sums / np.maximum(n, 1), 0.0)
            m2 = (x * x).T @ there - n * means * means
            c = x.T @ x - n * means * means.T
            means = means + np.where(n > 0, shift[:, None], 0.0)
        return cls(n.astype(np.int64), means, np.maximum(m2, 0.0), c)

    def merge(self, other: "PairMoments") -> "PairMoments":
        """Join the moments of two ranges of rows, in order."""
        na, nb = self.n.astype(np.float64), other.n.astype(np.float64)
        n = np.maximum(na + nb, 1)
        with np.errstate(all="ignore"):
            d = np.where((na > 0) & (nb > 0), other.mean - self.mean, 0.0)
            mean = np.where(na > 0, self.mean + d * nb / n, other.mean)
            m2 = self.m2 + other.m2 + d * d * na * nb / n
            c = self.c + other.c + d * d.T * na * nb / n
        return PairMoments(self.n + other.n, mean, m2, c)

    def to_bytes(self) -> bytes:
        """Return the matrices, little-endian, one behind the other."""
        floats = (matrix.astype("<f8").tobytes() for matrix in (self.mean, self.m2, self.c))
        return self.n.astype("<i8").tobytes() + b"".join(floats)

    @classmethod
    def from_bytes(cls, data: bytes) -> "PairMoments":
        """Read what `to_bytes` wrote."""
        size = math.isqrt(len(data) // 32)
        n = np.frombuffer(data, "<i8", size * size).reshape(size, size)
        floats = np.frombuffer(data, "<f8", offset=n.nbytes).reshape(3, size, size)
        return cls(n, *floats)


@dataclass(frozen=True, slots=True, eq=False)
class Correlations:
    """Pearson's correlation of every pair of columns, over the rows that have both.

    Attributes
    ----------
    columns : tuple of str
    moments : PairMoments

    Examples
    --------
    >>> from foldstore.datastore.statistics.row_source import StreamedRows
    >>> table = pa.table({"x": [1, 2, 3], "y": [6, 4, 2]})
    >>> rows = StreamedRows(table.schema, lambda names: table.select(names).to_batches())
    >>> round(correlate(rows).of("x", "y"), 6)
    -1.0
    """

    columns: tuple[str, ...]
    moments: PairMoments

    def matrix(self) -> Floats:
        """Return the correlations as a matrix; NaN where a column does not vary or no row has both."""
        m = self.moments
        with np.errstate(all="ignore"):
            r = m.c / (np.sqrt(m.m2) * np.sqrt(m.m2.T))
        r[~np.isfinite(r)] = np.nan
        clipped: Floats = np.clip(r, -1.0, 1.0)
        return clipped

    def of(self, a: str, b: str) -> float | None:
        """Return the correlation of two columns, None where there is none."""
        value = float(self.matrix()[self._place(a), self._place(b)])
        return None if np.isnan(value) else value

    def rows_of(self, a: str, b: str) -> int:
        """Return how many rows have both."""
        return int(self.moments.n[self._place(a), self._place(b)])

    def strongest(self, n: int = 10) -> list[tuple[str, str, float]]:
        """Return the pairs that are most correlated, whatever the sign, the strongest first."""
        matrix = self.matrix()
        rows, columns = np.triu_indices(len(self.columns), 1)
        values = matrix[rows, columns]
        order = [i for i in np.argsort(-np.abs(values), kind="stable") if not np.isnan(values[i])]
        return [(self.columns[rows[i]], self.columns[columns[i]], float(values[i])) for i in order[:n]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        matrix = [[None if np.isnan(value) else value for value in row] for row in self.matrix().tolist()]
        return {"columns": list(self.columns), "correlations": matrix, "rows": self.moments.n.tolist()}

    def to_arrow(self) -> pa.Table:
        """Return a table with a row a pair: ``a``, ``b``, ``correlation``, ``rows``."""
        rows, columns = np.triu_indices(len(self.columns), 1)
        values = self.matrix()[rows, columns]
        names = (pa.array([self.columns[i] for i in places], pa.string()) for places in (rows, columns))
        held = pa.array(values, mask=np.isnan(values))
        return pa.table(
            [*names, held, pa.array(self.moments.n[rows, columns])], names=["a", "b", "correlation", "rows"]
        )

    def __repr__(self) -> str:
        strongest = ", ".join(f"{a}~{b} {r:.2f}" for a, b, r in self.strongest(1))
        return f"Correlations({len(self.columns)} columns{', ' if strongest else ''}{strongest})"

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *self.columns))
        lines = (
            f"<tr><th>{html.escape(name)}</th>"
            + "".join(f"<td>{'' if np.isnan(r) else f'{r:.2f}'}</td>" for r in row)
            + "</tr>"
            for name, row in zip(self.columns, self.matrix(), strict=True)
        )
        return f"<table><tr>{heads}</tr>{''.join(lines)}</table>"

    def _place(self, name: str) -> int:
        if name not in self.columns:
            raise column_not_found(name, self.columns, where="the correlations")
        return self.columns.index(name)


def correlate(rows: RowSource, columns: Sequence[str] | None = None) -> Correlations:
    """Measure the correlations of columns of numbers: those named, or all there are.

    Raises
    ------
    UsageError
        When there are more than 64 columns (code ``too-many-columns``).
    SchemaMismatchError
        When a column that was named is no number.
    """
    chosen = _choose(rows.arrow_schema, columns)
    scan = Scan(_KIND, chosen, _measure, PairMoments.to_bytes, PairMoments.from_bytes)
    total = PairMoments.empty(len(chosen))
    for part in range(rows.parts):
        total = total.merge(rows.scan(part, scan))
    return Correlations(chosen, total)


def _choose(schema: pa.Schema, columns: Sequence[str] | None) -> tuple[str, ...]:
    for name in columns or ():
        if name not in schema.names:
            raise column_not_found(name, schema.names, where="the rows")
        if not _is_number(schema.field(name).type):
            raise SchemaMismatchError(
                f"Column {name!r} holds {schema.field(name).type} values, which have no correlation.",
                hint="Name columns of numbers; profile.against(column) is for labels and texts.",
                column=name,
            )
    chosen = tuple(f.name for f in schema if _is_number(f.type)) if columns is None else tuple(dict.fromkeys(columns))
    if len(chosen) > MAX_COLUMNS:
        raise UsageError(
            f"There are {len(chosen)} columns of numbers; {MAX_COLUMNS} are correlated at a time.",
            hint="Name the columns.",
            code="too-many-columns",
            columns=list(chosen),
        )
    return chosen


def _is_number(kind: pa.DataType) -> bool:
    return kind_of(kind).is_numeric and kind_of(kind) is not Kind.TEMPORAL


def _measure(schema: pa.Schema, batches: Batches) -> PairMoments:
    total = PairMoments.empty(len(schema))
    if not len(schema):
        return total
    for chunk in cut_rows(schema, batches, _CHUNK_NUMBERS // len(schema)):
        total = total.merge(PairMoments.of(np.column_stack([_floats(chunk.column(i)) for i in range(len(schema))])))
    return total


def _floats(array: pa.ChunkedArray) -> Floats:
    plain = plain_array(array)
    numbers = read_numbers(plain, kind_of(plain.type)).astype(np.float64)
    if not plain.null_count:
        return numbers
    floats = np.full(len(plain), np.nan)
    floats[plain.is_valid().to_numpy(zero_copy_only=False)] = numbers
    return floats

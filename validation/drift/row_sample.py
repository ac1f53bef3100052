"""Samples of whole rows: drawn by place, so that the same rows in the same order give the same sample."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.statistics.pinned import WeekGrid
from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array
from foldstore.errors import UsageError, column_not_found
from foldstore.validation.column_schema import plain_type
from foldstore.validation.drift.classifier import TwoSampleTest, tell_apart
from foldstore.validation.drift.significance import seeded
from foldstore.validation.drift.trends import finite_numbers
from foldstore.validation.inference import infer_distributions
from foldstore.validation.subject import Subject

_MOST: Final = 100_000
_LEAST: Final = 4


def sample_rows(subject: Subject, columns: Sequence[str], size: int, seed: str) -> pa.Table:
    """Return so many rows, drawn without repetition, in their order; all where there are no more.

    The rows are read once, batch by batch; no more than the sample and a batch are held.

    Examples
    --------
    >>> from foldstore.validation.subject import TableSubject
    >>> rows = TableSubject(pa.table({"x": list(range(1000))}), "t")
    >>> sample_rows(rows, ["x"], 3, "seed") == sample_rows(rows, ["x"], 3, "seed")
    True
    """
    rows = subject.num_rows
    kept = np.arange(rows) if rows <= size else np.sort(seeded(seed, "rows").choice(rows, size, replace=False))
    taken, begin = [], 0
    schema = pa.schema([subject.arrow_schema.field(name) for name in columns])
    for batch in subject.batches(columns):
        first, last = np.searchsorted(kept, [begin, begin + batch.num_rows])
        if last > first:
            taken.append(pa.Table.from_batches([batch.take(pa.array(kept[first:last] - begin))]))
        begin += batch.num_rows
    return pa.concat_tables(taken) if taken else schema.empty_table()


def two_sample_test_between(
    reference: Subject, current: Subject, columns: Sequence[str] | None = None, *, sample: int = 2_048
) -> TwoSampleTest:
    """Test whether a classifier tells the rows of one side from those of the other; see `tell_apart`.

    Parameters
    ----------
    reference, current : Subject
    columns : sequence of str, optional
        Those that both have with a distribution to compare unless given.
    sample : int
        How many rows of each side are looked at, at most 100,000.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    UsageError
        When a side has too few rows, or a column is neither number, boolean nor text.

    Examples
    --------
    >>> from foldstore.validation.subject import TableSubject
    >>> before, after = pa.table({"x": list(range(100))}), pa.table({"x": list(range(50, 150))})
    >>> two_sample_test_between(TableSubject(before, "a"), TableSubject(after, "b"), ["x"]).verdict.value
    'error'
    """
    if isinstance(sample, bool) or not isinstance(sample, int) or not 8 <= sample <= _MOST:
        raise UsageError(
            f"sample={sample!r} is not a number of rows from 8 to {_MOST:,}.", hint="Leave it out for 2,048."
        )
    for each in (reference, current):
        if each.num_rows < _LEAST:
            raise UsageError(
                f"{each.address} has too few rows to learn from: {each.num_rows}.", hint="Compare four rows or more."
            )
    before, after = reference.profile(), current.profile()
    chosen = list(columns) if columns is not None else _comparable(reference, current)
    if not chosen:
        raise UsageError(
            f"{reference.address} and {current.address} have no column with a distribution to compare.",
            hint="Name the columns: columns=[...].",
        )
    seed = f"{before.id}\n{after.id}"
    sides: list[dict[str, NDArray[Any]]] = []
    for role, subject in (("reference", reference), ("current", current)):
        for name in chosen:
            if name not in subject.arrow_schema.names:
                raise column_not_found(name, subject.arrow_schema.names, where=subject.address)
        rows = sample_rows(subject, chosen, sample, f"{seed}\n{role}")
        sides.append({name: _values(rows[name], name) for name in chosen})
    return tell_apart(*sides, seed=seed)


def _comparable(reference: Subject, current: Subject) -> list[str]:
    """Return the columns that have a distribution worth comparing, of one type on both sides."""
    after = current.profile().columns
    return [
        name
        for name, column in infer_distributions(reference.profile()).items()
        if name in after
        and plain_type(after[name].type) == plain_type(column.type)
        and not isinstance(column.grid, WeekGrid)
    ]


def _values(column: pa.ChunkedArray, name: str) -> NDArray[Any]:
    plain = plain_array(column)
    kind = kind_of(plain.type)
    if kind.is_numeric:
        return finite_numbers(plain)
    if kind not in (Kind.TEXT, Kind.BOOLEAN):
        raise UsageError(f"{name} is {plain.type}; only numbers, booleans and text are compared.", column=name)
    return np.array(plain.to_pylist(), dtype=object)

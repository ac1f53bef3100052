"""How many rows there are of each group, label and stratum, counted in one pass of bounded memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.validation.bias.cells import MISSING, Cells, Codes, Threshold, hold_values
from foldstore.validation.bias.choice import Choice

Counts: TypeAlias = NDArray[np.int64]

NO_VALUE: Final = "(null)"
_DENSE: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Rows that are not measured.

    Attributes
    ----------
    rows : int
        All of them.
    no_label, no_sensitive : int
        Rows whose label or sensitive value is null or NaN; a row may be in both.
    nan_label, nan_sensitive : int
        Those of them that are NaN.
    """

    rows: int = 0
    no_label: int = 0
    no_sensitive: int = 0
    nan_label: int = 0
    nan_sensitive: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BiasCounts:
    """Counts of the rows that have a label and a sensitive value.

    Attributes
    ----------
    groups, labels, strata : tuple of str
        What the sensitive column, the label and the conditions hold, in the order of the values; without conditions
        there is one stratum.
    by_label : array of int, shape (groups, labels)
    by_outcome : array of int, shape (groups, 2, strata)
        The negative labels, then the positive ones.
    rows : int
        All rows, measured or not.
    left_out : LeftOut
    unlabelled : tuple of str
        Groups whose rows all lack a label.
    no_condition : int
        Measured rows with a condition that is null or NaN; these are strata like others.
    """

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    strata: tuple[str, ...]
    by_label: Counts
    by_outcome: Counts
    rows: int
    left_out: LeftOut = field(default_factory=LeftOut)
    unlabelled: tuple[str, ...] = ()
    no_condition: int = 0

    def __post_init__(self) -> None:
        self.by_label.setflags(write=False)
        self.by_outcome.setflags(write=False)

    @property
    def measured(self) -> int:
        """How many rows are measured."""
        return self.rows - self.left_out.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReading:
    """How a label is read: its cells, and which of its values are positive.

    Attributes
    ----------
    column : str
    cells : Cells
    positive : Choice or Threshold
    """

    column: str
    cells: Cells
    positive: Choice | Threshold

    def is_positive(self, column: pa.Array, codes: Codes) -> NDArray[np.bool_]:
        """Say of each row whether its label is positive; rows without one are to be left out."""
        if isinstance(self.positive, Threshold):
            return hold_values(column, self.positive)
        held = [
            self.positive.holds(name, value) for name, value in zip(self.cells.names, self.cells.values, strict=True)
        ]
        return np.array([*held, False])[codes]  # the last place is that of -1


class Strata:
    """The combinations of values that some columns have, found as rows are read.

    Parameters
    ----------
    cells : sequence of Cells
        One for each column; none make one stratum of all rows.
    limit : int
        How many combinations there may be.
    """

    def __init__(self, columns: Sequence[str], cells: Sequence[Cells], limit: int) -> None:
        self._columns = columns
        self._cells = cells
        self._limit = limit
        self._found: dict[tuple[int, ...], int] = {}

    def place(self, columns: Sequence[pa.Array], keep: NDArray[np.bool_] | None) -> tuple[Codes | None, int]:
        """Return the stratum of each row that is kept, and how many lack a value; None when there is but one."""
        if not self._cells:
            self._found.setdefault((), 0)
            return None, 0
        placed = [cells.place(column).codes for cells, column in zip(self._cells, columns, strict=True)]
        if keep is not None:
            placed = [codes[keep] for codes in placed]
        sizes = [len(cells.names) + 1 for cells in self._cells]
        combined = np.zeros(len(placed[0]), np.int64)
        for codes, size in zip(placed, sizes, strict=True):
            combined = combined * size + codes + 1  # null is the first
        missing = np.logical_or.reduce([codes == MISSING for codes in placed])
        return self._number(combined, sizes), int(missing.sum())

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self._found)

    def ordered(self) -> tuple[list[int], list[str]]:
        """Return the strata in the order of their values, and their names."""
        ranks = [_ranks(cells.values) for cells in self._cells]
        order = sorted(self._found, key=lambda key: [ranks[k][code] if code else -1 for k, code in enumerate(key)])
        return [self._found[key] for key in order], [self._name(key) for key in order]

    def _name(self, key: tuple[int, ...]) -> str:
        values = zip(self._cells, key, strict=True)
        return ", ".join(cells.names[code - 1] if code else NO_VALUE for cells, code in values)

    def _number(self, combined: Codes, sizes: Sequence[int]) -> Codes:
        total = prod(sizes)
        if total <= _DENSE:
            present = np.flatnonzero(np.bincount(combined, minlength=total))
            places = np.zeros(total, np.int64)
            places[present] = self._numbers(present, sizes)
            return places[combined]
        present, inverse = np.unique(combined, return_inverse=True)
        return np.array(self._numbers(present, sizes), np.int64)[inverse]

    def _numbers(self, present: Codes, sizes: Sequence[int]) -> list[int]:
        keys = [tuple(int(code) for code in key) for key in zip(*np.unravel_index(present, sizes), strict=True)]
        for key in keys:
            if key not in self._found and len(self._found) >= self._limit:
                raise UsageError(
                    f"{', '.join(map(repr, self._columns))} have more than {self._limit:,} values together.",
                    hint="Condition on fewer or coarser columns, or raise max_strata=.",
                    code="too-many-values",
                    columns=list(self._columns),
                    limit=self._limit,
                )
            self._found.setdefault(key, len(self._found))
        return [self._found[key] for key in keys]


# Yields, batch by batch, the columns: the sensitive one, the label, the conditions.
Columns: TypeAlias = Iterable[Sequence[pa.Array]]


def count_rows(columns: Columns, sensitive: Cells, label: LabelReading, strata: Strata) -> BiasCounts:
    """Count rows by group and label, and by group, outcome and stratum.

    Memory is that of the counts and of one batch, whatever the number of rows; the counts do not depend on how the
    rows are cut into batches.

    Raises
    ------
    UsageError
        When a column has more values than its limit.
    """
    tally = _Tally(sensitive, label, strata)
    for batch in columns:
        tally.add(batch[0], batch[1], batch[2:])
    return tally.finish()


class _Tally:
    def __init__(self, sensitive: Cells, label: LabelReading, strata: Strata) -> None:
        self._sensitive, self._label, self._strata = sensitive, label, strata
        self._by_label = np.zeros((0, 0), np.int64)
        self._by_outcome = np.zeros((0, 2, 0), np.int64)
        self._rows = self._no_condition = 0
        self._unlabelled: set[int] = set()
        self._out = dict.fromkeys(("rows", "no_label", "no_sensitive", "nan_label", "nan_sensitive"), 0)

    def add(self, sensitive: pa.Array, label: pa.Array, conditions: Sequence[pa.Array]) -> None:
        groups, labels = self._sensitive.place(sensitive), self._label.cells.place(label)
        no_group, no_label = groups.codes == MISSING, labels.codes == MISSING
        out = no_group | no_label
        left_out = int(out.sum())
        keep = ~out if left_out else None
        self._rows += len(out)
        for name, count in (
            ("rows", left_out),
            ("no_label", int(no_label.sum())),
            ("no_sensitive", int(no_group.sum())),
            ("nan_label", labels.nan),
            ("nan_sensitive", groups.nan),
        ):
            self._out[name] += count
        if left_out:
            self._unlabelled.update(np.unique(groups.codes[no_label]).tolist())
        strata, missing = self._strata.place(conditions, keep)
        self._no_condition += missing
        positive = self._label.is_positive(label, labels.codes)
        shape = (len(self._sensitive.names), len(self._label.cells.names))
        places, outcomes = groups.codes * shape[1] + labels.codes, groups.codes * 2 + positive
        if keep is not None:
            places, outcomes = places[keep], outcomes[keep]
        self._by_label = _added(self._by_label, shape, places)
        deep = (shape[0], 2, max(self._strata.count, 1))
        self._by_outcome = _added(self._by_outcome, deep, outcomes if strata is None else outcomes * deep[2] + strata)

    def finish(self) -> BiasCounts:
        groups = _order(self._sensitive.values)
        labels = _order(self._label.cells.values)
        strata, strata_names = self._strata.ordered()
        by_label = self._by_label[np.ix_(groups, labels)]
        by_outcome = self._by_outcome[np.ix_(groups, [0, 1], strata)]
        there, seen = by_label.sum(axis=1) > 0, by_label.sum(axis=0) > 0
        names = [self._sensitive.names[code] for code in groups]
        found = [self._label.cells.names[code] for code in labels]
        return BiasCounts(
            groups=tuple(name for name, measured in zip(names, there, strict=True) if measured),
            labels=tuple(name for name, measured in zip(found, seen, strict=True) if measured),
            strata=tuple(strata_names),
            by_label=by_label[there][:, seen],
            by_outcome=by_outcome[there],
            rows=self._rows,
            left_out=LeftOut(**self._out),
            unlabelled=tuple(
                self._sensitive.names[code]
                for code, measured in zip(groups, there, strict=True)
                if code in self._unlabelled and not measured
            ),
            no_condition=self._no_condition,
        )


def _added(old: Counts, shape: tuple[int, ...], places: Codes) -> Counts:
    """Return the counts, grown to a shape, with rows added at flat places of it."""
    grown = np.bincount(places, minlength=prod(shape)).reshape(shape)
    grown[tuple(slice(size) for size in old.shape)] += old
    return grown


def _order(values: Sequence[Any]) -> list[int]:
    """Return the codes of cells in the order of their values; cells with names alone keep theirs."""
    key: Callable[[int], Any] = _ranks(values).__getitem__
    return sorted(range(len(values)), key=lambda code: key(code + 1))


def _ranks(values: Sequence[Any]) -> dict[int, int]:
    """Return the rank of each code plus one among the values."""
    order = list(range(len(values)))
    if not isinstance(values, tuple):  # ranges and sides of a threshold stand in order
        try:
            order.sort(key=values.__getitem__)
        except TypeError:  # moments that Python cannot hold are texts among moments
            order.sort(key=lambda code: str(values[code]))
    return {code + 1: rank for rank, code in enumerate(order)}

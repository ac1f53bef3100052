"""Where the rows of a view come from: rows of datasets, told apart by row id whatever the version."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foldstore.views.rows.chain_rows import ChainRows
from foldstore.views.rows.repeated_rows import RepeatedRows
from foldstore.views.rows.rows import BATCH_ROWS, Change, Rows
from foldstore.views.rows.union_rows import UnionRows
from foldstore.views.source import Source
from foldstore.views.steps.limit import Limit

if TYPE_CHECKING:
    from foldstore.views.view import View

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class RowOrigins:
    """Which rows of its sources a view has.

    Attributes
    ----------
    num_rows : int
        How many rows the view has in an epoch, be it one of them several times; of rows without end, those of a turn.
    parts : tuple of (Source, ndarray of bool)
        Each source, and which of its rows, by rank.
    """

    num_rows: int
    parts: tuple[tuple[Source, Mask], ...]

    def row_ids(self) -> dict[str, NDArray[np.uint64]]:
        """Return the ids of the rows of each dataset, ascending, each once."""
        found: dict[str, list[NDArray[np.uint64]]] = {}
        for source, mask in self.parts:
            ids = source.find_rows().row_ids(np.flatnonzero(mask))
            found.setdefault(source.address.partition("@")[0], []).append(ids)
        return {name: np.unique(np.concatenate(ids)) for name, ids in found.items()}


def find_origins(view: "View") -> RowOrigins:
    """Find the rows that a view has; those of a repetition are looked at once.

    Only what conditions and orders need is read.
    """
    rows = _once(view.rows)
    index = rows.index()
    # A blend may read one source several times.
    sources = {source.version_id: source for source in index.sources}
    masks = {version_id: np.zeros(source.num_rows, np.bool_) for version_id, source in sources.items()}
    numbered = [masks[source.version_id] for source in index.sources]
    for first in range(0, index.num_rows, BATCH_ROWS):
        ranks = np.arange(first, min(first + BATCH_ROWS, index.num_rows), dtype=np.int64)
        numbers, found = index.origins(ranks)
        for number in np.unique(numbers).tolist():
            numbered[number][found[numbers == number]] = True
    num_rows = index.num_rows if rows is view.rows or view.rows.is_endless else view.rows.count()
    return RowOrigins(num_rows, tuple((sources[version_id], mask) for version_id, mask in masks.items()))


def _once(rows: Rows) -> Rows:
    """Return rows that come from the same ones, with one turn of each repetition that always has the same."""
    match rows:
        case RepeatedRows() if rows.is_endless or rows.before.change <= Change.ORDER:
            return rows.before
        case UnionRows():
            inputs = [_once(each) for each in rows.inputs]
            same = all(one is other for one, other in zip(inputs, rows.inputs, strict=True))
            return rows if same else UnionRows(inputs, rows.arrow_schema)
        case ChainRows() if not any(isinstance(step, Limit) for step in rows.steps):
            before = _once(rows.before)
            return rows if before is rows.before else ChainRows(rows.engine, before, rows.steps)
    return rows

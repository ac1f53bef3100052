"""Where the rows of a view come from: rows of datasets, told apart by row id whatever the version."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foldstore.views.rows.rows import BATCH_ROWS
from foldstore.views.source import Source

if TYPE_CHECKING:
    from foldstore.views.view import View

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class RowOrigins:
    """Which rows of its sources a view has.

    Attributes
    ----------
    num_rows : int
        How many rows the view has in an epoch; one that it repeats counts each time.
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
    """Find the rows that a view has; a repetition is looked at once.

    Only what conditions and orders need is read.
    """
    index = view.rows.index()
    masks = [np.zeros(source.num_rows, np.bool_) for source in index.sources]
    for first in range(0, index.num_rows, BATCH_ROWS):
        ranks = np.arange(first, min(first + BATCH_ROWS, index.num_rows), dtype=np.int64)
        numbers, found = index.origins(ranks)
        for number in np.unique(numbers).tolist():
            masks[number][found[numbers == number]] = True
    return RowOrigins(index.num_rows, tuple(_merged(index.sources, masks)))


def _merged(sources: tuple[Source, ...], masks: list[Mask]) -> Iterator[tuple[Source, Mask]]:
    """Yield each source once: a blend may read one several times."""
    known: dict[str, tuple[Source, Mask]] = {}
    for source, mask in zip(sources, masks, strict=True):
        earlier = known.get(source.version_id)
        known[source.version_id] = (source, mask if earlier is None else earlier[1] | mask)
    yield from known.values()

"""Indexes of versions of which another one has an index: what changed between both is laid over that.

An overlay is kept in memory alone. It is made of what the manifests say and of the rows that went or came, so that it
costs what these cost; where they are too many the version gets an index of its own, over which later ones are laid.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from foldstore.datastore import index_area
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.replaced_rows import ReplacedRows, find_replaced_rows
from foldstore.datastore.row_changes import open_version
from foldstore.datastore.storage import Storage
from foldstore.errors import FoldstoreError
from foldstore.features.sources import SourceRows
from foldstore.version import Version
from foldstore.views.features.index_file import BuiltIndex, IndexedColumns
from foldstore.views.features.overlaid_index import OverlaidIndex
from foldstore.views.features.row_numbers import RowNumbers

MOST_ROWS: Final = 2_000_000  # that went or came: what they take is held in memory
SHARE: Final = 16  # of the rows one in so many may have gone or come
_MOST_ASKED: Final = 4  # indexes that are looked at, those of the nearest versions first


@dataclass(frozen=True, slots=True)
class Overlay:
    """An index, and the file that it is laid over."""

    index: OverlaidIndex
    base: Path


def find_overlay(
    storage: Storage,
    version: Version,
    source: SourceRows,
    columns: IndexedColumns,
    opening: tuple[str, Callable[[Path, int], BuiltIndex]],
) -> Overlay | None:
    """Return an index of a version's rows that is laid over the one of another version; None where there is none.

    Parameters
    ----------
    source : SourceRows
        All rows of the version.
    opening : tuple of (str, callable)
        Of what it is an index, as the files are named; and what opens one, given how many rows it is of.
    """
    what, open_base = opening
    reader = version.rows
    if reader.fragments != source.fragments:  # its rows were sealed or erased since they were read
        return None
    number = version.number
    held = index_area.list_indexes(storage, version.record.dataset_id, what)
    for path, record in sorted(held, key=lambda each: abs(each[1].number - number))[:_MOST_ASKED]:
        with suppress(FoldstoreError, OSError):  # it is gone, or torn, or its version's rows are gone
            before = open_version(storage, version.dataset, record)
            if index_area.path_of(storage, record.dataset_id, record.id, before.fragments, what) != path:
                continue
            changes = find_replaced_rows(before, reader, columns.names, most=count_most(before.num_rows))
            if changes is not None:
                index = _lay_over(open_base(path, before.num_rows), changes, source.table, columns)
                return Overlay(index, path) if _lies_still(reader, source, path) else None
    return None


def count_most(num_rows: int) -> int:
    """Return how many rows may have gone or come, of an index of so many."""
    return min(num_rows // SHARE, MOST_ROWS)


def _lay_over(base: BuiltIndex, changes: ReplacedRows, table: pa.Table, columns: IndexedColumns) -> OverlaidIndex:
    numbers = RowNumbers(changes.removed_at, changes.added_at)
    gone = columns.read(changes.removed.to_table(columns.names), numbers.removed)
    came = changes.added.to_table(columns.names) if len(numbers.added) else None
    added = None if came is None else columns.build(came, numbers.added)
    return OverlaidIndex(table, columns, base.without(gone), numbers, added)


def _lies_still(reader: FragmentReader, source: SourceRows, base: Path) -> bool:
    return reader.fragments == source.fragments and base.exists()

"""Which rows only one of two versions has, by row id.

Fragments that both list with the same deleted rows are never looked into: of those the manifests say enough. Row
ids are read from files only where a compaction has moved rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.row_set import Part, Places, RowSet
from foldstore.datastore.storage import Storage


@dataclass(frozen=True, slots=True, eq=False)
class RowChanges:
    """Rows that only one side has.

    Attributes
    ----------
    removed, added : RowSet
        Rows of the first side that the second lacks, and the other way round.
    moved : tuple of (RowSet, RowSet)
        Rows that both have in different fragments, as each side has them: in one order.
    """

    removed: RowSet
    added: RowSet
    moved: tuple[RowSet, RowSet, Places, Places]


def open_version(storage: Storage, dataset: DatasetRecord, version: VersionRecord) -> FragmentReader:
    """Return the reader of all rows of a version, whatever a guard would say: for commits."""
    schema = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id))
    where = f"{dataset.name}@{version.number}"
    return FragmentReader(storage, dataset.id, storage.pages.fragments(version), schema, where)


def find_row_changes(before: FragmentReader, after: FragmentReader) -> RowChanges:
    """Find the rows that only one of two readers has."""
    old = {fragment.id: fragment for fragment in before.fragments}
    new = {fragment.id: fragment for fragment in after.fragments}
    removed, added = _only_in(before, new, after), _only_in(after, old, before)
    nothing = np.empty(0, np.int64)
    if not (removed.num_rows and added.num_rows and (removed.has_moved or added.has_moved)):
        return RowChanges(removed, added, (removed, added, nothing, nothing))
    gone, come = removed.row_ids(), added.row_ids()
    _, first, second = np.intersect1d(gone, come, assume_unique=True, return_indices=True)
    order = np.argsort(first)
    first, second = first[order].astype(np.int64), second[order].astype(np.int64)
    return RowChanges(removed.without(first), added.without(second), (removed, added, first, second))


def _only_in(here: FragmentReader, there: Mapping[int, Fragment], other: FragmentReader) -> RowSet:
    parts = []
    for fragment in here.fragments:
        counterpart = there.get(fragment.id)
        if counterpart is None:
            parts.append(Part(fragment))
        elif counterpart.deleted != fragment.deleted:
            parts.append(Part(fragment, here.live(fragment) & ~other.live(counterpart)))
    return RowSet(here, parts)

"""What sealing some rows of a dataset reaches: the fragments, files and column positions, in every version.

A row is itself wherever its fragment is listed. The same row also sits elsewhere when another fragment
has its key (a quarantined append, say), or, where a dataset has no key, its content, or was written as the
very same file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import decode_schema, field_ids
from foldstore.datastore.catalog import seals
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.manifest import ColumnGroup, Fragment, Page, decode_page
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.hashing import combine, hash_column, hash_rows
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError, column_not_found

Mask: TypeAlias = NDArray[np.bool_]
# Which rows: a mask by fragment id, or row ids (fragment id << 32 | position in the fragment).
Rows: TypeAlias = Mapping[int, Mask] | NDArray[np.integer[Any]]
# A fragment, and a schema that lists it.
Listed: TypeAlias = tuple[pa.Schema, Fragment]

_POSITION_BITS = 32


@dataclass(frozen=True, slots=True)
class Place:
    """A file of a fragment, and the positions of sealed columns in it with their names."""

    fragment_id: int
    object_id: str
    columns: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Everything that a seal will touch.

    Attributes
    ----------
    pages : tuple of Page
        All pages of the dataset's versions.
    masks : mapping of int to Mask
        Which rows, by fragment id; fragments without any are left out.
    places : tuple of Place
        The files with sealed columns of these fragments.
    """

    pages: tuple[Page, ...]
    masks: Mapping[int, Mask]
    places: tuple[Place, ...]

    @property
    def num_rows(self) -> int:
        """How many rows."""
        return sum(int(mask.sum()) for mask in self.masks.values())


def row_ids(masks: Mapping[int, Mask]) -> NDArray[np.uint64]:
    """Return the row ids of masked rows, ascending.

    Examples
    --------
    >>> [hex(i) for i in row_ids({3: np.array([False, True])})]
    ['0x300000001']
    """
    parts = [np.flatnonzero(masks[i]).astype(np.uint64) + np.uint64(i << _POSITION_BITS) for i in sorted(masks)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def read_masks(rows: Rows, lengths: Mapping[int, int]) -> dict[int, Mask]:
    """Return rows as masks by fragment id.

    Parameters
    ----------
    rows : mapping or array
        Masks by fragment id, or row ids.
    lengths : mapping of int to int
        The rows of each fragment that there is.

    Raises
    ------
    UsageError
        When a row is not in the dataset.
    """
    masks = dict(rows) if isinstance(rows, Mapping) else _from_ids(np.asarray(rows), lengths)
    for fragment_id, mask in masks.items():
        if len(mask) != lengths.get(fragment_id, -1):
            raise UsageError(
                f"Fragment {fragment_id} has {lengths.get(fragment_id, 0):,} rows here, not {len(mask):,}.",
                hint="Take the rows of a version of this dataset.",
            )
    return {i: np.asarray(mask, dtype=np.bool_) for i, mask in masks.items() if np.any(mask)}


def survey_rows(storage: Storage, dataset: DatasetRecord, rows: Rows, columns: Sequence[str]) -> Survey:
    """Find every file of every version that holds cells of some rows.

    Raises
    ------
    UsageError
        When a row is not in the dataset.
    ColumnNotFoundError
        When no version has a column.
    """
    pages = {h: decode_page(h, encoded) for h, encoded in seals.list_pages(storage.catalog, dataset.id)}
    listed = list(list_fragments(storage, dataset, pages))
    names = dict.fromkeys(name for schema, _ in listed for name in schema.names)
    for name in columns:
        if name not in names:
            raise column_not_found(name, names, where=repr(dataset.name))
    masks = read_masks(rows, {fragment.id: fragment.num_rows for _, fragment in listed})
    masks = with_copies(storage, dataset, listed, masks)
    return Survey(pages=tuple(pages.values()), masks=masks, places=tuple(_find_places(listed, masks, set(columns))))


def with_copies(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], masks: Mapping[int, Mask]
) -> dict[int, Mask]:
    """Return masks of rows with those of their copies in other fragments."""
    same = _add_equal_keys if dataset.key else _add_equal_content
    masks = same(storage, dataset, listed, masks)
    masks = _add_equal_ids(storage, dataset, listed, masks)
    return _add_equal_files(listed, masks)


def list_fragments(storage: Storage, dataset: DatasetRecord, pages: Mapping[str, Page]) -> Iterator[Listed]:
    """Yield each fragment under each schema that lists it; field ids mean something in one schema only."""
    schemas: dict[str, pa.Schema] = {}
    seen: set[tuple[str, int, tuple[ColumnGroup, ...]]] = set()
    for schema_id, page_hash in seals.list_page_uses(storage.catalog, dataset.id):
        if schema_id not in schemas:
            schemas[schema_id] = decode_schema(storage.catalog.read_arrow_schema(schema_id))
        for listed in pages[page_hash].fragments if page_hash in pages else ():
            # A row that later versions have deleted is there in the earlier ones, and in the files.
            fragment = replace(listed, deleted=None)
            if (schema_id, fragment.id, fragment.groups) not in seen:
                seen.add((schema_id, fragment.id, fragment.groups))
                yield schemas[schema_id], fragment


def _from_ids(ids: NDArray[Any], lengths: Mapping[int, int]) -> dict[int, Mask]:
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise UsageError("Row ids are whole numbers in one dimension.", hint="Take them from a version's fragments.")
    values = ids.astype(np.uint64)
    fragments = values >> np.uint64(_POSITION_BITS)
    positions = (values & np.uint64(2**_POSITION_BITS - 1)).astype(np.int64)
    masks = {}
    for fragment_id in np.unique(fragments).tolist():
        here = positions[fragments == fragment_id]
        length = lengths.get(fragment_id, 0)
        if here.max() >= length:
            raise UsageError(
                f"There is no row {here.max():,} in fragment {fragment_id}.",
                hint="Take the rows of a version of this dataset.",
            )
        masks[fragment_id] = np.zeros(length, dtype=np.bool_)
        masks[fragment_id][here] = True
    return masks


def _add_equal_keys(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], masks: Mapping[int, Mask]
) -> dict[int, Mask]:
    """Add the rows of other fragments that have the key of a sealed row: they are that row."""
    if not masks:
        return {}
    once = {fragment.id: (schema, fragment) for schema, fragment in reversed(listed)}
    keys = {i: _read_keys(storage, dataset, *each) for i, each in once.items()}
    found = {i: keys[i].filter(pa.array(mask)).drop_null() for i, mask in masks.items()}
    wanted = {tuple(row.values()) for table in found.values() for row in table.to_pylist()}
    hashes = np.concatenate([_hash_keys(table) for table in found.values()])
    extended = dict(masks)
    for fragment_id, table in keys.items():
        hits = np.isin(_hash_keys(table), hashes)
        if fragment_id in masks:
            hits &= ~masks[fragment_id]
        for position in np.flatnonzero(hits).tolist():
            hits[position] = tuple(table.slice(position, 1).to_pylist()[0].values()) in wanted
        if hits.any():
            extended[fragment_id] = hits | masks.get(fragment_id, np.zeros(len(hits), dtype=np.bool_))
    return extended


def _add_equal_content(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], masks: Mapping[int, Mask]
) -> dict[int, Mask]:
    """Add the rows of other fragments that equal a sealed row in every column that all fragments have.

    Only rows that are alone of their kind in both fragments count: others look alike without being copies.
    """
    once = {fragment.id: (schema, fragment) for schema, fragment in reversed(listed)}
    if not masks or len(once) < 2:
        return dict(masks)
    names = [n for n in listed[0][0].names if all(n in schema.names for schema, _ in once.values())]
    hashes = {i: _hash_content(storage, dataset, names, *each) for i, each in once.items()}
    alone = {i: _alone(each) for i, each in hashes.items()}
    wanted = np.concatenate([hashes[i][mask & alone[i]] for i, mask in masks.items()])
    extended = dict(masks)
    for fragment_id, each in hashes.items():
        hits = np.isin(each, wanted) & alone[fragment_id]
        if hits.any():
            extended[fragment_id] = hits | masks.get(fragment_id, np.zeros(len(hits), dtype=np.bool_))
    return extended


def _hash_content(
    storage: Storage, dataset: DatasetRecord, names: Sequence[str], schema: pa.Schema, fragment: Fragment
) -> NDArray[np.uint64]:
    reader = FragmentReader(storage, dataset.id, [fragment], schema, repr(dataset.name))
    parts = []
    for name in names:
        try:
            parts.append(hash_column(reader.to_table([name]).column(0)))
        except UsageError:
            continue  # a nested column: the others tell rows apart
    return combine(parts) if parts else np.zeros(fragment.num_rows, np.uint64)


def _alone(hashes: NDArray[np.uint64]) -> Mask:
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    alone: Mask = counts[inverse] == 1
    return alone


def _read_keys(storage: Storage, dataset: DatasetRecord, schema: pa.Schema, fragment: Fragment) -> pa.Table:
    return FragmentReader(storage, dataset.id, [fragment], schema, repr(dataset.name)).to_table(dataset.key)


def _hash_keys(table: pa.Table) -> NDArray[np.uint64]:
    return hash_rows(table.columns) if table.num_rows else np.empty(0, np.uint64)


def _add_equal_ids(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], masks: Mapping[int, Mask]
) -> dict[int, Mask]:
    """Add the rows of other fragments that have the row id of a sealed row: a compaction moved or left them."""
    once = {fragment.id: (schema, fragment) for schema, fragment in reversed(listed)}
    if not masks or not any(fragment.moved for _, fragment in once.values()):
        return dict(masks)
    ids = {
        i: FragmentReader(storage, dataset.id, [fragment], schema, repr(dataset.name)).row_ids()
        for i, (schema, fragment) in once.items()
    }
    wanted = np.concatenate([ids[i][mask] for i, mask in masks.items()])
    found = {i: np.isin(each, wanted) for i, each in ids.items()}
    return {i: mask | masks.get(i, False) for i, mask in found.items() if mask.any()}


def _add_equal_files(listed: Sequence[Listed], masks: Mapping[int, Mask]) -> dict[int, Mask]:
    """Add the rows of fragments whose first file is that of a sealed row's fragment: the data was appended twice."""
    first = {fragment.id: fragment.groups[0].object_id for _, fragment in listed}
    merged: dict[str, Mask] = {}
    for fragment_id, mask in masks.items():
        object_id = first[fragment_id]
        merged[object_id] = mask | merged[object_id] if object_id in merged else mask
    return {fragment_id: merged[object_id] for fragment_id, object_id in first.items() if object_id in merged}


def _find_places(listed: Sequence[Listed], masks: Mapping[int, Mask], columns: set[str]) -> list[Place]:
    found: dict[tuple[int, str], dict[int, str]] = {}
    for schema, fragment in listed:
        if fragment.id not in masks:
            continue
        names = {i: name for i, name in zip(field_ids(schema), schema.names, strict=True) if name in columns}
        for group in fragment.groups:
            here = {place: names[i] for place, i in enumerate(group.fields) if i in names}
            if here:
                known = found.setdefault((fragment.id, group.object_id), {})
                found[fragment.id, group.object_id] = {**here, **known}
    return [Place(fragment_id, object_id, here) for (fragment_id, object_id), here in found.items()]

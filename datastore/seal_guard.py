"""Keeps commits from showing what is sealed: no second copy of sealed rows, and no sealed row taken away.

A dataset whose rows a test pool holds refuses rows with the keys of sealed ones, on every branch: such rows would
bring the labels back in the open.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.catalog.seals import list_page_uses, list_pages, list_seals
from foldstore.datastore.deletion import Mask
from foldstore.datastore.key_policy import find_duplicates
from foldstore.datastore.manifest import Fragment, decode_page
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.sealing import ROW_ID, open_sealed
from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError

_POSITION_BITS = 32
_HINT = "Drop the rows that are there already: a dataset with a test pool keeps no second copy of them."


def sealed_places(storage: Storage, dataset: DatasetRecord) -> NDArray[np.uint64]:
    """Return the places of all rows of a dataset that a seal covers, ascending; see `FragmentReader.places`."""
    parts = [
        open_sealed(storage, seal.id, []).column(ROW_ID).to_numpy().astype(np.uint64)
        for seal in list_seals(storage.catalog, dataset.id)
        if seal.state != "open"
    ]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def refuse_sealed_rows(storage: Storage, dataset: DatasetRecord, places: NDArray[Any], *, act: str) -> None:
    """Refuse to take sealed rows out of the newest version.

    Raises
    ------
    RefusedError
        With code ``rows-sealed``, when any of the rows is sealed.
    """
    if not list_seals(storage.catalog, dataset.id):
        return
    hit = int(np.isin(places, sealed_places(storage, dataset)).sum())
    if hit:
        raise RefusedError(
            f"{hit:,} of the rows to {act} in {dataset.name!r} belong to a test pool.",
            hint="Leave them out. Rows of a pool stay as they were sealed; erase() removes rows by right.",
            code="rows-sealed",
            rows=hit,
        )


def refuse_sealed_keys(storage: Storage, dataset: DatasetRecord, added: FragmentReader) -> None:
    """Refuse new rows that have the key of a sealed row; the sealed rows themselves may come from another branch.

    Raises
    ------
    DuplicateKeyError
        When there is one.
    """
    if not dataset.key or not added.fragments or not list_seals(storage.catalog, dataset.id):
        return
    sealed = sealed_places(storage, dataset)
    if not len(sealed):
        return
    added, own = _without_sealed(storage, added, sealed)
    try:
        _refuse_copies(storage, dataset, added, sealed)
    finally:
        storage.deletions.forget(own)


def _refuse_copies(storage: Storage, dataset: DatasetRecord, added: FragmentReader, sealed: NDArray[np.uint64]) -> None:
    for schema_id, fragments in _fragments_with(storage, dataset, sealed).items():
        schema = decode_schema(storage.catalog.read_arrow_schema(schema_id))
        if not all(name in schema.names for name in dataset.key):
            continue
        before = FragmentReader(storage, dataset.id, fragments, schema, dataset.name)
        error = find_duplicates(dataset, added, before, hint=_HINT)
        storage.deletions.forget([each.deleted.hash for each in fragments if each.deleted])
        if error is not None:
            raise error


def _without_sealed(
    storage: Storage, added: FragmentReader, sealed: NDArray[np.uint64]
) -> tuple[FragmentReader, list[str]]:
    """Return rows without those that are sealed in their very place, and the names of the bitmaps made for it."""
    ids = {int(each) for each in np.unique(sealed >> np.uint64(_POSITION_BITS))}
    if not any(fragment.id in ids for fragment in added.fragments):
        return added, []
    fragments, own = [], []
    for fragment in added.fragments:
        if fragment.id in ids:
            gone = storage.deletions.keep(~added.live(fragment) | _positions(fragment, sealed))
            own += [gone.hash] if gone is not None else []
            fragment = replace(fragment, deleted=gone)  # noqa: PLW2901  # the same one with fewer rows
        fragments.append(fragment)
    return added.restricted([fragment for fragment in fragments if fragment.live_rows]), own


def _fragments_with(
    storage: Storage, dataset: DatasetRecord, sealed: NDArray[np.uint64]
) -> dict[str, Sequence[Fragment]]:
    """Return the fragments that sealed rows were written to, with all other rows masked out, by arrow schema."""
    pages = {name: decode_page(name, encoded) for name, encoded in list_pages(storage.catalog, dataset.id)}
    ids = {int(each) for each in np.unique(sealed >> np.uint64(_POSITION_BITS))}
    found: dict[str, dict[int, Fragment]] = {}
    for schema_id, page_hash in list_page_uses(storage.catalog, dataset.id):
        for fragment in pages[page_hash].fragments:
            if fragment.id in ids and not any(fragment.id in each for each in found.values()):
                found.setdefault(schema_id, {})[fragment.id] = _only(storage, fragment, sealed)
    return {schema_id: list(each.values()) for schema_id, each in found.items()}


def _only(storage: Storage, fragment: Fragment, sealed: NDArray[np.uint64]) -> Fragment:
    return replace(fragment, deleted=storage.deletions.keep(~_positions(fragment, sealed)))


def _positions(fragment: Fragment, sealed: NDArray[np.uint64]) -> Mask:
    """Return which rows of a fragment's files are sealed."""
    here = sealed[(sealed >> np.uint64(_POSITION_BITS)) == fragment.id]
    found = np.zeros(fragment.num_rows, np.bool_)
    found[(here & np.uint64(2**_POSITION_BITS - 1)).astype(np.int64)] = True
    return found

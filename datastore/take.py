"""Take: single rows of a version by row id or by key, gathered record batch by record batch."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.key_search import KeySet
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.reader import FragmentReader
from foldstore.errors import NotFoundError, UsageError

_POSITION_BITS = 32
_Positions = NDArray[np.int64]


def take_ids(reader: FragmentReader, row_ids: object, columns: Sequence[str] | None = None) -> pa.Table:
    """Return rows by row id, in the order asked for; an id may be asked for twice.

    Raises
    ------
    UsageError
        When these are no row ids.
    NotFoundError
        With code ``row-not-found``, when the version has no such row, or it was deleted.
    """
    wanted = _check_ids(row_ids)
    places: dict[int, tuple[Fragment, _Positions, _Positions]] = {}
    found = np.zeros(len(wanted), np.bool_)
    for fragment in reader.fragments:
        asked, positions = _locate(reader, fragment, wanted)
        if len(asked):
            places[fragment.id] = (fragment, asked, positions)
            found[asked] = True
    if not found.all():
        missing = wanted[~found]
        raise NotFoundError(
            f"{len(missing):,} of {len(wanted):,} rows are not in {reader.where}, e.g. row id {int(missing[0])}.",
            hint="Row ids come from the same dataset's versions; rows that were deleted are in earlier ones.",
            code="row-not-found",
            count=len(missing),
        )
    return _gather(reader, list(places.values()), columns)


def take_keys(reader: FragmentReader, keys: KeySet, columns: Sequence[str] | None = None) -> pa.Table:
    """Return rows by key, in the order asked for.

    Raises
    ------
    NotFoundError
        With code ``row-not-found``, when no row has a key.
    """
    places = []
    met = np.zeros(keys.num_rows, np.bool_)
    for found in keys.find(reader):
        places.append((found.fragment, found.wanted, found.positions))
        met[found.wanted] = True
    if not met.all():
        first = int(np.flatnonzero(~met)[0])
        shown = ", ".join(f"{name}={keys.rows.column(name)[first]}" for name in keys.key)
        raise NotFoundError(
            f"{int((~met).sum()):,} of {keys.num_rows:,} keys are not in {reader.where}, e.g. {shown}.",
            hint="The key must be spelled and typed as it is stored.",
            code="row-not-found",
            count=int((~met).sum()),
        )
    return _gather(reader, places, columns)


def _check_ids(row_ids: object) -> NDArray[np.uint64]:
    try:
        wanted = np.asarray(row_ids)
        if wanted.ndim == 1 and (wanted.dtype.kind in "iu" or not len(wanted)):
            return wanted.astype(np.uint64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise UsageError("Row ids are a list of whole numbers.", hint="version.row_ids() has them.")


def _locate(reader: FragmentReader, fragment: Fragment, wanted: NDArray[np.uint64]) -> tuple[_Positions, _Positions]:
    """Return which of the wanted rows a fragment has, and where in its files."""
    if fragment.moved:
        ids = reader.with_deleted().row_ids_of(_whole(fragment))
        order = np.argsort(ids, kind="stable")
        place = np.searchsorted(ids[order], wanted)
        place[place == len(ids)] = 0
        asked = np.flatnonzero(ids[order][place] == wanted)
        positions = order[place[asked]]
    else:
        asked = np.flatnonzero((wanted >> np.uint64(_POSITION_BITS)) == fragment.id)
        positions = (wanted[asked] & np.uint64(2**_POSITION_BITS - 1)).astype(np.int64)
        inside = positions < fragment.num_rows
        asked, positions = asked[inside], positions[inside]
    if fragment.deleted and len(asked):
        live = reader.live(fragment)[positions]
        asked, positions = asked[live], positions[live]
    return asked, positions


def _whole(fragment: Fragment) -> Fragment:
    return Fragment(fragment.id, fragment.num_rows, fragment.groups, fragment.bounds)


def _gather(
    reader: FragmentReader,
    places: Sequence[tuple[Fragment, _Positions, _Positions]],
    columns: Sequence[str] | None,
) -> pa.Table:
    """Copy rows out of the record batches that hold them, and put them in the order asked for."""
    schema = reader.project(columns)
    files = reader.with_deleted([fragment for fragment, _, _ in places]).opened()
    parts: list[pa.RecordBatch] = []
    order = []
    for fragment, asked, positions in places:
        # Ascending: each batch is touched once.
        by_place = np.argsort(positions, kind="stable")
        parts += files.restricted([_whole(fragment)]).batches_at(positions[by_place], columns)
        order.append(asked[by_place])
    gathered = pa.Table.from_batches(parts, schema)
    back = np.argsort(np.concatenate([np.empty(0, np.int64), *order]), kind="stable")
    return gathered.unify_dictionaries().combine_chunks().take(pa.array(back))

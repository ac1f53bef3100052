"""Profiles and grid counts of fragments, computed once per file and kept in the catalog.

The profile of a run of fragments is the merge of its files' profiles in order, so a new version costs
what its new files cost.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

import pyarrow as pa

from foldstore.datastore.arrow_schema import field_ids
from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog.derived import read_derived, write_derived
from foldstore.datastore.manifest import ColumnGroup, Fragment
from foldstore.datastore.objects import OpenObject
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, count_batches
from foldstore.datastore.statistics.profile import Profile, empty_profile, profile_batches
from foldstore.datastore.storage import Storage
from foldstore.errors import StoreError
from foldstore.types import Progress

# Part of the key: a change of what a profile holds makes old ones unfindable instead of wrong.
PROFILE_KIND: Final = "profile/1"
_GRID_KIND: Final = "grid/1"
_KEEP_EVERY: Final = 64

_T = TypeVar("_T")


def profile_fragments(storage: Storage, reader: FragmentReader, progress: Progress | None = None) -> Profile:
    """Return the profile of a reader's rows; only files without one are read.

    Parameters
    ----------
    progress : callable, optional
        Told the rows done and the rows in all, a row counting once for each file that it has a part in.
    """
    by_file = _per_file(storage, reader, _groups(reader), PROFILE_KIND, _PROFILES, progress)
    parts = [empty_profile(reader.arrow_schema)]
    parts += [_profile_fragment(fragment, reader.stored_schema, by_file) for fragment in reader.fragments]
    return Profile.merge(*parts).select(reader.arrow_schema.names)


def count_fragments(storage: Storage, reader: FragmentReader, grids: Mapping[str, PinnedGrid]) -> dict[str, GridCounts]:
    """Count a reader's rows into pinned grids, by column; only files not counted before are read."""
    ids = dict(zip(reader.stored_schema.names, field_ids(reader.stored_schema), strict=True))
    by_id = {ids[name]: grid for name, grid in grids.items() if name in ids}
    groups = _groups(reader)
    counted: dict[str, dict[int, GridCounts]] = {}
    for fields in dict.fromkeys(group.fields for group in groups.values()):
        # By position in the file: what is kept must not depend on the ids that one dataset gave its fields.
        here = {position: by_id[field_id] for position, field_id in enumerate(fields) if field_id in by_id}
        if not here:
            continue
        described = {str(position): grid.to_dict() for position, grid in here.items()}
        kind = f"{_GRID_KIND}/{content_hash(canonical_json(described).encode())}"
        same = {object_id: group for object_id, group in groups.items() if group.fields == fields}
        job = _Job(partial(_count_file, grids=here), _encode_counts, _decode_counts)
        by_file = _per_file(storage, reader, same, kind, job)
        counted |= {i: {fields[place]: each for place, each in found.items()} for i, found in by_file.items()}
    return {name: _sum_column(reader, ids[name], grid, counted) for name, grid in grids.items() if name in ids}


@dataclass(frozen=True, slots=True)
class _Job(Generic[_T]):
    """What is computed from a file, and how it is kept."""

    compute: Callable[[OpenObject], _T]
    encode: Callable[[_T], bytes]
    decode: Callable[[bytes], _T]


def _groups(reader: FragmentReader) -> dict[str, ColumnGroup]:
    return {group.object_id: group for fragment in reader.fragments for group in fragment.groups}


def _per_file(
    storage: Storage,
    reader: FragmentReader,
    groups: Mapping[str, ColumnGroup],
    kind: str,
    job: _Job[_T],
    progress: Progress | None = None,
) -> dict[str, _T]:
    encoded = read_derived(storage.catalog, list(groups), kind)
    found = {object_id: job.decode(data) for object_id, data in encoded.items()}
    fresh: dict[str, bytes] = {}
    done, total = 0, sum(reader.open_group(object_id).record.num_rows for object_id in groups)
    for object_id in groups:
        opened = reader.open_group(object_id)
        if object_id not in found:
            found[object_id] = job.compute(opened)
            fresh[object_id] = job.encode(found[object_id])
        if len(fresh) >= _KEEP_EVERY:  # long work that is interrupted keeps what it has done
            with suppress(StoreError):
                write_derived(storage.catalog, kind, fresh)
            fresh = {}
        done += opened.record.num_rows
        if progress:
            progress(done, total)
    if fresh:
        with suppress(StoreError):  # what cannot be kept is computed again next time
            write_derived(storage.catalog, kind, fresh)
    return found


def _verified_batches(opened: OpenObject, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
    for index, batch in enumerate(opened.batches):
        opened.verify(index, columns)
        yield batch.select(list(columns))


def _profile_file(opened: OpenObject) -> Profile:
    schema = opened.batches[0].schema
    return profile_batches(schema, _verified_batches(opened, range(len(schema))))


def _profile_fragment(fragment: Fragment, schema: pa.Schema, by_file: Mapping[str, Profile]) -> Profile:
    names = dict(zip(field_ids(schema), schema.names, strict=True))
    parts = []
    for group in fragment.groups:
        profile = by_file[group.object_id]
        columns = dict(zip(group.fields, profile.columns, strict=True))
        wanted = {columns[field_id]: names[field_id] for field_id in group.fields if field_id in names}
        parts.append(profile.select(list(wanted)).rename(wanted))
    return Profile.beside(*parts)


_PROFILES: Final = _Job(_profile_file, Profile.to_bytes, Profile.from_bytes)


def _count_file(opened: OpenObject, grids: Mapping[int, PinnedGrid]) -> dict[int, GridCounts]:
    names = {position: opened.batches[0].schema.field(position).name for position in grids}
    batches = _verified_batches(opened, list(grids))
    counted = count_batches(batches, {names[position]: grid for position, grid in grids.items()})
    return {position: counted[name] for position, name in names.items()}


def _sum_column(
    reader: FragmentReader, field_id: int, grid: PinnedGrid, counted: Mapping[str, Mapping[int, GridCounts]]
) -> GridCounts:
    total = GridCounts((0,) * grid.cells)
    for fragment in reader.fragments:
        here = [counted[group.object_id][field_id] for group in fragment.groups if field_id in group.fields]
        absent = GridCounts((0,) * grid.cells, nulls=fragment.num_rows)
        total = total.merge(here[0] if here else absent)
    return total


def _encode_counts(counts: Mapping[int, GridCounts]) -> bytes:
    return canonical_json({str(key): value.to_dict() for key, value in counts.items()}).encode()


def _decode_counts(encoded: bytes) -> dict[int, GridCounts]:
    data: dict[str, Any] = json.loads(encoded)
    return {int(key): GridCounts.from_dict(value) for key, value in data.items()}

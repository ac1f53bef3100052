"""Profiles and grid counts of fragments, computed once per file and kept in the catalog.

The profile of a run of fragments is the merge of its files' profiles in order, so a new version costs
what its new files cost.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, Final, Generic, TypeAlias, TypeVar

import pyarrow as pa

from foldstore.datastore.arrow_schema import field_ids
from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog.derived import read_derived, write_derived
from foldstore.datastore.manifest import ROW_ID_FIELD, ColumnGroup, Fragment
from foldstore.datastore.prefix_cache import PrefixCache, chain
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.pinned import GridCounts, PinnedGrid, count_batches
from foldstore.datastore.statistics.profile import Profile, empty_profile, profile_batches
from foldstore.datastore.storage import Storage
from foldstore.errors import StoreError
from foldstore.types import Progress

# Part of the key: a change of what a profile holds makes old ones unfindable instead of wrong.
PROFILE_KIND: Final = "profile/4"
_GRID_KIND: Final = "grid/1"
_KEEP_EVERY: Final = 64
_MOST_MERGED: Final = 64

_T = TypeVar("_T")


def profile_fragments(storage: Storage, reader: FragmentReader, progress: Progress | None = None) -> Profile:
    """Return the profile of a reader's rows; only files without one are read.

    Parameters
    ----------
    progress : callable, optional
        Told the rows done and the rows in all, a row counting once for each file that it has a part in.
    """
    runs = list(_by_fragment(_units(reader)))
    names = _name_runs(runs, reader)
    place, known = storage.merged_profiles.find_longest(names)
    units = [unit for run in runs[place:] for unit in run]
    by_unit = _per_unit(
        storage, units, PROFILE_KIND, _Job(_profile_unit, Profile.to_bytes, Profile.from_bytes), progress
    )
    parts = [known or empty_profile(reader.arrow_schema)]
    parts += [Profile.beside(*(_named(unit, by_unit[unit.key], reader) for unit in run)) for run in runs[place:]]
    merged = Profile.merge(*parts) if len(parts) > 1 else parts[0]
    storage.merged_profiles.keep(names[-1], merged)
    return merged.select(reader.arrow_schema.names)


def _name_runs(runs: "Sequence[Sequence[_Unit]]", reader: FragmentReader) -> list[bytes]:
    """Name the beginnings of a reader's fragments by all that their merged profile depends on."""
    names = reader.names_by_id
    said = [[[*unit.key, [names.get(i) for i in unit.group.fields]] for unit in run] for run in runs]
    columns = canonical_json([str(field) for field in reader.arrow_schema])
    return chain([columns, *map(canonical_json, said)])[1:]


class KeptProfiles:
    """Profiles of many versions, put together from what is kept: no row is read, nothing is computed from any.

    Versions that begin with the same files share the merge of these, so a line of appends costs what its files cost.

    Parameters
    ----------
    storage : Storage
        The open store.
    most_files : int
        How many profiles of files are read at most.
    """

    def __init__(self, storage: Storage, most_files: int) -> None:
        self._storage = storage
        self._left = most_files
        self._merged: PrefixCache[Profile] = PrefixCache(_MOST_MERGED)

    def find(self, reader: FragmentReader) -> Profile | None:
        """Return the profile of a reader's rows; None when a file has none, or too many were read already."""
        runs = list(_by_fragment(_units(reader)))
        names = _name_runs(runs, reader)
        known, merged = self._merged.find_longest(names)
        merged = merged or empty_profile(reader.arrow_schema)
        for run in runs[known:]:
            here = self._read(run, reader)
            if here is None:
                return None
            merged = Profile.merge(merged, here)
        self._merged.keep(names[-1], merged)
        return merged.select(reader.arrow_schema.names)

    def _read(self, run: "Sequence[_Unit]", reader: FragmentReader) -> Profile | None:
        self._left -= len(run)
        if self._left < 0:
            return None
        found = []
        for unit in run:
            kind = _kind(PROFILE_KIND, unit.variant)
            encoded = read_derived(self._storage.catalog, [unit.group.object_id], kind).get(unit.group.object_id)
            if encoded is None:
                return None
            found.append(self._renamed(unit, Profile.from_bytes(encoded), reader))
        return Profile.beside(*found)

    def _renamed(self, unit: "_Unit", profile: Profile, reader: FragmentReader) -> Profile:
        if unit.variant:  # it may lack columns of the file, which must be opened to know
            return _named(unit, profile, reader)
        names = reader.names_by_id
        here = {old: names[i] for old, i in zip(profile.columns, unit.group.fields, strict=True) if i in names}
        return profile.select(list(here)).rename(here)


def count_fragments(storage: Storage, reader: FragmentReader, grids: Mapping[str, PinnedGrid]) -> dict[str, GridCounts]:
    """Count a reader's rows into pinned grids, by column; only files not counted before are read."""
    ids = dict(zip(reader.stored_schema.names, field_ids(reader.stored_schema), strict=True))
    by_id = {ids[name]: grid for name, grid in grids.items() if name in ids}
    units = _units(reader)
    counted: dict[_Key, dict[int, GridCounts]] = {}
    for fields in dict.fromkeys(unit.group.fields for unit in units):
        # By position in the file: what is kept must not depend on the ids that one dataset gave its fields.
        here = {position: by_id[field_id] for position, field_id in enumerate(fields) if field_id in by_id}
        if not here:
            continue
        described = {str(position): grid.to_dict() for position, grid in here.items()}
        kind = f"{_GRID_KIND}/{content_hash(canonical_json(described).encode())}"
        same = [unit for unit in units if unit.group.fields == fields]
        job = _Job(partial(_count_unit, grids=here), _encode_counts, _decode_counts)
        by_unit = _per_unit(storage, same, kind, job)
        counted |= {key: {fields[place]: each for place, each in found.items()} for key, found in by_unit.items()}
    return {name: _sum_column(units, ids[name], grid, counted) for name, grid in grids.items() if name in ids}


# A file, and what sets its rows here apart from those of the whole file: "" for nothing.
_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A file of a fragment, as its rows read now: without the deleted ones, in the types of the version."""

    reader: FragmentReader
    fragment: Fragment
    group: ColumnGroup
    variant: str

    @property
    def key(self) -> _Key:
        return self.group.object_id, self.variant

    def batches(self, positions: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """Yield columns of the file, under the names that they have in the file."""
        opened = self.reader.open_group(self.group.object_id)
        if not self.variant:
            for index, batch in enumerate(opened.batches):
                opened.verify(index, positions)
                yield batch.select(list(positions))
            return
        schema = opened.batches[0].schema
        names = self.reader.names_by_id
        known = [place for place in positions if self.group.fields[place] in names]
        fields = [schema.field(place).name for place in known]
        for batch in self.reader.restricted([self.fragment]).batches([names[self.group.fields[p]] for p in known]):
            yield pa.RecordBatch.from_arrays(batch.columns, fields)


def _units(reader: FragmentReader) -> list[_Unit]:
    return [
        _Unit(reader, fragment, group, row_variant(reader, fragment, group))
        for fragment in reader.fragments
        for group in fragment.groups
        if group.fields != (ROW_ID_FIELD,)
    ]


def row_variant(reader: FragmentReader, fragment: Fragment, group: ColumnGroup) -> str:
    """Say what sets the rows apart from those of the file: deletions, and columns that read as wider types.

    Where there are such, columns that the version has no more are named, too: they cannot be read by it, so what is
    kept of it lacks them, and a version that has them must not find that.
    """
    gone = fragment.deleted.hash if fragment.deleted else ""
    widened = reader.widened(group)
    if not gone and not widened:
        return ""
    unread = [str(place) for place, field in enumerate(group.fields) if field not in reader.names_by_id]
    told = [gone, sorted([str(place), kind] for place, kind in widened.items()), unread]
    return content_hash(canonical_json(told).encode())


def _by_fragment(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    for _, run in groupby(units, key=lambda unit: id(unit.fragment)):
        yield list(run)


@dataclass(frozen=True, slots=True)
class _Job(Generic[_T]):
    """What is computed from a file, and how it is kept."""

    compute: Callable[[_Unit], _T]
    encode: Callable[[_T], bytes]
    decode: Callable[[bytes], _T]


def _per_unit(
    storage: Storage, units: Sequence[_Unit], kind: str, job: _Job[_T], progress: Progress | None = None
) -> dict[_Key, _T]:
    """Return what is known of each unit, computed where nothing was kept."""
    found: dict[_Key, _T] = {}
    for variant in dict.fromkeys(unit.variant for unit in units):
        same = {unit.group.object_id: unit for unit in units if unit.variant == variant}
        by_object = _per_object(storage, same, _kind(kind, variant), job, progress)
        found |= {(object_id, variant): each for object_id, each in by_object.items()}
    return found


def _kind(kind: str, variant: str) -> str:
    """Return under which name it is kept; a hash of both keeps that short."""
    return f"{kind.partition('/')[0]}/{content_hash(f'{kind}/{variant}'.encode())}" if variant else kind


def _per_object(
    storage: Storage, units: Mapping[str, _Unit], kind: str, job: _Job[_T], progress: Progress | None
) -> dict[str, _T]:
    encoded = read_derived(storage.catalog, list(units), kind)
    found = {object_id: job.decode(data) for object_id, data in encoded.items()}
    fresh: dict[str, bytes] = {}
    done, total = 0, sum(unit.fragment.live_rows for unit in units.values())
    for object_id, unit in units.items():
        if object_id not in found:
            found[object_id] = job.compute(unit)
            fresh[object_id] = job.encode(found[object_id])
        if len(fresh) >= _KEEP_EVERY:  # long work that is interrupted keeps what it has done
            with suppress(StoreError):
                write_derived(storage.catalog, kind, fresh)
            fresh = {}
        done += unit.fragment.live_rows
        if progress:
            progress(done, total)
    if fresh:
        with suppress(StoreError):  # what cannot be kept is computed again next time
            write_derived(storage.catalog, kind, fresh)
    return found


def _profile_unit(unit: _Unit) -> Profile:
    schema = unit.reader.open_group(unit.group.object_id).batches[0].schema
    positions = range(len(schema))
    if not unit.variant:
        return profile_batches(schema, unit.batches(positions))
    names = unit.reader.names_by_id
    kept = [place for place in positions if unit.group.fields[place] in names]
    if not kept:  # all its columns were dropped: it counts the rows
        return replace(empty_profile(pa.schema([])), rows=unit.fragment.live_rows)
    kinds = [unit.reader.arrow_schema.field(names[unit.group.fields[place]]).type for place in kept]
    fields = pa.schema([pa.field(schema.field(place).name, kind) for place, kind in zip(kept, kinds, strict=True)])
    return profile_batches(fields, unit.batches(positions))


def _named(unit: _Unit, profile: Profile, reader: FragmentReader) -> Profile:
    """Give the columns of a file's profile the names that they have in the version."""
    opened = reader.open_group(unit.group.object_id).batches[0].schema
    names = reader.names_by_id
    here = {opened.field(place).name: names[i] for place, i in enumerate(unit.group.fields) if i in names}
    return profile.select(list(here)).rename(here)


def _count_unit(unit: _Unit, grids: Mapping[int, PinnedGrid]) -> dict[int, GridCounts]:
    schema = unit.reader.open_group(unit.group.object_id).batches[0].schema
    names = {position: schema.field(position).name for position in grids}
    counted = count_batches(unit.batches(list(grids)), {names[position]: grid for position, grid in grids.items()})
    return {position: counted[name] for position, name in names.items()}


def _sum_column(
    units: Sequence[_Unit], field_id: int, grid: PinnedGrid, counted: Mapping[_Key, Mapping[int, GridCounts]]
) -> GridCounts:
    total = GridCounts((0,) * grid.cells)
    for run in _by_fragment(units):
        here = [counted[unit.key][field_id] for unit in run if field_id in unit.group.fields]
        absent = GridCounts((0,) * grid.cells, nulls=run[0].fragment.live_rows)
        total = total.merge(here[0] if here else absent)
    return total


def _encode_counts(counts: Mapping[int, GridCounts]) -> bytes:
    return canonical_json({str(key): value.to_dict() for key, value in counts.items()}).encode()


def _decode_counts(encoded: bytes) -> dict[int, GridCounts]:
    data: dict[str, Any] = json.loads(encoded)
    return {int(key): GridCounts.from_dict(value) for key, value in data.items()}

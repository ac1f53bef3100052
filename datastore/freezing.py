"""The cold tier: files that only old versions need become Parquet, and come back under the same content address.

A file is frozen when its Parquet form is known to give the very same bytes, and not before. Each step is told to
``storage.on_step``: ``freeze-written`` (the Parquet file is finished and proven), ``freeze-linked`` (it has its name),
``freeze-flipped`` (the catalog says where the object lies), ``freeze-removed`` (the Arrow file is gone), and the same
for ``thaw``. Whatever step is the last, the file that the catalog names is whole; what is left beside it is removed
when the same object is frozen, thawed or removed next.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import blake3
import pyarrow as pa

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.datastore.catalog.cold import list_needed_elsewhere, list_objects_of, mark_cold
from foldstore.datastore.catalog.records import DatasetRecord, ObjectRecord, VersionRecord
from foldstore.datastore.cold_file import decode_cold, read_cold_buffer, write_cold
from foldstore.datastore.column_group import ColumnGroupWriter, open_batches
from foldstore.datastore.files import hash_file
from foldstore.datastore.objects import OpenObject
from foldstore.datastore.seal_area import lock_sealed_area
from foldstore.datastore.storage import Storage
from foldstore.datastore.zones import checksum_chunk, measure_zones, read_zones
from foldstore.errors import CorruptObjectError
from foldstore.types import Progress

# Nobody else writes here: whoever freezes holds the lock that sealing and erasing hold.
FOLDER: Final = "freezing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiering:
    """What was moved between the tiers.

    Attributes
    ----------
    objects : int
        How many files were moved.
    hot_bytes, cold_bytes : int
        Their size as Arrow and as Parquet.
    kept : tuple of (str, str)
        Files that stayed where they are, and why.
    needed : int
        How many files stayed because other versions need them.
    """

    objects: int
    hot_bytes: int
    cold_bytes: int
    kept: tuple[tuple[str, str], ...] = ()
    needed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        kept = [{"object": what, "why": why} for what, why in self.kept]
        plain = {name: getattr(self, name) for name in ("objects", "hot_bytes", "cold_bytes", "needed")}
        return {**plain, "kept": kept}


def freeze_versions(
    storage: Storage, version_ids: Collection[str], *, force: bool = False, progress: Progress | None = None
) -> Tiering:
    """Move the files that only some versions need into the cold tier.

    Parameters
    ----------
    force : bool
        Move files that other versions need, too: they are read more slowly, and are the same.

    Raises
    ------
    ConflictError
        When another process seals, erases or freezes at the moment.
    """
    wanted = sorted(list_objects_of(storage.catalog, version_ids))
    needed = set() if force else list_needed_elsewhere(storage.catalog, wanted, version_ids)
    return _move(storage, [each for each in wanted if each not in needed], _freeze, progress, needed=len(needed))


def choose_versions(
    storage: Storage, dataset: DatasetRecord, *, older_than: str | None = None, keep: int = 1
) -> list[VersionRecord]:
    """Return the versions of a dataset that no branch, alias or tag points at.

    Parameters
    ----------
    older_than : str, optional
        Only those that were committed before this instant.
    keep : int
        Leave so many of the newest versions out.
    """
    named = {ref.version_id for ref in storage.catalog.list_refs(dataset.id)}
    versions = storage.catalog.list_versions(dataset.id)
    old = versions[: max(len(versions) - keep, 0)]
    return [v for v in old if v.id not in named and (older_than is None or v.created_at < older_than)]


def thaw_versions(storage: Storage, version_ids: Collection[str], *, progress: Progress | None = None) -> Tiering:
    """Bring the files of some versions back from the cold tier.

    Raises
    ------
    CorruptObjectError
        When a cold file does not give the bytes that were frozen.
    """
    return _move(storage, sorted(list_objects_of(storage.catalog, version_ids)), _thaw, progress)


def check_cold(storage: Storage, record: ObjectRecord) -> None:
    """Check the cold file of an object: its own hash, and that it gives the Arrow file's bytes and zones.

    Raises
    ------
    CorruptObjectError
        When it is missing or damaged.
    """
    path = storage.objects.cold_path_of(record.id)
    decoded = read_cold_buffer(path, record)
    if hash_file(path) != record.cold_hash or _address(decoded) != record.id:
        raise CorruptObjectError(f"The cold file of object {record.id} is damaged.", object=record.id)
    measured = measure_zones(open_batches(decoded, record.id))
    if not read_zones(measured).equals(read_zones(record.zones)):
        raise CorruptObjectError(f"What the catalog says of object {record.id} is damaged.", object=record.id)


# What moving one object did: its size in the cold tier, or why it stayed; None when it was there already.
_Moved = int | str | None


def _move(
    storage: Storage,
    object_ids: list[str],
    move: Callable[[Storage, ObjectRecord, Path], _Moved],
    progress: Progress | None,
    needed: int = 0,
) -> Tiering:
    objects, hot, cold = 0, 0, 0
    kept: list[tuple[str, str]] = []
    with lock_sealed_area(storage), _staging(storage) as folder:
        records = storage.catalog.read_objects(object_ids)
        for done, object_id in enumerate(object_ids):
            if object_id not in records:  # collected meanwhile
                continue
            result = move(storage, records[object_id], folder)
            if isinstance(result, str):
                kept.append((object_id, result))
            elif result is not None:
                objects, hot, cold = objects + 1, hot + records[object_id].num_bytes, cold + result
            if progress:
                progress(done + 1, len(object_ids))
    return Tiering(objects=objects, hot_bytes=hot, cold_bytes=cold, kept=tuple(kept), needed=needed)


@contextmanager
def _staging(storage: Storage) -> Iterator[Path]:
    storage.objects.unstage(FOLDER)  # of one that was killed
    try:
        yield storage.objects.stage(FOLDER)
    finally:
        storage.objects.unstage(FOLDER)


def _freeze(storage: Storage, record: ObjectRecord, folder: Path) -> _Moved:
    hot = storage.objects.path_of(record.id)
    if record.cold_hash is not None:
        storage.objects.files.remove(hot)  # left by a kill, or by a commit of the same bytes
        return None
    path = folder / record.id
    opened = storage.objects.open(record)
    for index, batch in enumerate(opened.batches):
        opened.verify(index, range(batch.num_columns))  # damage must not be given a new, valid hash
    try:
        cold_hash, cold_bytes = _write(storage, path, opened.batches)
    except (pa.ArrowException, IndexError) as error:
        storage.objects.files.remove(path)
        return _say_why(error)
    if (why := _disprove(path, opened)) is not None:
        storage.objects.files.remove(path)
        return why
    storage.on_step("freeze-written")
    target = storage.objects.cold_path_of(record.id)
    storage.objects.files.replace(path, target)
    storage.objects.files.sync_folders([target.parent])
    storage.on_step("freeze-linked")
    if not mark_cold(storage.catalog, record.id, cold_bytes, cold_hash):
        storage.objects.files.remove(target)
        return "It was collected meanwhile."
    storage.on_step("freeze-flipped")
    storage.objects.forget(record.id)
    _remove(storage, hot)
    storage.on_step("freeze-removed")
    return cold_bytes


def _disprove(path: Path, opened: OpenObject) -> str | None:
    """Say what a Parquet file does not give again as it was, or None when it gives the very same bytes."""
    try:
        decoded = decode_cold(path, opened.record.id)
    except CorruptObjectError as error:
        return f"Parquet does not give it again: {error.message}"
    if _address(decoded) == opened.record.id:
        return None
    again = open_batches(decoded, opened.record.id)
    names = [
        field.name
        for place, field in enumerate(opened.batches[0].schema)
        if [checksum_chunk(batch.column(place)) for batch in again]
        != [checksum_chunk(batch.column(place)) for batch in opened.batches]
    ]
    return f"Parquet does not give the same bytes again for {', '.join(names) or 'the file'}."


def _thaw(storage: Storage, record: ObjectRecord, folder: Path) -> _Moved:
    cold = storage.objects.cold_path_of(record.id)
    if record.cold_hash is None:
        storage.objects.files.remove(cold)  # left by a kill
        return None
    batches = open_batches(read_cold_buffer(cold, record), record.id)
    writer = ColumnGroupWriter(storage.objects.files, folder / record.id, batches[0].schema)
    try:
        for batch in batches:
            writer.write(batch)
    except BaseException:
        writer.abandon()
        raise
    staged = writer.finish()
    if staged.record.id != record.id:
        raise CorruptObjectError(
            f"The cold file of object {record.id} is damaged.", hint="Restore it from a backup.", object=record.id
        )
    storage.on_step("thaw-written")
    storage.objects.publish([staged])
    storage.on_step("thaw-linked")
    mark_cold(storage.catalog, record.id, None, None)
    storage.on_step("thaw-flipped")
    storage.objects.forget(record.id)
    _remove(storage, cold)
    storage.on_step("thaw-removed")
    return record.cold_bytes


def _write(storage: Storage, path: Path, batches: list[pa.RecordBatch]) -> tuple[str, int]:
    file = storage.objects.files.create(path)
    try:
        write_cold(file, batches)
        return file.finish(), file.num_bytes
    finally:
        file.close()


def _say_why(error: Exception) -> str:
    if isinstance(error, IndexError):
        return "It has no rows."
    return f"Parquet cannot hold it: {' '.join(str(error).split())}."


def _remove(storage: Storage, path: Path) -> None:
    storage.objects.files.remove(path)
    storage.objects.files.sync_folders([path.parent])


def _address(decoded: pa.Buffer) -> str:
    return HASH_PREFIX + blake3.blake3(memoryview(decoded), max_threads=blake3.blake3.AUTO).hexdigest()
